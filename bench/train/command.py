"""A program of the study's own that trains a trial: what it is handed, how it is run, what it hands back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.elsewhere.files import P, read
from bench.errors import UserError, shorten, told_by
from bench.streams import stream
from bench.study.command import filled
from bench.train.checkpoint import Interrupted
from bench.train.turns import Turns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.data.images import Development, Samples
    from bench.plan import Trial

VAL = "val"
POLL_S = 0.05
"""Between two looks at whether it has ended."""
PATIENCE_S = 10.0
"""Between asking it to end and ending it."""
TOLD = 3000
"""Characters of its output that an error shows."""


class FolderLostError(OSError):
    """What a program was handed, or left, went with the folder that it lay in."""


@dataclass(frozen=True)
class Handed:
    """What a program is handed, and where it works."""

    trial: Trial
    development: Development
    sets: Mapping[str, Samples]
    """Name of a scored set, ``local`` or a hidden one → its images; of a candidate none."""
    folder: Path
    """Of the trial: ``data/``, ``out/`` and ``log.txt`` are made there."""
    device: str

    def train(self, stop: Callable[[], bool]) -> Turns[dict[str, NDArray[np.float64]]]:
        """Run it, and read what it predicted: a set's name, ``val`` too → (N, K), in the order of its images.

        stop   asked now and then whether to end it

        Raises UserError where it fails, or predicts something else; Interrupted where it was stopped;
        FolderLostError where something else has its folder's place by then.
        """
        order = self._write()
        before = _which(self.folder)
        try:
            yield from self._run(stop)
            found = self._read(order)
        except (UserError, OSError) as error:
            if _which(self.folder) == before:
                raise
            raise FolderLostError(f"{self.folder} was taken away while its program ran: {error}") from error
        shutil.rmtree(self.folder, ignore_errors=True)
        return found

    def _write(self) -> dict[str, NDArray[np.int64]]:
        """Put images down; of each set to be predicted, which image stands at each place of its file."""
        data, out = self.folder / "data", self.folder / "out"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        out.mkdir(exist_ok=True)  # what it left there before it was interrupted stays: it may go on from it
        classes = list(self.development.classes)
        (data / "classes.json").write_text(json.dumps(classes, ensure_ascii=False), "utf-8")
        for name, samples in (("train", self.development.train), (VAL, self.development.val)):
            _save(data / f"{name}.npz", samples, np.arange(len(samples)), labels=True)
        orders = {VAL: np.arange(len(self.development.val))}
        for name, samples in self.sets.items():
            # In an order of their own: that of a source tells the classes.
            seed = self.trial.replicate.stream_seed
            orders[name] = stream(seed, f"handed {name}").permutation(len(samples))
            _save(data / f"{name}.npz", samples, orders[name], labels=False)
        return orders

    def _run(self, stop: Callable[[], bool]) -> Turns[None]:
        trial, log = self.trial, self.folder / "log.txt"
        replicate = trial.replicate
        # A fold has luck of its own, as in bench's loop; small, for some libraries take 32 bits.
        seed = replicate.seed if replicate.fold is None else replicate.stream_seed % 2**31
        given = {
            "seed": str(seed),
            "fold": str(replicate.fold or 0),
            "data": str(self.folder / "data"),
            "out": str(self.folder / "out"),
            "device": self.device,
        }
        line = filled(trial.recipe.command, given, trial.recipe.model_dump(mode="json"))
        if line[0] in ("python", "python3"):
            line[0] = sys.executable  # what bench runs with, and what is installed beside it
        threads = str(trial.recipe.cpu_threads)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONHASHSEED": str(replicate.seed)}
        with log.open("wb") as output:
            try:
                process = subprocess.Popen(
                    line,
                    cwd=trial.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise UserError(f"{shorten(line[0])} cannot be run: {error.strerror}") from None
            watch = _watch(process.pid)
            try:
                while process.poll() is None:
                    if stop():
                        _end(process)
                        raise Interrupted("stopped; what it left in its out/ folder stays")
                    time.sleep(POLL_S)
                    yield
            finally:
                _end(process)
                _dismiss(watch)
        if process.returncode:
            code = process.returncode
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            said = told_by(log.read_text("utf-8", errors="replace").strip(), TOLD)
            raise UserError(f"{shorten(' '.join(line), 200)}: {how}\n{said}")

    def _read(self, orders: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.float64]]:
        """Probabilities (N, K) of each set, or of the class that was answered 1."""
        form = "set, image and p_<class> (or pred), a row for each image of each set"
        sheet = read([self.folder / "out"], ("image",), form)
        classes = self.development.classes
        sets = sheet.cells.get("set")
        names = (
            np.full(len(sheet.number), VAL if set(orders) == {VAL} else "", object) if sets is None else sets
        )
        if sets is None and len(orders) > 1:
            raise UserError(f"{sheet.files[0].name}: lacks the column set: {', '.join(orders)}")
        said = _said(sheet.said, sheet.classes, sheet.cells.get("pred"), classes)
        found = {}
        for name, order in orders.items():
            rows = np.flatnonzero(names == name)
            places = _places(sheet.cells["image"][rows], len(order), name)
            whole = np.empty((len(order), len(classes)))
            whole[order[places]] = said[rows]
            found[name] = whole
        return found


def _which(folder: Path) -> tuple[int, int] | None:
    """Which folder it is, whatever it holds; None where there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _save(file: Path, samples: Samples, order: NDArray[np.int64], *, labels: bool) -> None:
    """Images (N, H, W, C) uint8 in this order, ``image`` (N,) their names, labels where these are told."""
    told = {"labels": samples.labels[order]} if labels else {}
    np.savez(file, images=samples.images[order], image=np.arange(len(order)).astype(str), **told)  # type: ignore[arg-type]


def _places(images: NDArray[np.object_], count: int, name: str) -> NDArray[np.int64]:
    """The images of a set that rows are about, numbered; each once. Raises UserError."""
    known = {str(k): k for k in range(count)}
    places = np.array([known.get(str(image), -1) for image in images], np.int64)
    strange = np.flatnonzero(places < 0)
    if len(strange):
        raise UserError(
            f"it predicted image {shorten(str(images[strange[0]]))} of {name}, which has none of that name"
        )
    seen = np.bincount(places, minlength=count)
    if (seen != 1).any():
        image = int(np.flatnonzero(seen != 1)[0])
        many = f"{int((seen != 1).sum()):,} of {count:,} images of {name}"
        raise UserError(f"it predicted {many} not once, image {image} {seen[image]} times")
    return places


def _said(
    probabilities: NDArray[np.float64],
    columns: tuple[str, ...],
    answers: NDArray[np.object_] | None,
    classes: tuple[str, ...],
) -> NDArray[np.float64]:
    """What it said, (N, K) in the order of the classes; NaN where it said nothing. Raises UserError."""
    place = {name: k for k, name in enumerate(classes)}
    if columns:
        if set(columns) != set(classes):
            wanted = ", ".join(P + name for name in classes)
            raise UserError(
                f"it gave probabilities of {shorten(list(columns), 200)}; the columns are {wanted}"
            )
        said = probabilities[:, [columns.index(name) for name in classes]]
        sums = said[np.isfinite(said).all(axis=1)].sum(axis=1)
        if (abs(sums - 1) > 0.01).any():
            raise UserError(
                f"its probabilities add up to {sums[abs(sums - 1).argmax()]:.4g}; give softmax's output"
            )
        return said
    if answers is None:
        raise UserError("it gave neither p_<class> nor pred")
    numbers = np.array([place.get(str(answer), -1) for answer in answers])
    if (numbers < 0).any():
        raise UserError(
            f"it answered {shorten(str(answers[(numbers < 0).argmax()]))}; classes are {', '.join(classes)}"
        )
    chosen: NDArray[np.float64] = np.eye(len(classes))[numbers]
    return chosen


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, at once if it does not go by itself, and whatever it started and left behind."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE_S)
    with contextlib.suppress(ProcessLookupError):  # none of its group is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _watch(group: int) -> subprocess.Popen[bytes]:
    """Someone to end the program and all that it started, where the worker that waits for it is killed.

    group   process group of the program, which is in a session of its own

    A killed worker can end nothing. Its end of this pipe closes whatever happens to it.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill -s KILL -- "-$0"', str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C is for the worker to hear
    )


def _dismiss(watch: subprocess.Popen[bytes]) -> None:
    """The group has ended, its number may be another's soon."""
    watch.kill()
    watch.communicate()
