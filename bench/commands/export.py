"""``bench export``: a trial's network in another form, checked before it is kept; a study's predictions."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands.show import find
from bench.commands.status import read_plan
from bench.commands.trained import network_of, recipe_of, run_of
from bench.data.classes import numbers
from bench.errors import UserError, did_you_mean
from bench.judge.used import as_used
from bench.machine import Machine
from bench.progress.terminal import Terminal
from bench.recipe import Recipe
from bench.registry import sources
from bench.store import Record, Store

if TYPE_CHECKING:
    from bench.data.images import Pixels, Samples
    from bench.models.network import Network

FORMATS = ("safetensors", "onnx", "codabench", "predictions")
SQUARES = {
    "crop": "the central square resized",
    "pad": "the whole image resized and padded (fill)",
    "squash": "both sides resized",
}
"""How an image of another size becomes what the network takes, by ``fit``."""
CHECKED_ON = 512
"""Validation images, at most, on which a form must say what the network says."""


@dataclass(frozen=True)
class _Export:
    """One trained network on its way out."""

    record: Record
    recipe: Recipe
    network: Network
    store: Store
    machine: Machine
    terminal: Terminal

    @property
    def size_px(self) -> int:
        """Height and width that it was trained with."""
        return int(self.record.data["size_px"])

    def about(self) -> dict[str, Any]:
        """What a stranger needs to use the weights, and to know where they come from."""
        record, network = self.record, self.network
        return {
            "id": record.id,
            "classes": list(record.classes),
            "class_numbers": numbers(record.classes, numbered=sources.numbered(record.data["source"])),
            "size_px": self.size_px,
            "channels": network.mean.shape[1],
            "bit_range": record.data.get("bit_range"),
            "fit": record.data.get("fit", "crop"),
            "fill": record.data.get("fill", "black"),
            "mean": network.mean.flatten().tolist(),
            "std": network.std.flatten().tolist(),
            "tta": self.recipe.tta,
            "precision": self.recipe.precision,
            "recipe": record.recipe,
            "data": record.data,
            "data_fingerprint": record.data_fingerprint,
            "seed": record.seed,
            "fold": record.fold,
            "validation": dict(record.validation),
            "versions": dict(record.versions),
            "libraries": dict(record.libraries),
            "commit": record.commit,
        }

    def validation(self, why: str) -> tuple[Samples, list[Path] | list[Pixels]]:
        """Some of the trial's own validation images, as trained and as their source has them.

        Raises UserError, ``why`` first, when they are gone.
        """
        import numpy as np

        from bench.data import provide

        try:
            trial = run_of(self.record, self.store, self.machine).trial
            with self.terminal.counting("decoding images") as count:
                images = provide.development(trial, self.machine.cache, count).val
        except UserError as error:
            raise UserError(
                f"{why} is checked on validation images of trial {self.record.id}, which cannot be had\n"
                f"    {error}\n    --format safetensors needs no images"
            ) from None
        some = images.take(np.arange(min(CHECKED_ON, len(images))))
        return some, provide.natives(trial, some.ids, self.machine.cache)


def export(
    wanted: str, form: str, machine: Machine, terminal: Terminal, out: Path | None = None
) -> list[Path]:
    """Write the network of the trial whose id starts with ``wanted``; returns the files. Raises UserError.

    With ``predictions`` it is a study's name or file, and what its trials said is written.
    """
    if form == "predictions":
        return _predictions(wanted, Store(machine.results), terminal, out)
    if form not in FORMATS:
        raise UserError(f'--format "{form}" is no form of a network; {did_you_mean(form, FORMATS)}')
    if form == "onnx":
        from bench.export import onnx

        onnx.require()
    store = Store(machine.results)
    record = find(wanted, store)
    network, recipe = network_of(record, store), recipe_of(record)
    folder = _made(out or store.trial_dir(record.id) / "export")
    write = {"safetensors": _safetensors, "onnx": _onnx, "codabench": _codabench}[form]
    return write(_Export(record, recipe, network, store, machine, terminal), folder)


def _predictions(wanted: str, store: Store, terminal: Terminal, out: Path | None) -> list[Path]:
    from bench.export.predictions import Exported

    plan = read_plan(Path(wanted).stem if wanted.endswith(".toml") else wanted, store)
    folder = _made(out or store.study_dir(plan.study) / "export")
    return Exported(as_used(plan, store), plan, store, terminal).write(folder)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {folder}: {error.strerror}; name a folder that can be written") from None
    return folder


def _safetensors(export: _Export, folder: Path) -> list[Path]:
    """``<id>.safetensors``, every tensor by its name, and ``<id>.json`` about it."""
    from safetensors.torch import save

    from bench.files import hand_over

    about = json.dumps(export.about(), indent=1, ensure_ascii=False)
    state = {name: tensor.contiguous() for name, tensor in export.network.state_dict().items()}
    content = save(state, metadata={"format": "pt", "bench": about})
    id = export.record.id
    return [
        hand_over(folder / f"{id}.safetensors", content),
        hand_over(folder / f"{id}.json", f"{about}\n".encode()),
    ]


def _onnx(export: _Export, folder: Path) -> list[Path]:
    """``<id>.onnx``: bytes in, logits out; the same answers as torch on validation images."""
    from bench.export import onnx

    images = export.validation("--format onnx")[0].images[:]
    notes = _notes(export)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as made:
        with export.terminal.counting("exporting"):
            file = onnx.write(export.network, export.size_px, notes, Path(made) / "model.onnx")
        largest, differ = onnx.difference(export.network, file, images)
        if differ or not largest <= onnx.TOLERANCE:
            raise UserError(
                f"trial {export.record.id}: the ONNX graph is not the network, and was not kept\n"
                f"    on {len(images)} validation images {differ} answers differ, logits by up to "
                f"{largest:.2g} (allowed: none, {onnx.TOLERANCE:g}); use --format safetensors"
            )
        export.terminal.note(
            f"checked on {len(images)} validation images: the same answers, logits within {largest:.1g}"
        )
        return [_kept(file, folder / f"{export.record.id}.onnx")]


def _notes(export: _Export) -> dict[str, str]:
    """What the graph's metadata says: what goes in and out, and what of the recipe is not in it."""
    tta, precision, about = export.recipe.tta, export.recipe.precision, export.about()
    return {
        "input": f"images: uint8 (batch, {export.size_px}, {export.size_px}, channels), 0 to 255; "
        f"normalisation is inside; of other sizes, {SQUARES[about['fit']]} by Pillow, bicubic",
        "output": "logits: float32 (batch, classes), in the order of classes; softmax gives probabilities",
        "classes": json.dumps(export.record.classes, ensure_ascii=False),
        "test_time_augmentation": "not in the graph"
        + ("" if tta == "none" else f"; the trial's scores were made with {tta}"),
        "precision": "fp32"
        + ("" if precision == "fp32" else f"; the trial's scores were made with {precision}"),
        "bench": json.dumps(about, ensure_ascii=False),
    }


def _codabench(export: _Export, folder: Path) -> list[Path]:
    """``<id>.zip``: a submission that says, in a process of its own, what the trial's network says."""
    import numpy as np

    from bench.evaluate import predict
    from bench.export import codabench

    about = export.about() | {"model": codabench.layers(export.recipe, export.network, export.size_px)}
    samples, natives = export.validation("--format codabench")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as made:
        file = codabench.write(export.network, about, Path(made) / "submission.zip")
        with export.terminal.counting("running the submission"):
            said = codabench.answers(file, natives)
        tta, precision = export.recipe.tta, export.recipe.precision
        ours = predict(export.network, samples, "cpu", tta=tta, precision=precision).astype(np.float16)
        differ = int((said != np.array(about["class_numbers"])[ours.argmax(1)]).sum())
        if differ:
            raise UserError(
                f"trial {export.record.id}: the submission answers otherwise than the network on {differ} of "
                f"{len(samples)} validation images, and was not kept\n    use --format safetensors or onnx"
            )
        export.terminal.note(f"checked on {len(samples)} validation images: the same answers")
        return [_kept(file, folder / f"{export.record.id}.zip")]


def _kept(file: Path, place: Path) -> Path:
    os.replace(file, place)
    return place
