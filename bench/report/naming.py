"""How figures and the page call and colour the arms."""

from __future__ import annotations

from collections.abc import Sequence

from bench.judge.findings import ArmRow, Document, Finding
from bench.judge.pictures import Pictures
from bench.report.svg import cut, letters

GOOD = ("helps", "smaller gap", "faster", "fewer epochs", "steadier")
BAD = ("harmful", "larger gap", "slower", "more epochs", "less steady")


class Names:
    """How the arms that are shown are called and drawn."""

    def __init__(self, document: Document, pictures: Pictures) -> None:
        shown = set(pictures.arms)
        self.arms: list[ArmRow] = [arm for arm in document.arms if arm.label in shown]
        self.baseline = document.baseline
        self._names = {label: cut(plain(name)) for label, name in document.names.items()}
        self._findings = {arm.label: arm.finding for arm in document.arms}
        self.more = "" if pictures.of <= len(self.arms) else f" First {len(self.arms)} of {pictures.of} arms."

    def __getitem__(self, label: str) -> str:
        return self._names.get(label, cut(plain(label)))

    def tone(self, label: str) -> tuple[str, str]:
        """Colour and shape of an arm: what its verdict on the primary metric says."""
        if label == self.baseline:
            return "base", "square"
        return tone(self._findings.get(label))

    def margin(self, labels: Sequence[str]) -> float:
        """Room for their names at the left, px."""
        return max((letters(self[label]) for label in labels), default=0) + 16


def tone(finding: Finding | None) -> tuple[str, str]:
    """Colour and shape that say the verdict."""
    verdict = finding.verdict if finding else ""
    if verdict.startswith(GOOD):
        return "good", "up"
    return ("bad", "down") if verdict.startswith(BAD) else ("plain", "circle")


def plain(text: str) -> str:
    """Any text on one line, without what does not print."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def file_part(name: str) -> str:
    """Any name as part of a file's name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)[:60]
