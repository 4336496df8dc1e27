import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import ARMS, complaint, mistake, read

from bench.registry import optimizers


def factors(table: str, top: str = "", recipe: str = "") -> list[str]:
    """Labels of the arms of ``[factors]``."""
    return [arm.label for arm in read(f"[factors]\n{table}", top=top, recipe=recipe).arms]


# -- explicit arms -------------------------------------------------------------------------------------------


def test_each_arm_is_the_recipe_with_its_own_changes():
    study = read('[arms]\nnone = {}\nslow = { "optimizer.lr" = 0.01, batch_size = 8 }')
    none, slow = study.arms
    assert (none.recipe.optimizer.params["lr"], none.recipe.batch_size) == (1e-3, 64)
    assert (slow.recipe.optimizer.params["lr"], slow.recipe.batch_size) == (0.01, 8)
    assert (study.baseline, study.design, study.recipe) == ("none", "arms", none.recipe)


def test_another_optimizer_never_inherits_the_rate():
    study = read(
        '[arms]\na = {}\nb = { optimizer = "lion" }\nc = { optimizer = { name = "lion", lr = 0.5 } }'
    )
    default = optimizers["lion"].parameters({})["lr"]
    assert [arm.recipe.optimizer.params["lr"] for arm in study.arms] == [1e-3, default, 0.5]


def test_dotted_keys_patch_a_stage_quoted_or_not():
    study = read('[arms]\na = {}\n[arms.b]\n"stages.1.train" = "top:3"\n[arms.c]\nstages.1.train = "top:4"')
    assert [arm.recipe.stages[1].train for arm in study.arms] == ["all", "top:3", "top:4"]
    assert [arm.recipe.stages[1].epochs for arm in study.arms] == [2, 2, 2]


def test_an_arm_may_change_outliers_size_and_limit_of_the_data():
    study = read('[arms]\na = {}\nb = { data = { size_px = 64, outliers = "keep" }, "data.limit" = 100 }')
    data = study.arm("b").data
    assert (data.source, data.size_px, data.outliers, data.limit) == ("synthetic", 64, "keep", 100)
    assert study.data == study.arm("a").data


def test_an_arm_may_unset_what_the_recipe_sets():
    study = read(
        '[arms]\nours = {}\nscratch = { unset = ["model.weights", "optimizer.lr", "optimizer.beta1"] }',
        recipe='"model.name" = "resnet18"\n"model.weights" = "w.pth"\n"optimizer.beta1" = 0.8',
    )
    ours, scratch = (study.arm(label).recipe for label in ("ours", "scratch"))
    assert (ours.model.params["weights"], scratch.model.params["weights"]) == ("w.pth", None)
    assert ours.optimizer.params["beta1"] == 0.8
    assert scratch.optimizer.params == optimizers["adam"].parameters({})


def test_a_named_level_may_unset_and_so_may_its_combinations():
    study = read(
        '[factors.start]\nours = {}\nrandom = { unset = ["model.weights"] }\n'
        '[factors.limit]\nfew = {}\nall = { unset = ["data.limit"] }',
        recipe='"model.name" = "resnet18"\n"model.weights" = "w.pth"',
        data="limit = 100",
    )
    found = {arm.label: (arm.recipe.model.params["weights"], arm.data.limit) for arm in study.arms}
    assert found == {
        "ours + few": ("w.pth", 100), "ours + all": ("w.pth", None),
        "random + few": (None, 100), "random + all": (None, None),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (
            "optimizer.rl",
            mistake("[arms.x] unset", "", '"optimizer.rl" has its default already; known: lr, name'),
        ),
        ("model", mistake("[arms.x] model", "", "is required")),
        (
            "data.source",
            mistake(
                "[arms.x] data.source",
                "",
                "an arm may change only outliers, size_px, fit, fill, limit of the data",
            ),
        ),
    ],
)
def test_what_has_no_default_cannot_be_unset(key: str, text: str):
    assert complaint(f'{ARMS}x = {{ unset = ["{key}"] }}') == text


def test_the_recipe_unsets_nothing():
    problem = '"optimizer.beta1" has its default already; known: name'
    assert complaint(recipe='unset = ["optimizer.beta1"]') == mistake("[recipe] unset", "", problem)


@pytest.mark.parametrize(
    ("change", "key", "found"),
    [
        ('data = { source = "bloodmnist" }', "source", '"bloodmnist"'),
        ('"data.split_seed" = 1', "split_seed", "1"),
        ("data.n_images = 100", "n_images", "100"),
    ],
)
def test_an_arm_may_change_nothing_else_of_the_data(change: str, key: str, found: str):
    problem = "an arm may change only outliers, size_px, fit, fill, limit of the data"
    assert complaint(f"{ARMS}[arms.x]\n{change}") == mistake(f"[arms.x] data.{key}", found, problem)


def test_a_mistake_of_the_data_is_said_at_the_data_not_in_each_arm():
    text = complaint(data="limit = 0")
    assert text == mistake("[data] limit", "0", "must be ≥ 1")


def test_a_mistake_in_an_arms_data_is_said_there():
    text = complaint(ARMS + "[arms.x]\ndata.size_px = 5")
    assert text == mistake("[arms.x] data.size_px", "5", "must be ≥ 16")
    assert complaint(ARMS + "[arms.x]\ndata = 5") == mistake("[arms.x] data", "5", "must be a table")


def test_a_mistake_of_the_recipe_is_said_once_whatever_the_number_of_arms():
    text = complaint(
        '[arms]\na = {}\nb = { augment = ["flip"] }\nc = { batch_size = 8 }', recipe="batchsize = 1"
    )
    assert text == mistake("[recipe] batchsize", "1", 'unknown key; did you mean "batch_size"?')


def test_an_arm_that_replaces_a_broken_part_of_the_recipe_adds_no_mistake():
    text = complaint("[arms]\na = { clip_norm = 1.0 }\nb = {}", recipe="clip_norm = -1.0")
    assert text == mistake("[recipe] clip_norm", "-1.0", "must be ≥ 0")


def test_the_recipe_cannot_set_the_data():
    for recipe in ("data = { size_px = 48 }", '"data.size_px" = 48'):
        text = complaint(recipe=recipe)
        assert text == mistake(
            "[recipe] data", "{ size_px = 48 }", "stands in the [data] table, not in the recipe"
        )


def test_a_recipe_that_points_nowhere_hides_nothing_else():
    text = complaint('[arms]\na = { augment = ["flp"] }', recipe='"stages.7.train" = "all"\nbatchsize = 3')
    assert "tiny.toml has 3 mistakes" in text
    assert "  [recipe] stages.7.train\n    index 7 is past the end of a list of 2 (the first is 0)" in text
    assert "  [recipe] batchsize = 3\n" in text
    assert '  [arms.a] augment[0] = "flp"\n' in text


def test_the_model_may_come_from_the_arms_and_is_missed_where_it_does_not():
    head, arms = (
        'question = "q"\n[data]\nsource = "synthetic"\n[recipe]\n',
        '[arms]\na = { model = "custom_cnn" }\n',
    )
    from bench.errors import UserError
    from bench.study.read import parse

    assert parse(head + arms, name="tiny", file="tiny.toml").baseline == "a"
    with pytest.raises(UserError) as caught:
        parse(head + arms + "b = {}\nc = {}", name="tiny", file="tiny.toml")
    assert "[arms.b] model\n    is required\n  [arms.c] model\n    is required" in str(caught.value)
    with pytest.raises(UserError) as caught:
        parse(head + "[arms]\nb = {}\nc = {}", name="tiny", file="tiny.toml")
    assert str(caught.value) == mistake("[recipe] model", "", "is required")


def test_an_arm_must_change_something():
    text = complaint('[arms]\na = {}\nb = { "optimizer.lr" = 0.001 }')
    assert text == mistake('arm "b"', "", 'is the same recipe as "a"; an arm must change something')


def test_arms_that_start_alike_may_be_tuned_apart():
    from bench.study.read import parse

    arms = '[arms]\na = {}\nb = {}\n[tune.space]\n"optimizer.lr" = { low = 1e-4, high = 1e-2 }\n'
    assert 'is the same recipe as "a"' in complaint(arms)
    head = 'question = "q"\n[data]\nsource = "synthetic"\n[recipe]\nmodel = "custom_cnn"\n'
    study = parse(
        head + arms + "[tune.arms.b]\nema = { choices = [0.0, 0.9] }", name="tiny", file="tiny.toml"
    )
    assert [arm.label for arm in study.arms] == ["a", "b"]


@pytest.mark.parametrize("label", ["", "  ", "a\\u001b[31m", "a\\nb"])
def test_an_arm_has_a_printable_name(label: str):
    text = complaint(f'[arms]\na = {{}}\n"{label}" = {{ batch_size = 8 }}')
    assert "an arm's name is 1 to 1000 printable characters" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("baseline", "text"),
    [
        ('"flip"', mistake("baseline", '"flip"', 'no such arm; did you mean "flips"?')),
        (
            '{ augment = "none" }',
            mistake("baseline", "", "must be an arm's name; a table of levels goes with [factors]"),
        ),
        ("5", mistake("baseline", "5", "must be text, in quotes")),
        ("[]", mistake("baseline", "[]", "must be text, in quotes")),
    ],
)
def test_the_baseline_is_an_arm(baseline: str, text: str):
    assert complaint(top=f"baseline = {baseline}") == text


def test_the_baseline_is_the_first_arm_unless_named():
    assert read().baseline == "none"
    study = read(top='baseline = "flips"')
    assert (study.baseline, study.recipe) == ("flips", study.arm("flips").recipe)


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("[arms]", mistake("[arms]", "", "is empty: nothing would be compared")),
        ("[factors]", mistake("[factors]", "", "is empty: nothing would be compared")),
        ("", mistake("[arms]", "", "is missing: give [arms] or [factors], what is compared")),
        ("[arms]\na = 5", mistake("[arms.a]", "5", "must be a table")),
        ('[[arms]]\na = "b"', mistake("arms", '[{ a = "b" }]', "must be a table")),
    ],
)
def test_something_must_be_compared(rest: str, text: str):
    assert complaint(rest) == text


# -- factors -------------------------------------------------------------------------------------------------


def test_a_list_of_levels():
    labels = factors('balance = ["none", "upsample"]\noptimizer.lr = [0.1, 0.01]')
    assert labels == ["none + lr=0.1", "none + lr=0.01", "upsample + lr=0.1", "upsample + lr=0.01"]


def test_named_patches():
    study = read(
        '[factors.length]\nshort = { "stages.1.epochs" = 1 }\n'
        'long = { "stages.1.epochs" = 9, batch_size = 8 }'
    )
    assert [arm.label for arm in study.arms] == ["short", "long"]
    assert [arm.recipe.stages[1].epochs for arm in study.arms] == [1, 9]
    assert [arm.levels for arm in study.arms] == [{"length": "short"}, {"length": "long"}]


def test_toggles():
    study = read('[factors]\naugment.toggle = ["flip", "cutmix"]')
    assert [arm.label for arm in study.arms] == ["none", "cutmix", "flip", "flip + cutmix"]
    lists = [[choice.name for choice in arm.recipe.augment] for arm in study.arms]
    assert lists == [[], ["cutmix"], ["flip"], ["flip", "cutmix"]]
    assert study.arms[1].levels == {"augment.flip": "off", "augment.cutmix": "on"}


@pytest.mark.parametrize(
    ("design", "labels"),
    [
        ("grid", ["none", "zoom", "flip", "flip + zoom"]),
        ("one-at-a-time", ["none", "flip", "zoom"]),
        ("leave-one-out", ["flip + zoom", "zoom", "flip"]),
        ("add-and-remove", ["none", "flip", "zoom", "flip + zoom"]),
    ],
)
def test_the_four_designs(design: str, labels: list[str]):
    top = f'design = "{design}"'
    study = read('[factors]\naugment.toggle = ["flip", "zoom"]', top=top)
    assert [arm.label for arm in study.arms] == labels
    assert (study.baseline, study.design) == (labels[0], design)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_a_grid_has_the_product_of_its_levels_as_arms(sizes: list[int]):
    keys = ("batch_size", "stages.0.epochs", "stages.1.patience")
    table = "\n".join(f'"{key}" = {list(range(1, size + 1))}' for key, size in zip(keys, sizes, strict=False))
    labels = factors(table)
    assert len(labels) == len(set(labels)) == math.prod(sizes)


def test_excluded_combinations_are_left_out():
    table = 'balance = ["none", "upsample"]\nloss.label_smoothing = [0.0, 0.1]'
    top = 'exclude = [{ balance = "upsample", "loss.label_smoothing" = "label_smoothing=0.1" }]'
    assert factors(table, top) == [
        "none + label_smoothing=0", "none + label_smoothing=0.1", "upsample + label_smoothing=0",
    ]  # fmt: skip


TABLE = 'balance = ["none", "upsample"]\naugment.toggle = ["flip"]'


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            '{ balanse = "none" }',
            mistake("exclude[0] balanse", "", 'no such factor; did you mean "balance"?'),
        ),
        ('{ balance = "up" }', mistake("exclude[0] balance", '"up"', "no such level; known: none, upsample")),
        (
            '{ "augment.flip" = "yes" }',
            mistake("exclude[0] augment.flip", '"yes"', "no such level; known: off, on"),
        ),
        ("{}", mistake("exclude[0]", "", "names no level: it would leave nothing")),
        (
            '{ balance = "none" }, { balance = "upsample" }',
            mistake("exclude", "", "leaves no arm: the grid is empty"),
        ),
        (
            '{ balance = "none", "augment.flip" = "off" }',
            mistake("exclude", "", "leaves out the baseline, the first levels; name another with `baseline`"),
        ),
        ("{ balance = 5 }", mistake("exclude[0].balance", "5", "must be text, in quotes")),
        ("5", mistake("exclude[0]", "5", "must be a table")),
    ],
)
def test_an_exclusion_names_levels_there_are(rule: str, text: str):
    assert complaint(f"[factors]\n{TABLE}", top=f"exclude = [{rule}]") == text


def test_a_baseline_may_be_a_table_of_levels_the_others_being_first():
    study = read(f"[factors]\n{TABLE}", top='baseline = { "augment.flip" = "on" }')
    assert study.baseline == "none + flip"
    study = read(f"[factors]\n{TABLE}", top='baseline = "upsample"')
    assert study.baseline == "upsample"


@pytest.mark.parametrize(
    ("baseline", "text"),
    [
        ('{ balanse = "none" }', mistake("baseline balanse", "", 'no such factor; did you mean "balance"?')),
        ('{ balance = "up" }', mistake("baseline balance", '"up"', "no such level; known: none, upsample")),
        ('"upsampel"', mistake("baseline", '"upsampel"', 'no such arm; did you mean "upsample"?')),
    ],
)
def test_a_baseline_of_factors_names_levels_there_are(baseline: str, text: str):
    assert complaint(f"[factors]\n{TABLE}", top=f"baseline = {baseline}") == text


def test_a_baseline_that_the_design_leaves_out_is_said():
    top = 'design = "leave-one-out"\nbaseline = { balance = "none", "augment.flip" = "off" }'
    assert "no arm of the design has these levels" in complaint(f"[factors]\n{TABLE}", top=top)


def test_a_mistake_of_a_level_is_said_once_at_its_factor():
    text = complaint('[factors]\noptimizer = ["adam", "adma"]\nbalance = ["none", "upsample"]')
    assert text.startswith(
        'tiny.toml has a mistake\n\n  [factors.optimizer] level "adma" optimizer = "adma"\n'
    )


def test_levels_that_are_sound_alone_but_not_together_are_said():
    few = "few = { two = {}, one = { stages = [{ epochs = 1 }] } }"
    table = few + '\ndepth = { a = {}, b = { "stages.1.train" = "head" } }'
    text = complaint(f"[factors]\n{table}")
    assert text == mistake(
        'arm "one + b" stages.1.train', "", "index 1 is past the end of a list of 1 (the first is 0)"
    )


def test_a_level_may_be_impossible_alone_in_what_another_factor_brings():
    labels = factors('model = ["custom_cnn", "resnet18"]\nbatch_size = [8, 16]')
    assert len(labels) == 4


def test_two_arms_cannot_have_one_name():
    text = complaint(
        '[factors]\nx = { "a" = {}, "a + b" = { batch_size = 8 } }\n'
        'y = { "b + c" = {}, "c" = { clip_norm = 1.0 } }'
    )
    assert 'two arms would be called "a + b + c"; give their levels other names' in text


def test_too_many_arms_are_refused_at_once():
    grid = "\n".join(
        f"f{i} = {{ {', '.join(f'l{i}_{j} = {{ batch_size = {j + 1} }}' for j in range(10))} }}"
        for i in range(12)
    )
    text = complaint(f"[factors]\n{grid}")
    assert text == mistake(
        "[factors]", "", "make 1000000000000 arms; at most 512: use fewer levels or another design"
    )


def test_what_depends_on_arms_is_checked_though_an_arm_is_broken():
    claim = '[[claims]]\nsays = "x"\nbetter = "bda"\nthan = "none"'
    text = complaint('[arms]\nnone = {}\nbad = { augment = ["flp"] }\n' + claim)
    assert '[arms.bad] augment[0] = "flp"' in text
    assert '[[claims]] number 1 better = "bda"\n    no such arm; did you mean "bad"?' in text
