"""Write docs/components.md from the registries."""

from pathlib import Path

import bench  # noqa: F401  (fills the registries)
from bench.commands.reference import markdown

target = Path(__file__).resolve().parent.parent / "docs" / "components.md"
target.write_text(markdown(), "utf-8")
print(target)
