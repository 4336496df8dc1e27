import pytest
from studies import ARMS, complaint, mistake, read

from bench.recipe import Corrupted


def tuned(space: str, tune: str = "", **parts: str) -> str:
    return f"{ARMS}[tune]\n{tune}\n[tune.space]\n{space}\n"


def test_a_study_tunes_over_ranges_of_three_forms():
    space = """
    "optimizer.lr" = { around = "recipe", times = 30, log = true }
    "model.dropout" = { low = 0.0, high = 0.5 }
    "batch_size" = { choices = [32, 64] }
    """
    study = read(tuned(space, "candidates = 4\nshared = true"))
    assert study.tune is not None
    assert (study.tune.candidates, study.tune.shared, study.tune.metric) == (4, True, "val.accuracy")
    assert study.tune.space["batch_size"].choices == (32, 64)


def test_an_arm_may_have_ranges_of_its_own():
    rest = (
        tuned('"optimizer.lr" = { low = 1e-4, high = 1e-2 }')
        + '[tune.arms."fl*"]\n"optimizer.lr" = { low = 1e-5, high = 1e-3 }'
    )
    study = read(rest)
    assert study.tune is not None
    assert study.tune.arms["fl*"]["optimizer.lr"].low == 1e-5
    assert 'no such arm; did you mean "flips"?' in complaint(rest.replace('"fl*"', "flip"))


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        (
            '"optimizer.lrr" = { low = 1, high = 2 }',
            'there is no "lrr" here; did you mean "lr"? (arm "none")',
        ),
        ('"stages.5.epochs" = { low = 1, high = 2 }', "index 5 is past the end of a list of 2"),
        ('"augment.0.p" = { low = 0, high = 1 }', "is past the end of a list of 0"),
        (
            '"model.name" = { low = 1, high = 2 }',
            '"custom_cnn" is not a number, so it needs { choices = […] }',
        ),
        ('"optimizer.weight_decay" = { around = "recipe", times = 9 }', "which no range centres on"),
        ('"optimizer.lr" = { low = -1, high = 1 }', "-1.0 is out of reach: must be > 0"),
        ('"model.dropout" = { low = 0.5, high = 1.5 }', "1.5 is out of reach: must be < 1"),
        (
            '"optimizer.name" = { choices = ["lion", "adma"] }',
            '"adma" is out of reach: no optimizer of that name',
        ),
        ('"batch_size" = { choices = [8, 1.5] }', "1.5 is out of reach: must be a whole number"),
        ('"batch_size" = { low = 0.2, high = 9 }', "0 is out of reach: must be ≥ 1"),
    ],
)
def test_what_cannot_be_tuned_is_said_before_anything_is_tuned(space: str, problem: str):
    text = complaint(tuned(space))
    assert "[tune.space] " + space.split(" ")[0].strip('"') in text
    assert problem in text


def test_what_only_some_arms_have_is_said_of_the_arm_that_lacks_it():
    assert read(
        '[arms]\na = { augment = ["flip"] }\n[tune.space]\n"augment.0.p" = { low = 0, high = 1 }'
    ).tune
    text = complaint(
        '[arms]\na = { augment = ["flip"] }\nb = {}\n[tune.space]\n"augment.0.p" = { low = 0, high = 1 }'
    )
    assert text == mistake(
        "[tune.space] augment.0.p", "", 'index 0 is past the end of a list of 0 (the first is 0) (arm "b")'
    )


def test_tuning_sees_validation_only():
    space = '"optimizer.lr" = { low = 1e-4, high = 1e-2 }'
    for metric in ("local.accuracy", "test.accuracy", "heavy.accuracy", "val_shift.accuracy"):
        rest = tuned(space, f'metric = "{metric}"') + '[hidden.heavy]\nkind = "corrupted"'
        assert "no such metric" in complaint(rest)
        assert "(SET.SCORE; sets: val)" in complaint(rest)
    shifted = tuned(space, 'metric = "val_shift.accuracy"') + '[val_shift]\nkind = "corrupted"'
    assert read(shifted).val_shift == Corrupted(kind="corrupted")
    broken = mistake("[val_shift] images", "0", "must be ≥ 1")
    assert complaint(shifted + "\nimages = 0") == broken


@pytest.mark.parametrize(
    ("space", "tune", "problem"),
    [
        (
            '"optimizer.name" = { choices = ["adam", "sgd"] }\n"optimizer.beta1" = { low = 0.8, high = 0.9 }',
            "",
            "optimizer.name",
        ),
        ("batch_size = { low = 16.2, high = 16.8 }", "", "holds no whole number"),
        ("batch_size = { choices = [16, 16] }", "", "names the choice 16 twice"),
        ('"optimizer.lr" = { low = 1e-4, high = 1e-2 }', 'pruner = "wilcoxon"\nseeds = 4', "seeds = 5"),
        ('"stages.0.epochs" = { low = 1, high = 4 }', "epochs = 1", "so stages.0.epochs cannot be tuned"),
        (
            '"optimizer.lr" = { low = 1e-4, high = 1e-2 }',
            'pruner = "median"\nmetric = "val.nll"',
            "val.accuracy",
        ),
    ],
)
def test_what_cannot_be_tuned_together_is_said_before_anything_is_tuned(space: str, tune: str, problem: str):
    assert problem in complaint(tuned(space, tune))
