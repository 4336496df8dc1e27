"""What scripts/gpu.sh measured, as the GPU section of docs/performance.md.

python scripts/gpu_table.py results.jsonl            writes the section
python scripts/gpu_table.py results.jsonl --print    prints it
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
HEADING = "## On a GPU"
TRIAL_IMAGES = 20 * 12_000
"""Of the trial that is projected: 20 epochs of 12,000 images."""
STUDY_TRIALS = 10 * 5
Row = dict[str, Any]


def section(rows: Sequence[Row]) -> str:
    """The section, from the lines of a results file."""
    steps: dict[str, list[Row]] = {}
    for row in rows:
        if "exit" not in row:
            steps.setdefault(row["step"], []).append(row)
    paragraphs = [HEADING, *_about(steps.get("device", [])), *_ran(rows)]
    for name, write in (("table", _table), ("concurrency", _concurrency), ("study", _study)):
        paragraphs += write(steps[name]) if name in steps else []
    paragraphs += [*_projected(steps), *_identity(steps.get("identity", [])), *_bars(steps.get("bars", []))]
    return "\n\n".join(paragraphs) + "\n"


def _about(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        cuda = ", ".join(f"{k} {row[k]}" for k in ("cuda", "cudnn", "driver") if row.get(k))
        yield (
            f"{row['device_name']}{', ' * bool(cuda)}{cuda}; {row['cores']} cores, Python {row['python']}, "
            f"torch {row['torch']}, timm {row['timm']}, commit {row['commit'] or 'unknown'}. "
            "Written by `scripts/gpu_table.py` from one run of `scripts/gpu.sh`."
        )
        if row["device"] == "cpu":
            yield "**A rehearsal on a CPU: its figures say that the steps run, nothing else.**"


def _ran(rows: Sequence[Row]) -> Iterator[str]:
    broken = [f"{row['step']} (exit code {row['exit']})" for row in rows if row.get("exit")]
    if broken:
        yield "Did not come to its end: " + ", ".join(broken) + "."


def _grid(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _table(rows: Sequence[Row]) -> list[str]:
    head = ["bare steps", "ms", "images/s", "kernels", "allocated MB", "reserved MB"]
    body = [
        [
            f"{row['precision']}, {'recorded' if row['graph'] else 'ordinary'}",
            f"{row['ms']:.2f}",
            f"{row['images_per_s']:,.0f}",
            *(
                f"{row[key]:,.0f}" if key in row else "–"
                for key in ("kernels", "allocated_mb", "reserved_mb")
            ),
        ]
        for row in rows
    ]
    first = rows[0]
    about = f"{first['model']}, {first['size_px']} px, batches of {first['batch']}; the best of a few rounds."
    return [about, _grid(head, body)]


def _concurrency(rows: Sequence[Row]) -> list[str]:
    alone = {row["graph"]: row["images_per_s"] for row in reversed(rows) if row["together"] == 1}
    body = [
        [
            f"{_together(row)}, {'recorded' if row['graph'] else 'ordinary'} steps",
            f"{row['images_per_s']:,.0f}",
            f"{row['images_per_s'] / alone[row['graph']]:.2f}" if row["graph"] in alone else "–",
            f"{row['reserved_mb']:,.0f}" if "reserved_mb" in row else "–",
        ]
        for row in rows
    ]
    head = ["at once, with RandAugment, bf16", "images/s, all together", "× one alone", "reserved MB, all"]
    return [_grid(head, body)]


def _together(row: Row) -> str:
    count = row["together"]
    if row["how"] == "processes":
        return f"{count} process{'es' * (count > 1)}"
    return f"a gang of {count}" if count > 1 else "one"


def _study(rows: Sequence[Row]) -> list[str]:
    trials, whole = [row for row in rows if "trial" in row], [row for row in rows if "wall_s" in row]
    if not trials or not whole:
        return []
    done = sum(row["status"] == "done" for row in trials)
    speed = statistics.median(row["images_per_s"] for row in trials)
    graphed, gangs = sum(all(row["graphed"]) for row in trials), [row["gang"] for row in trials]
    shared = f", {sum(size > 1 for size in gangs)} in gangs of up to {max(gangs)}" * (max(gangs) > 1)
    return [
        f"A study of {len(trials)} trials ({whole[0]['cells']} images), {done} done, {graphed} with recorded "
        f"steps throughout{shared}: "
        f"{whole[0]['wall_s']:.0f} s; {speed:,.0f} images/s in the median trial, "
        f"{_overhead(trials):.1f} s of it not training."
    ]


def _overhead(trials: Sequence[Row]) -> float:
    """Seconds of the median trial in which nothing trains."""
    return statistics.median(row["data_s"] + row["build_s"] + row.get("evaluate_s", 0.0) for row in trials)


def _projected(steps: dict[str, list[Row]]) -> Iterator[str]:
    """Seconds a trial and minutes a study, from measured speeds.

    What is not training is done by as many processes at once as there are: in a gang by one.
    """
    trials = [row for row in steps.get("study", []) if "trial" in row]
    together = steps.get("concurrency", [])
    if not trials or not together:
        return
    overhead = _overhead(trials)

    def taken(row: Row) -> float:
        return TRIAL_IMAGES / row["images_per_s"] + overhead / (
            row["together"] if row["how"] != "gang" else 1
        )

    best = min(together, key=taken)
    seconds = taken(best)
    text = (
        f"Projected from these: a trial of 20 epochs of 12,000 images each {seconds:.0f} s with "
        f"{_together(best)}, the study of 10 arms × 5 seeds {STUDY_TRIALS * seconds / 60:.0f} minutes."
    )
    for row in steps.get("plain", []):
        alone = TRIAL_IMAGES / row["images_per_s"] + row["import_s"]
        text += (
            f" A timm script of its own per trial ({row['images_per_s']:,.0f} images/s, "
            f"{row['import_s']:.0f} s of imports): {alone:.0f} s, {alone / seconds:.1f} times as long."
        )
    yield text


def _identity(rows: Sequence[Row]) -> list[str]:
    body = [[row["what"], f"{row['relative_difference']:.1e}"] for row in rows]
    return [_grid(["training losses, float32", "largest relative difference"], body)] if rows else []


def _bars(rows: Sequence[Row]) -> list[str]:
    body = [
        [row["what"], f"{row['found']:.2f}", signed(row["bar"]), "missed" if row["missed"] else ""]
        for row in rows
    ]
    return [_grid(["ratio", "found", "bar", ""], body)] if rows else []


def signed(bar: str) -> str:
    """A bar with the signs of print."""
    return bar.replace("<=", "≤").replace(">=", "≥")


def replaced(page: str, text: str) -> str:
    """``page`` with the section in place of the one it has. Raises ValueError when it has none."""
    found, count = re.subn(rf"^{HEADING}\n.*?(?=^## |\Z)", lambda _: text + "\n", page, flags=re.M | re.S)
    if count != 1:
        raise ValueError(f'the page has {count} sections "{HEADING}", not one')
    return found


def main(arguments: list[str] | None = None) -> int:
    """Write or print the section."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--print", action="store_true", help="print the section, write nothing")
    given = parser.parse_args(arguments)
    text = section([json.loads(line) for line in given.results.read_text("utf-8").splitlines() if line])
    if given.print:
        print(text)
    else:
        PAGE.write_text(replaced(PAGE.read_text("utf-8"), text), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
