"""docs/tutorial.md is executed, block by block, in an empty folder; what it shows is what is printed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cli import main
from bench.errors import UserError

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
INTERRUPTED = 130
STOP_HERE = "press Ctrl-C"


@dataclass(frozen=True)
class Block:
    """One fenced block of the page."""

    line: int
    kind: str
    text: str

    @property
    def where(self) -> str:
        return f"{PAGE.name}:{self.line} ({self.kind})"


def blocks(page: str) -> list[Block]:
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [Block(page.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in found]


LOOSE = {
    "…": ".*",
    r"\b[0-9a-f]{8}\b": "[0-9a-f]{8}",
    r"\b\d+ s\b": r"(?:\d+ s|\d+:\d+)",
    r"[+−]?\d+\.\d+": r"[+−]?\d+(?:\.\d+)?",
    r"\s+": r"\s+",
}
"""What need not be printed as shown → what must stand there. Trained numbers differ between machines."""


def pattern(shown: str) -> re.Pattern[str]:
    """What a printed line must look like to be the line ``shown`` on the page.

    "…" stands for anything; in place of a number with a decimal point, a trial's id or seconds, any other
    will do. All else, words, verdicts, names and counts, must be the same.
    """
    pieces = re.split(f"({'|'.join(LOOSE)})", shown)
    for odd in range(1, len(pieces), 2):
        pieces[odd] = next(after for before, after in LOOSE.items() if re.fullmatch(before, pieces[odd]))
    pieces[::2] = map(re.escape, pieces[::2])
    return re.compile("".join(pieces))


def missing(shown: str, printed: str) -> list[str]:
    """Lines of ``shown`` that ``printed`` has not, or not in this order; others may stand between them."""
    left, lost = [line.strip() for line in printed.splitlines()], []
    for line in map(str.strip, shown.splitlines()):
        if line in ("", "…"):
            continue
        place = next((i for i, one in enumerate(left) if pattern(line).fullmatch(one)), None)
        if place is None:
            lost.append(line)
        else:
            left = left[place + 1 :]
    return lost


class Reader:
    """Someone who follows the page in the present folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch, self.printed = capsys, monkeypatch, ""

    def follow(self, block: Block) -> None:
        if block.kind == "sh":
            self.printed = "".join(self.command(line) for line in block.text.splitlines())
        elif block.kind == "text":
            self.compare(block)
        else:
            write(block)

    def compare(self, block: Block) -> None:
        """With the file that its first line names, else with what the commands before it printed."""
        first, _, rest = block.text.partition("\n")
        is_file = Path(first).is_file()
        shown, printed = (rest, Path(first).read_text("utf-8")) if is_file else (block.text, self.printed)
        lost = missing(shown, printed)
        assert lost == [], f"{block.where}: not printed, or in another order: {lost}\n\n{printed}"

    def command(self, line: str) -> str:
        """What a command prints; a comment says where Ctrl-C is pressed, or of which arm TRIAL is a trial."""
        command, _, comment = line.partition("  #")
        words, arm = command.split(), comment.partition("a trial of ")[2]
        if arm:
            words[words.index("TRIAL")] = self.trial_of(arm)
        if "press Ctrl-C" in comment:
            return interrupted(words)
        return self.bench(words[1:]) if words[0] == "bench" else shell(" ".join(words))

    def bench(self, arguments: list[str]) -> str:
        """In this process, so that torch is imported once."""
        self.monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        out = self.capsys.readouterr()
        assert not end.value.code, f"bench {' '.join(arguments)}: {out.err}"
        return out.out + out.err

    def trial_of(self, arm: str) -> str:
        row = re.search(rf"^{arm} .*?([0-9a-f]{{8}})", self.bench(["plan", "study.toml"]), re.MULTILINE)
        assert row, f"no trial of {arm}"
        return row[1]


def write(block: Block) -> None:
    """Make the file that the block's first line names, or add the block to it."""
    first, _, rest = block.text.partition("\n")
    if added := re.fullmatch(r"# add to (\S+)", first):
        with Path(added[1]).open("a", encoding="utf-8") as file:
            file.write("\n" + rest)
        return
    named = re.fullmatch(r"# (\S+\.\w+)", first)
    assert named, f"{block.where}: its first line names no file: {first!r}"
    assert not Path(named[1]).exists(), f"{block.where}: {named[1]} is there already"
    Path(named[1]).write_text(block.text, "utf-8")


def shell(command: str) -> str:
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout + done.stderr


def interrupted(words: list[str]) -> str:
    """Ctrl-C after the first finished trial; ``words`` begin with bench."""
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        said = ""
        while "●" not in said:
            line = run.stderr.readline()
            assert line, f"{' '.join(words)} ended before a trial did: {said}"
            said += line
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=120)
    assert run.returncode == INTERRUPTED, said + err
    return out + said + err


def _unreachable(name: str) -> None:
    raise UserError(f"{name}: no network here")


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_EXECUTOR", "inline")
    monkeypatch.setattr(
        "bench.models.pretrained._reach_hub", _unreachable
    )  # bench new looks for weights there
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    reader = Reader(capsys, monkeypatch)
    for block in blocks(PAGE.read_text("utf-8")):
        reader.follow(block)


def test_every_block_of_the_tutorial_is_of_a_kind_that_is_executed() -> None:
    page = PAGE.read_text("utf-8")
    assert {block.kind for block in blocks(page)} == {"sh", "text", "toml", "python"}
    assert 2 * len(blocks(page)) == len(re.findall(r"^\s*```", page, re.MULTILINE))


PRINTED = """\
- **light: helps** on *x*: **+59.7** [47.8, 71.6] points, 5 seeds.
- **flips: inconclusive** on *x*: **−4.6** [−19.5, 10] points, 5 seeds.
study: 14 trials in 19 s  (15 done)
"""


@pytest.mark.parametrize(
    "shown",
    [
        "- **light: harmful** on *x*: **+59.7** [47.8, 71.6] points, 5 seeds.",
        "- **light: helps** on *x*: **+59.7** [47.8, 71.6] points, 4 seeds.",
        "- **light: helps** on *x*: [47.8, 71.6] points, 5 seeds.",
        "- **light: helps**",
        "study: …\n- **light: helps** …",
        "study: 14 trials in 19 s  (15 failed)",
        "- **noise: helps** …",
    ],
)
def test_a_line_that_was_not_printed_is_noticed(shown: str) -> None:
    assert missing(shown, PRINTED)


@pytest.mark.parametrize(
    "shown",
    [
        PRINTED,
        "- **light: helps** on *x*: **+1.2** [0.5, 71.6] points, 5 seeds.",
        "- **flips: inconclusive** on *x*: **+4.6** [−10.4, 19.5] points, 5 seeds.",
        "…\n- **light: helps** …\n\nstudy: 14 trials in 3 s (15 done)",
    ],
)
def test_what_another_machine_rounds_or_takes_is_not(shown: str) -> None:
    assert missing(shown, PRINTED) == []
