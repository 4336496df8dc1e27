"""`python -m tests.recomputation RESULTS [STUDY…]`: a line for each table; 1 where one disagrees."""

import argparse
import sys
from pathlib import Path

from . import whole
from .check import Tally, check_csv
from .printed import check_report
from .records import Study
from .report import CONSTANTS, Report
from .tables import Tables


def recompute(results: Path, name: str) -> list[Tally]:
    """Every table of a study's report, or of the page on several data sets, checked."""
    if not (results / name / "plan.json").exists():
        return whole.recompute(results, name)
    tables = Tables(Study(results, name))
    folder = results / name
    found = [
        check_csv(path, getattr(tables, path.stem, None))
        for path in sorted((folder / "tables").glob("*.csv"))
    ]
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    return found + list(check_report(markdown, Report(tables).sections(), CONSTANTS).values())


def main() -> int:
    parser = argparse.ArgumentParser(description="Recompute every number of reports from their records.")
    parser.add_argument("results", type=Path)
    parser.add_argument("studies", nargs="*", help="all of the folder unless named")
    parser.add_argument("--quiet", action="store_true", help="only what does not agree")
    given = parser.parse_args()
    names = given.studies or sorted(path.parent.name for path in given.results.glob("*/study.toml"))
    wrong = unknown = right = 0
    for name in names:
        print(name)
        for tally in recompute(given.results, name):
            if not given.quiet or tally.mismatched or tally.uncovered:
                print(f"  {tally}")
            for line in tally.mismatched:
                print(f"    MISMATCH {line}")
            for line in tally.uncovered:
                print(f"    uncovered {line}")
            right += tally.covered - len(tally.mismatched)
            wrong += len(tally.mismatched)
            unknown += len(tally.uncovered)
    print(f"{len(names)} reports: {right} cells agree, {wrong} do not, {unknown} are not covered")
    return 1 if wrong or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
