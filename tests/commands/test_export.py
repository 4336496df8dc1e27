from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from tiny import HIDDEN, machine_in, write_study
from typer.testing import CliRunner

from bench.cli import app
from bench.commands.export import export
from bench.data import provide
from bench.errors import UserError
from bench.export import codabench, submission
from bench.models.stored import stored_network
from bench.plan import TEST, Run
from bench.progress.terminal import Terminal
from bench.recipe import Choice, Recipe
from bench.run.conductor import Options, run_study
from bench.run.planning import prepare
from bench.store import Record, Store

QUIET = Terminal(quiet=True)
ARMS = """\
flips = { augment = ["flip"], tta = "flips" }
timm = { model = { name = "mobilenetv2_035", dense = 6, mean = [0.5, 0.5, 0.5] } }
diverges = { optimizer = { name = "sgd", lr = 1e18 } }
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study that was run: two arms of our own network, a timm model, one that diverged."""
    folder = tmp_path_factory.mktemp("export")
    run_study(write_study(folder, hidden=HIDDEN, arms=ARMS), machine_in(folder), Options(), QUIET)
    return folder


def run_of(home: Path, arm: str) -> Run:
    plan = prepare(home / "tiny.toml", machine_in(home))
    return next(run for run in plan.runs if run.arm == arm)


def made(home: Path, arm: str, form: str, out: Path) -> list[Path]:
    return export(run_of(home, arm).trial.id, form, machine_in(home), QUIET, out)


def test_safetensors_hold_every_tensor_and_the_recipe(home: Path, tmp_path: Path) -> None:
    id = run_of(home, "none").trial.id
    weights, about = made(home, "none", "safetensors", tmp_path)
    assert (weights.name, about.name) == (f"{id}.safetensors", f"{id}.json")
    stored = load_file(Store(home / "results").weights_path(id))
    written = load_file(weights)
    assert list(written) == list(stored)
    assert all(torch.equal(written[name], tensor) for name, tensor in stored.items())
    told = json.loads(about.read_text())
    assert told["id"] == id
    assert len(told["classes"]) == 8
    assert told["class_numbers"] == list(range(8))
    assert (told["size_px"], told["channels"], told["tta"]) == (16, 3, "none")
    assert Recipe.model_validate_json(json.dumps(told["recipe"])).model.params["widths"] == [4]
    np.testing.assert_allclose(told["mean"], stored["mean"].flatten().numpy())
    again = stored_network(
        Choice.model_validate(told["recipe"]["model"]), told["size_px"], weights, told["id"]
    )
    assert torch.equal(again.head.classifier.bias, stored["head.classifier.bias"])
    with safe_open(weights, "pt") as file:
        assert json.loads(file.metadata()["bench"]) == told


def test_files_lie_in_the_trial_s_folder_unless_another_is_given(home: Path) -> None:
    id = run_of(home, "none").trial.id
    arguments = ["export", id[:10], "--results", str(home / "results")]
    said = CliRunner().invoke(app, arguments)
    assert said.exit_code == 0, said.output
    folder = home / "results" / "trials" / id / "export"
    assert said.stdout.splitlines() == [str(folder / f"{id}.safetensors"), str(folder / f"{id}.json")]


def test_onnx_answers_as_the_network_that_was_scored(home: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra bench[onnx]")
    run = run_of(home, "flips")
    (file,) = made(home, "flips", "onnx", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{run.trial.id}.onnx"]
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    notes = session.get_modelmeta().custom_metadata_map
    assert json.loads(notes["bench"])["id"] == run.trial.id
    assert notes["precision"] == "fp32"
    assert notes["test_time_augmentation"] == "not in the graph; the trial's scores were made with flips"
    samples = provide.held_out(run.trial, run.sets[0], home / "cache")
    images = np.ascontiguousarray(samples.images)
    views = [images, images[:, ::-1], images[:, :, ::-1], images[:, ::-1, ::-1]]
    found = [
        torch.from_numpy(session.run(None, {"images": np.ascontiguousarray(view)})[0]).softmax(1).numpy()
        for view in views
    ]
    stored = Store(home / "results").predictions(run.trial.id)[run.sets[0].key]
    np.testing.assert_allclose(np.mean(found, 0), stored.probabilities, atol=2e-3)


def test_an_onnx_graph_that_is_not_the_network_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra bench[onnx]")
    from bench.export import onnx

    real = onnx.write

    def wrong(network: torch.nn.Module, *rest: object) -> Path:
        network.head.classifier.bias.data += 0.002  # type: ignore[union-attr, operator]
        file = real(network, *rest)  # type: ignore[arg-type]
        network.head.classifier.bias.data -= 0.002  # type: ignore[union-attr, operator]
        return file

    monkeypatch.setattr(onnx, "write", wrong)
    with pytest.raises(
        UserError, match=r"graph is not the network, and was not kept\n.*logits by up to 0\.002"
    ):
        made(home, "none", "onnx", tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- the submission, where nothing but torch and timm is -----------------------------------------------------

ALONE = '''
import sys

ALLOWED = set(sys.stdlib_module_names) | set({allowed!r})

class OnlyAllowed:
    """A finder that does not find what is not allowed."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ALLOWED or name.startswith("_sysconfigdata"):
            return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path = [OnlyAllowed(finder) for finder in sys.meta_path]
'''


def top_levels() -> list[str]:
    """What can be imported where torch and timm are installed, and what they need, and nothing else."""
    from packaging.requirements import Requirement

    wanted, waiting = set(), ["torch", "timm", "numpy"]
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name not in wanted:
            wanted.add(name)
            try:
                needs = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                continue  # of another platform
            waiting += [
                r.name for r in map(Requirement, needs) if not r.marker or r.marker.evaluate({"extra": ""})
            ]
    return [
        top
        for top, distributions in importlib.metadata.packages_distributions().items()
        if any(each.lower().replace("_", "-") in wanted for each in distributions)
    ]


EACH = """
from importlib import import_module
import numpy as np

for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    sys.modules.pop("model", None), sys.modules.pop("reading", None)
    said = import_module("model").Model().predict(np.load(f"{folder}/X.npy"))
    np.save(f"{folder}/said.npy", said)
    turned = [np.pad(X, ((0, 0), (7, 7), (0, 0))) for X in np.load(f"{folder}/X.npy")]
    assert (import_module("model").Model().predict(turned) == said).all()  # reading.py works alone, too
    sys.path.remove(folder)
"""


def in_this_process(file: Path, images: np.ndarray) -> np.ndarray:
    """The submission's answers, without the wait for another process to import torch."""
    folder = file.parent / "unpacked"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submission, "HERE", folder)
        return submission.Model().predict(images)


def test_submissions_need_torch_and_timm_only_and_repeat_the_stored_answers(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codabench, "answers", in_this_process)
    arms = {arm: run_of(home, arm) for arm in ("none", "flips", "timm")}
    for arm, run in arms.items():
        (file,) = made(home, arm, "codabench", tmp_path)
        assert file.name == f"{run.trial.id}.zip"
        with zipfile.ZipFile(file) as archive:
            archive.extractall(tmp_path / arm)
        images = provide.held_out(run.trial, run.sets[0], home / "cache").images
        np.save(tmp_path / arm / "X.npy", images)
    done = python(
        ALONE.format(allowed=[*top_levels(), "model", "reading"]) + EACH,
        *(str(tmp_path / arm) for arm in arms),
    )
    assert done.returncode == 0, done.stderr
    for arm, run in arms.items():
        assert run.sets[0].name == TEST
        stored = Store(home / "results").predictions(run.trial.id)[run.sets[0].key]
        said = np.load(tmp_path / arm / "said.npy")
        np.testing.assert_array_equal(said, stored.probabilities.argmax(1), err_msg=arm)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_block_does_block_bench_and_what_only_bench_needs() -> None:
    allowed = top_levels()
    assert {"torch", "timm", "numpy"} <= set(allowed)
    assert not {"bench", "kornia", "pydantic", "optuna", "pandas", "sklearn"} & set(allowed)
    for blocked in ("bench", "kornia", "pydantic"):
        code = ALONE.format(allowed=allowed) + f"import {blocked}"
        assert f"No module named '{blocked}'" in python(code).stderr


def test_a_submission_that_answers_otherwise_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codabench, "answers", lambda file, images: np.full(len(images), -1))
    with pytest.raises(UserError, match=r"answers otherwise than the network on 12 of 12 validation images"):
        made(home, "none", "codabench", tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- what can be wrong ---------------------------------------------------------------------------------------


def test_another_format_is_refused_with_what_there_is(home: Path) -> None:
    with pytest.raises(UserError, match=r'--format "onx" is no form of a network; did you mean "onnx"'):
        made(home, "none", "onx", home)


def test_the_first_digits_must_tell_one_trial(home: Path) -> None:
    for wanted, found in (("", "4 trials of .* have"), ("zz", "no trial of .* has")):
        with pytest.raises(UserError, match=f"{found} an id that starts with '{wanted}'"):
            export(wanted, "safetensors", machine_in(home), QUIET)


def test_a_trial_that_diverged_has_nothing_to_export(home: Path) -> None:
    with pytest.raises(UserError, match=r"diverged \(not .*\): there is no trained network"):
        made(home, "diverges", "safetensors", home)


def failed(home: Path, folder: Path, **changes: object) -> Store:
    """A store with one record, made from a real one."""
    real = Store(home / "results").read(run_of(home, "none").trial.id)
    assert real is not None
    store = Store(folder / "results")
    record = Record.model_validate(real.model_dump() | changes)
    store.write(record, history=[], predictions={})
    return store


def test_a_trial_that_failed_has_nothing_to_export(home: Path, tmp_path: Path) -> None:
    id = failed(home, tmp_path, status="failed", cause="oom").ids()[0]
    with pytest.raises(UserError, match=rf"trial {id} failed \(oom\): .*\n    bench show {id}"):
        export(id, "safetensors", machine_in(tmp_path), QUIET)


def test_without_weights_it_says_what_to_do(home: Path, tmp_path: Path) -> None:
    id = failed(home, tmp_path).ids()[0]
    with pytest.raises(UserError, match=r"were not kept\n.*\n    set keep_weights = true, delete .* and run"):
        export(id, "safetensors", machine_in(tmp_path), QUIET)


def test_without_images_only_safetensors_can_be_had(home: Path, tmp_path: Path) -> None:
    id = run_of(home, "none").trial.id
    store = failed(home, tmp_path)
    weights = Store(home / "results").weights_path(id).read_bytes()
    store.weights_path(id).write_bytes(weights)
    with pytest.raises(
        UserError, match=r"--format codabench is checked on validation images .*\n    no study of"
    ):
        export(id, "codabench", machine_in(tmp_path), QUIET)
    assert len(export(id, "safetensors", machine_in(tmp_path), QUIET)) == 2


NATIVE = """\
question = "Does the export see what was scored?"
seeds = 1

[data]
source = "folder:cells"
size_px = 16

[recipe]
model = {{ name = "custom_cnn", widths = [8], dense = 8 }}
batch_size = 16
stages = [{{ train = "all", epochs = {epochs} }}]

[arms]
plain = {{}}
"""


def test_a_submission_is_checked_on_native_files_that_are_not_square(tmp_path: Path) -> None:
    """What tells the classes apart lies in the middle; the sides hold a colour of the other class."""
    rng = np.random.default_rng(0)
    colours = np.array([[200, 40, 40], [40, 40, 200]])
    for k in range(120):
        wide = np.broadcast_to(colours[1 - k % 2], (16, 48, 3)).copy()
        wide[:, 16:32] = colours[k % 2]
        noisy = np.clip(wide + rng.normal(0, 30, wide.shape), 0, 255).astype(np.uint8)
        file = tmp_path / "cells" / ["12", "2"][k % 2] / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy).save(file)
    (tmp_path / "native.toml").write_text(NATIVE.format(epochs=6))
    run_study(tmp_path / "native.toml", machine_in(tmp_path), Options(), QUIET)
    (run,) = prepare(tmp_path / "native.toml", machine_in(tmp_path)).runs
    record = Store(tmp_path / "results").read(run.trial.id)
    assert record is not None
    assert (record.classes, record.scores[run.sets[0].key]["accuracy"]) == (["2", "12"], 1.0)
    (file,) = export(run.trial.id, "codabench", machine_in(tmp_path), QUIET)
    files = sorted((tmp_path / "cells").glob("*/*.png"))
    said = codabench.answers(file, files)
    assert said.tolist() == [int(path.parent.name) for path in files]


def test_a_study_file_that_was_edited_since_is_no_hindrance(home: Path, tmp_path: Path) -> None:
    id = run_of(home, "none").trial.id
    file = home / "tiny.toml"
    text = file.read_text()
    file.write_text(text.replace("n_images = 120", "n_images = 200"))
    try:
        assert len(export(id, "codabench", machine_in(home), QUIET, tmp_path)) == 1
    finally:
        file.write_text(text)


def test_a_file_is_no_folder_to_write_into(home: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UserError, match=r"--out .*taken: File exists; name a folder"):
        made(home, "none", "safetensors", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
