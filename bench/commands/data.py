"""``bench data``: where images come from."""

from __future__ import annotations

from bench.errors import UserError
from bench.machine import Machine
from bench.progress.terminal import Terminal

SOURCES = (
    ("synthetic", "drawings of stained blood cells, made on the spot; the default to try things with"),
    ("bloodmnist", "BloodMNIST, 17,092 real cells, 8 classes; downloaded once into the cache"),
    ("folder:PATH", "class folders of JPEG or PNG files"),
    ("npz:PATH", "a NumPy archive: train_images, train_labels, … (MedMNIST) or images, labels"),
)


def sources(machine: Machine) -> str:
    """The kinds of sources, and the folders this machine names."""
    lines = [f"{name:<12} {what}" for name, what in SOURCES]
    lines += ["", "folders named in [paths] of bench.toml"]
    lines += [
        f"  @{name:<12} {path}{'' if path.exists() else '   (missing)'}"
        for name, path in machine.paths.items()
    ]
    if not machine.paths:
        lines.append("  none")
    return "\n".join(lines)


def fetch(source: str, size_px: int, machine: Machine, terminal: Terminal) -> str:
    """Download a source into the cache; return where it lies."""
    from bench.data import bloodmnist

    if source != "bloodmnist":
        raise UserError(
            f'"{source}": only bloodmnist is downloaded; synthetic is drawn, folder: and npz: are yours'
        )
    file = bloodmnist.file_for(size_px)
    path = machine.cache / "downloads" / file.name
    with terminal.counting(f"downloading {file.name}", "bytes") as count:
        return str(bloodmnist.fetch(path, count))
