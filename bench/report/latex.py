"""A Document's tables as LaTeX, for papers: needs the package booktabs and nothing else."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator, Sequence

from bench.judge.findings import ArmRow, Document, Effect, Finding, Mean
from bench.report import text
from bench.report.naming import plain, replicates

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "δ": r"$\delta$",
    "σ": r"$\sigma$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "…": r"\dots{}",
    "–": "--",
    "—": "---",
    "→": r"$\to$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "·": r"$\cdot$",
}

Cells = Sequence[str]


def tables(document: Document, *, cost: bool = True) -> dict[str, str]:
    """LaTeX text by table name, each one ``tabular``. ``cost=False``: nothing that equals may differ in."""
    found = {
        "arms": _table(document, list(_arms(document, cost)), "llp{3.2cm}l"),
        "scores": _table(document, list(_scores(document)), "ll"),
        "costs": _table(document, list(_costs(document, cost)), "l"),
    }
    if document.classes:
        found["classes"] = _table(document, list(_classes(document)), "l")
    claims = [claim for claim in document.claims if cost or not claim.costs]
    if claims:
        rows = [["claim", "expects", "metric", "outcome"]]
        rows += [[tex(c.says, 2000), tex(c.expect), tex(c.metric), tex(c.outcome)] for c in claims]
        found["claims"] = _table(document, rows, "p{6cm}lll")
    if document.corrupted:
        found["robustness"] = _table(document, list(_robustness(document)), "ll")
    if document.tuning:
        found["tuning"] = _table(document, list(_tuning(document, cost)), "llp{4cm}")
    return found


@functools.cache
def _letter(c: str) -> str:
    """One character: marked up, as it is, or (what no Latin font has) by its number."""
    if c in SPECIAL:
        return SPECIAL[c]
    if ord(c) < 0x250:  # Latin, with every accent
        return c if c.isprintable() else " "
    bare = unicodedata.normalize("NFKD", c)
    return bare if bare.isascii() and bare.isalnum() else f"[U+{ord(c):04X}]"


def tex(value: object, longest: int = 4 * text.LONGEST_NAME) -> str:
    """Any text as plain words of LaTeX, on one line."""
    line = plain(str(value))
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return "".join(map(_letter, line))


def _table(document: Document, rows: Sequence[Cells], columns: str) -> str:
    """``columns``: of the first ones; all others are numbers, to the right."""
    head, *body = rows
    fixed = _count(columns)
    lines = [
        f"% {plain(document.study)}, made by bench report; needs \\usepackage{{booktabs}}",
        rf"\begin{{tabular}}{{{columns}{'r' * (len(head) - fixed)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in body),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _count(columns: str) -> int:
    """Columns of a specification of l, r and p{…}."""
    return sum(c in "lrp" for c in "".join(part.partition("}")[2] or part for part in columns.split("{")))


def _mean(value: Mean | None) -> str:
    return tex(text.mean(value))


def _effect(value: Effect | None) -> str:
    return tex(text.effect(value))


def _name(document: Document) -> dict[str, str]:
    return {k: tex(v) for k, v in text.short_names([arm.label for arm in document.arms]).items()}


def _verdict(finding: Finding | None) -> str:
    return tex(finding.verdict + "†" * finding.dagger) if finding else tex("–")


def _arms(document: Document, cost: bool) -> Iterator[Cells]:
    """The first table; ``arm``, seeds, verdict and worst class are text, the rest numbers."""
    names = _name(document)
    head = ["arm", replicates(document), "verdict", "worst class", tex(f"Δ {document.rules.primary}")]
    head += [tex(f"{name} %") for name in document.sets]
    head += [tex(f"gap to {document.gap_set}")] if document.gap_set else []
    yield [*head, *(["train s"] if cost else [])]
    for arm in document.arms:
        finding = arm.finding
        before = "if it converges: " if finding and finding.if_converges else ""
        row = [_arm(arm, names), tex(text.seeds(arm.seeds)), _verdict(finding), _worst(arm)]
        row += [before + _effect(finding.effect if finding else None), *_accuracies(arm)]
        row += [tex(text.width(arm.gap))] if document.gap_set else []
        yield [*row, *([tex(text.thousands(arm.seconds))] if cost else [])]


def _arm(arm: ArmRow, names: dict[str, str]) -> str:
    name = names[arm.label]
    return rf"\textbf{{{name}}} (baseline)" if arm.is_baseline else name


def _accuracies(arm: ArmRow) -> list[str]:
    return [tex(text.within(m, i)) for m, i in zip(arm.accuracies, arm.intervals, strict=True)]


def _worst(arm: ArmRow) -> str:
    return tex(f"{arm.worst[0]} {text.percent(arm.worst[1])}" if arm.worst else "–")


def _scores(document: Document) -> Iterator[Cells]:
    names = _name(document)
    yield ["set", "arm", *(tex(m.replace("_", " ")) for m in document.metrics), tex("Δ accuracy")]
    for row in document.scores:
        scores = [tex(text.score(m, name)) for m, name in zip(row.scores, document.metrics, strict=True)]
        yield [tex(row.set), names[row.arm], *scores, _effect(row.effect)]


def _classes(document: Document) -> Iterator[Cells]:
    names = _name(document)
    yield ["class", *(names[arm.label] for arm in document.arms)]
    for row in document.classes:
        yield [tex(row.name), *(tex(text.percent(value)) for value in row.recalls)]


def _robustness(document: Document) -> Iterator[Cells]:
    names = _name(document)
    yield [*map(tex, ("set", "arm", "clean %", "all %", "Δ", "unseen %", "Δ unseen", "BE", "relative BE"))]
    for one in document.corrupted:
        for arm in one.arms:
            if not one.by_family:
                continue
            unseen = _effect(arm.unseen.effect if arm.unseen else None)
            ratios = (tex(text.ratio(arm.error)), tex(text.ratio(arm.relative_error)))
            means = (_mean(arm.clean), _mean(arm.total), _effect(arm.effect), _mean(arm.unseen_mean))
            yield [tex(one.name), names[arm.label], *means, unseen, *ratios]


def _costs(document: Document, cost: bool) -> Iterator[Cells]:
    names = _name(document)
    head = ["arm", "parameters", "of them trained", "GFLOPs per image", "epochs"]
    yield [*head, *(["train s", "images/s", "peak memory MB"] if cost else [])]
    for arm in document.arms:
        flops = None if arm.flops is None else f"{arm.flops / 1e9:.4f}"
        epochs = None if arm.epochs is None else f"{arm.epochs:.1f}"
        row = [names[arm.label], text.thousands(arm.parameters), text.thousands(arm.trained_parameters)]
        row += [flops or tex("–"), epochs or tex("–")]
        times = (arm.seconds, arm.images_per_s, arm.memory_mb) if cost else ()
        yield [*map(_dash, row), *(_dash(text.thousands(value)) for value in times)]


def _dash(cell: str) -> str:
    return tex("–") if cell == text.DASH else cell


def _tuning(document: Document, cost: bool) -> Iterator[Cells]:
    tuning, names = document.tuning, _name(document)
    assert tuning is not None
    yield ["arm", "finished", "chosen", tex(tuning.metric), *(["device min"] if cost else [])]
    for arm in tuning.arms:
        chosen = ", ".join(
            f"{c.setting} {c.value}" + (f" ({c.edge} edge)" if c.edge else "") for c in arm.chosen
        )
        best = tex("–") if arm.best is None else f"{arm.best:.4f}"
        cells = [names[arm.label], f"{arm.done}/{tuning.candidates}", tex(chosen or "–"), best]
        yield [*cells, *([f"{arm.minutes:.1f}"] if cost else [])]
