"""Who may import whom: imports only point down one list, and what must start at once stays light."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ORDER = (
    "__main__",
    "cli",
    "frame",
    "commands",
    "run",
    "explain",
    "export",
    "progress",
    "execute",
    "trial",
    "train",
    "evaluate",
    "report",
    "judge",
    "tune",
    "elsewhere",
    "models",
    "augment",
    "data",
    "metrics",
    "stats",
    "leftovers",
    "store",
    "folders",
    "slices",
    "predictions",
    "archive",
    "plan",
    "planned",
    "study",
    "corruptions",
    "identity",
    "briefs",
    "record",
    "recipe",
    "machine",
    "provenance",
    "streams",
    "registry",
    "claims",
    "at_work",
    "files",
    "errors",
)
"""Rooms of the house from top to bottom; each imports only from those below it, and within itself."""

MODULES = sorted(path for path in (ROOT / "bench").rglob("*.py") if path != ROOT / "bench" / "__init__.py")
"""All but the package's own ``__init__``, which lists the modules that register components."""


def name_of(path: Path) -> str:
    """``bench.data.sources`` for its file, ``bench.data`` for the folder's ``__init__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every module of ``bench`` that a file imports when it runs, inside functions too."""
    known = {name_of(file) for file in MODULES} | {"bench"}
    for node in _running(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (
                (node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "bench"
            )
        elif isinstance(node, ast.ImportFrom):
            package = (
                name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
            )
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            if source.split(".")[0] == "bench":
                deeper = [f"{source}.{alias.name}" for alias in node.names]
                yield from ((node.lineno, name if name in known else source) for name in deeper)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING:``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting: list[ast.AST] = list(node.orelse)
        else:
            waiting = [node]
        for each in waiting:
            yield each
            yield from _running(each)


def test_every_room_has_its_place_in_the_list():
    assert {room_of(name_of(path)) for path in MODULES} == set(ORDER)


def test_imports_only_point_down_the_list():
    wrong = [
        f"{name_of(path)}, line {line}: {module}"
        for path in MODULES
        for line, module in imports(path)
        if module != "bench" and ORDER.index(room_of(module)) < ORDER.index(room_of(name_of(path)))
    ]
    assert not wrong


def test_no_module_imports_itself_through_others():
    """Imports inside functions count too: a circle is a circle whenever it is walked."""
    graph = {
        name: {module for _, module in imports(path) if module not in ("bench", name)}
        for path in MODULES
        for name in [name_of(path)]
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_the_reader_of_imports_finds_them_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = ROOT / "bench" / "data" / "sources.py"
    source = """
import bench.plan
from bench import errors, __version__
from . import images
from .images import Pixels
if TYPE_CHECKING:
    from bench.cli import app
else:
    from bench.run.conductor import Options
def late():
    from bench.trial import run_trial
"""
    monkeypatch.setattr(Path, "read_text", lambda *_: source)
    assert [module for _, module in imports(file)] == [
        "bench.plan",
        "bench.errors",
        "bench",
        "bench.data.images",
        "bench.data.images",
        "bench.run.conductor",
        "bench.trial",
    ]


# -- what must start at once ---------------------------------------------------------------------------------

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "kornia",
    "pandas",
    "scipy",
    "sklearn",
    "matplotlib",
    "optuna",
    "PIL",
    "ray",
)
"""Blocked below: importing one of them there is an error."""


def run_without(blocked: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    block = f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
    return subprocess.run(
        [sys.executable, "-c", block + code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


def command(*arguments: str) -> str:
    return f"sys.argv = ['bench', *{arguments!r}]\nfrom bench.cli import main\nmain()"


@pytest.mark.parametrize(
    "code",
    [
        "import bench.cli",
        "import bench.study.read, bench.plan, bench.store",
        command("--help"),
        command("run", "--help"),
        command("list", "augmentations"),
        command("schema"),
        command("plan", "ablations/quickstart.toml"),
        command("plan", "ablations/smoke.toml", "--json"),
        command("status"),
    ],
)
def test_what_only_reads_starts_without_torch_and_pandas(code: str):
    # A plan says what the study can detect: special functions of SciPy, a third of a second.
    blocked = tuple(name for name in HEAVY if name != "scipy" or "'plan'" not in code)
    done = run_without(blocked, code)
    assert done.returncode == 0, done.stderr


def test_a_plan_needs_none_of_the_packages_whose_classes_a_study_names(tmp_path: Path):
    study = tmp_path / "ablations" / "names.toml"
    study.parent.mkdir()
    study.write_text(
        """
question = "Do names of classes cost anything?"
[data]
source = "synthetic"
[recipe]
model = "mobilenetv2_035"
[arms]
none = {}
shadow = { augment = [{ name = "kornia:RandomPlasmaShadow", roughness = [0.1, 0.5] }] }
[tune]
sampler = "optuna:CmaEsSampler"
pruner = "optuna:WilcoxonPruner"
seeds = 5
[tune.space]
"optimizer.lr" = { low = 1e-4, high = 1e-2, log = true }
"""
    )
    done = run_without(tuple(name for name in HEAVY if name != "scipy"), command("plan", str(study)))
    assert done.returncode == 0, done.stderr
    assert "shadow" in done.stdout


def test_statistics_and_reports_need_neither_torch_nor_pandas():
    done = run_without(("torch", "pandas"), "import bench.stats, bench.report, bench.commands.report")
    assert done.returncode == 0, done.stderr


def test_the_block_does_block():
    assert run_without(("torch",), "import torch").returncode != 0


def test_importing_bench_needs_neither_pydantic_nor_numpy():
    done = run_without((*HEAVY, "pydantic", "numpy"), "import bench, bench.registry, bench.machine")
    assert done.returncode == 0, done.stderr


def test_help_needs_neither_pydantic_nor_numpy():
    done = run_without((*HEAVY, "pydantic", "numpy"), command("--help"))
    assert done.returncode == 0, done.stderr
