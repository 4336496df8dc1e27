"""``bench predict``: what trained networks say about images, one row each; an arm's seeds speak together."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands.speakers import Speakers, arms_of, speakers_of
from bench.commands.trained import network_of, recipe_of, run_of
from bench.errors import UserError, did_you_mean
from bench.files import Count, hand_over
from bench.judge.findings import LOCAL
from bench.machine import Machine
from bench.plan import TEST
from bench.progress.terminal import Terminal
from bench.recipe import Data
from bench.record import Record
from bench.run.crew import device_of
from bench.store import UNREADABLE, VALIDATION, Predictions, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.data.images import Pixels
    from bench.data.unlabelled import Unlabelled
    from bench.models.network import Network

    Floats = NDArray[np.float64]

BATCH = 256
"""Images that are read and labelled at a time."""
THREADS = 2
SHOWN = 10
"""Unreadable files that the note at the end names; the table has all."""


def predict(wanted: str, written: str, machine: Machine, terminal: Terminal, out: Path | None) -> str:
    """Label the images of ``written``; the table as CSV, or where it was written. Raises UserError.

    wanted   a trial's id or its first digits; an arm, ``ARM`` or ``STUDY/ARM``
    """
    from bench.data.unlabelled import open_unlabelled

    speakers = speakers_of(wanted, Store(machine.results), terminal, with_weights=True)
    data = _data_of(speakers)
    images = open_unlabelled(written, data, machine, Path.cwd())
    with terminal.counting("labelling", "images") as count:
        rows = list(_labelled(images, speakers, data, machine, count))
    if (many := len(speakers.records)) > 1:
        terminal.note(f"{wanted}: the mean of {many} networks; a report's scores are of one network each")
    broken = [row["file"] for row in rows if row["problem"]]
    if broken:
        more = ", …" if len(broken) > SHOWN else ""
        terminal.note(
            f"{len(broken):,} of {len(rows):,} images cannot be read: {', '.join(broken[:SHOWN])}{more}\n"
            "    the column problem says why"
        )
    return _told(rows, out)


def scored(wanted: str, name: str, machine: Machine, terminal: Terminal, out: Path | None) -> str:
    """Stored predictions of a scored set, with file names where the images can still be had.

    name   ``local``, ``val`` (validation images) or a hidden set; an arm says of each image the mean of its
           trials that were scored on it
    """
    import numpy as np

    store = Store(machine.results)
    speakers = speakers_of(wanted, store, terminal, with_weights=False)
    said = [_stored(record, name, store) for record in speakers.records]
    head = said[0]
    kinds = np.concatenate([one.labels * 0 if one.conditions is None else one.conditions for one in said])
    ids, labels = (np.concatenate([getattr(one, key) for one in said]) for key in ("ids", "labels"))
    of = np.stack([ids.view(np.int64), labels, kinds], axis=1)
    images, image_of, trials = np.unique(of, axis=0, return_inverse=True, return_counts=True)
    sums = np.zeros((len(images), len(speakers.classes)))
    np.add.at(sums, image_of.ravel(), np.concatenate([one.probabilities for one in said]).astype(np.float64))
    names = _file_names(speakers, name, machine, terminal)
    rows = []
    for (signed, label, at), mean, count in zip(images, sums / trials[:, None], trials, strict=True):
        id = int(signed) % 2**64
        about = {"file": names.get(id, f"id {id:016x}")}
        about |= {"condition": head.condition_names[at]} if head.condition_names else {}
        about["label"] = speakers.classes[label]
        rows.append(about | _said(mean, speakers.classes, int(count)))
    return _told(sorted(rows, key=lambda row: row["file"]), out)


# -- new images ----------------------------------------------------------------------------------------------


def _data_of(speakers: Speakers) -> Data:
    """How the trials' images were read; which images they were does not matter."""
    kept = {key: value for key, value in speakers.records[0].data.items() if key in READ_BY}
    return Data.model_validate_json(json.dumps({"source": "synthetic", **kept}))


READ_BY = ("size_px", "bit_range", "fit", "fill")
"""Keys of ``[data]`` by which a file becomes what a network sees."""


def _labelled(
    images: Unlabelled, speakers: Speakers, data: Data, machine: Machine, count: Count
) -> Iterator[dict[str, Any]]:
    """A row for every image, in their order."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from bench.data.reader import BrokenImageError
    from bench.data.reading import square
    from bench.data.unlabelled import in_channels
    from bench.train.device import computing

    device = device_of(machine)
    networks = [network_of(record, speakers.store) for record in speakers.records]
    recipes = [recipe_of(record) for record in speakers.records]
    channels = int(networks[0].mean.shape[1])

    def read(index: int) -> Pixels | str:
        try:
            native = images.native(index)
        except BrokenImageError as error:
            return str(error)
        return square(in_channels(native, channels, images.names[index]), data.size_px, data.fit, data.fill)

    with ExitStack() as stack:
        stack.enter_context(computing(recipes[0], device))
        pool = stack.enter_context(ThreadPoolExecutor(THREADS))
        for start in range(0, len(images.names), BATCH):
            names = images.names[start : start + BATCH]
            pictures = list(pool.map(read, range(start, start + len(names))))
            whole = [picture for picture in pictures if not isinstance(picture, str)]
            said = iter(_mean(networks, speakers, np.stack(whole), device) if whole else ())
            for name, picture in zip(names, pictures, strict=True):
                if isinstance(picture, str):
                    yield {"file": name, "class": "", "problem": picture}
                else:
                    yield {"file": name, **_said(next(said), speakers.classes, len(networks)), "problem": ""}
            count(start + len(names), len(images.names))


def _mean(networks: Sequence[Network], speakers: Speakers, pixels: Pixels, device: str) -> Floats:
    """Mean probabilities (B, K) of all networks for (B, S, S, C) uint8, each rounded as trials store them."""
    import numpy as np

    from bench import evaluate
    from bench.data.images import Samples

    none = np.zeros(len(pixels), np.int64)
    samples = Samples(pixels, none, none.astype(np.uint64))
    total = np.zeros((len(pixels), len(speakers.classes)))
    for network, record in zip(networks, speakers.records, strict=True):
        recipe = recipe_of(record)
        network.to(device=device)
        said = evaluate.predict(network, samples, device, tta=recipe.tta, precision=recipe.precision)
        total += said.astype(np.float16)
    mean: Floats = total / len(networks)
    return mean


# -- stored predictions --------------------------------------------------------------------------------------


def _stored(record: Record, name: str, store: Store) -> Predictions:
    """What a trial said about a set. Raises UserError for one that it was not scored on."""
    known = _keys(record, store)
    if name not in known:
        raise UserError(
            f'--scored "{name}": trial {record.id} was not scored on it; {did_you_mean(name, known)}'
        )
    try:
        said = {} if store.lost(record, whole=True) else store.predictions(record.id)
        found = said.get(known[name])
    except UNREADABLE:
        found = None
    if found is None:
        raise UserError(
            f"{store.trial_dir(record.id)} holds no predictions of {name} that can be read; put the file back"
        )
    return found


def _keys(record: Record, store: Store) -> dict[str, str]:
    """What a trial was scored on: names in any study of the folder → key of its predictions."""
    named = {"val": VALIDATION}
    for _, arm in arms_of(store):
        for trial in arm.trials:
            if trial.id == record.id:
                named |= {LOCAL if name == TEST else name: key for name, key in trial.sets.items()}
    return {name: key for name, key in named.items() if key == VALIDATION or key in record.scores}


def _file_names(speakers: Speakers, name: str, machine: Machine, terminal: Terminal) -> dict[int, str]:
    """Id → what the image is called in its source; of identical ones the first. Empty where it is gone."""
    from bench.data import provide
    from bench.data.foreign import as_written
    from bench.data.reader import open_source
    from bench.recipe import External

    try:
        run = run_of(speakers.records[0], speakers.store, machine)
        hidden = next((one for one in run.sets if one.name == name), None)
        data, source = run.trial.data, run.trial.source
        if hidden is not None and isinstance(hidden.hidden, External) and hidden.source is not None:
            data, source = as_written(hidden.hidden, data), hidden.source
        images, _ = provide.opened(data, source, machine.cache, None)
        called = open_source(data, source).names
    except UserError as error:
        terminal.note(f"no file names: {error}")
        return {}
    names = called or [f"image {place}" for place in range(len(images))]
    return dict(zip(reversed(images.ids.tolist()), reversed(names), strict=True))


# -- the table -----------------------------------------------------------------------------------------------


def _said(mean: Floats, classes: Sequence[str], trials: int) -> dict[str, Any]:
    """The likeliest class and all probabilities (K,); at a tie the first class, as in every score."""
    each = {f"p_{name}": f"{value:.6g}" for name, value in zip(classes, mean, strict=True)}
    return {"class": classes[int(mean.argmax())], **each, "trials": trials}


def _told(rows: Sequence[dict[str, Any]], out: Path | None) -> str:
    """The table as text, or where it was written."""
    fullest = max(rows, key=lambda row: len(row.keys()))
    columns = list(fullest)
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    if out is None:
        return text.getvalue().rstrip("\n")
    return str(hand_over(out, text.getvalue().encode()))
