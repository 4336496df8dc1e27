from studies import ARMS, FakeLocator, read

from bench.plan import make_plan
from bench.recipe import Corrupted, Shifted
from bench.study.file import Folds
from bench.study.read import parse
from bench.study.smoke import smoke


def test_every_arm_stays_with_tiny_data_two_steps_and_one_seed():
    small = smoke(
        read("[arms]\nnone = {}\nbig = { batch_size = 512, data = { size_px = 224, limit = 9000 } }")
    )
    assert [arm.label for arm in small.arms] == ["none", "big"]
    assert small.seeds == (0,)
    for arm in small.arms:
        assert (arm.data.source, arm.data.size_px, arm.data.n_images) == ("synthetic", 32, 160)
        assert arm.recipe.batch_size == 16
        assert [(s.train, s.steps, s.eval_every, s.epochs) for s in arm.recipe.stages] == [
            ("head", 2, 2, None),
            ("all", 2, 2, None),
        ]
    assert small.arm("big").data.limit == 160
    assert small.recipe == small.arm(small.baseline).recipe


def test_what_a_stage_trains_and_at_which_rate_stays():
    stages = (
        'stages = [{ train = "none" }, { train = "top:3", epochs = 9, lr_scale = 0.1, layer_decay = 0.9 }]'
    )
    skipped, top = smoke(read(f"[arms]\na = {{ {stages} }}")).arms[0].recipe.stages
    assert skipped.train == "none"
    assert (top.train, top.lr_scale, top.layer_decay, top.steps) == ("top:3", 0.1, 0.9, 2)


def test_no_weights_are_fetched():
    arms = """
    [arms]
    hub = { model = { name = "vgg16", pretrained = true } }
    file = { model = { name = "vgg16", weights = "w.pth", dropout = 0.5 } }
    own = {}
    """
    models = {arm.label: arm.recipe.model for arm in smoke(read(arms)).arms}
    for label in ("hub", "file"):
        assert (models[label].name, models[label].params["pretrained"], models[label].params["weights"]) == (
            "vgg16", False, None,
        )  # fmt: skip
    assert models["file"].params["dropout"] == 0.5
    assert "pretrained" not in models["own"].params


def test_hidden_sets_keep_their_names_and_become_small():
    hidden = """
    [hidden.heavy]
    kind = "corrupted"
    families = ["defocus", "noise", "jpeg"]
    [hidden.lab]
    kind = "external"
    source = "folder:nowhere"
    classes = { NEU = "neutrophil" }
    [hidden.drawn]
    kind = "synthetic"
    [val_shift]
    kind = "corrupted"
    families = ["motion", "gamma", "zoom"]
    """
    small = smoke(read(ARMS + hidden, top='primary = "lab.accuracy"'))
    assert small.hidden == {
        "heavy": Corrupted(kind="corrupted", images=8, families=("defocus", "noise", "jpeg")),
        "lab": Shifted(kind="synthetic", images=64),
        "drawn": Shifted(kind="synthetic", images=64),
    }
    assert small.val_shift == Corrupted(kind="corrupted", images=8, families=("motion", "gamma", "zoom"))
    assert small.primary == "lab.accuracy"


def test_class_names_stay_and_no_file_is_named():
    text = """
    question = "q"
    [data]
    source = "npz:cells.npz"
    classes = ["a", "b", "c"]
    split = "official"
    [recipe]
    model = "custom_cnn"
    [arms]
    x = {}
    """
    data = smoke(parse(text, name="x", file="x.toml")).data
    assert (data.source, data.classes, data.split) == ("synthetic", ("a", "b", "c"), None)


def test_cross_validation_keeps_two_folds_and_tuning_one_candidate():
    tune = '[tune]\ncandidates = 9\nseeds = 3\n[tune.space]\n"optimizer.lr" = { low = 1e-4, high = 1e-2 }'
    study = read(ARMS + tune)
    study = study.model_copy(update={"folds": Folds(kind="folds", k=5)})
    small = smoke(study)
    assert small.folds is not None
    assert small.tune is not None
    assert (small.folds.k, small.tune.candidates, small.tune.seeds) == (2, 1, 1)
    assert study.tune is not None
    assert study.tune.candidates == 9, "the study itself is not changed"


def test_arms_that_only_differed_in_what_smoke_takes_away_are_one_trial():
    small = smoke(read("[arms]\na = {}\nb = { data = { size_px = 224 } }"))
    a, b = make_plan(small, FakeLocator()).runs
    assert a.trial.id == b.trial.id


def test_a_smoke_run_of_a_smoke_run_is_the_same():
    assert smoke(smoke(read())) == smoke(read())


def test_a_smoke_run_counts_steps_and_tunes_no_epochs():
    space = '[tune]\n[tune.space]\n"stages.1.epochs" = { low = 1, high = 4 }\n'
    assert smoke(read(ARMS + space)).tune is None
    both = smoke(read(ARMS + space + '"optimizer.lr" = { low = 1e-4, high = 1e-2 }')).tune
    assert both is not None
    assert list(both.space) == ["optimizer.lr"]
