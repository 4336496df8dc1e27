"""Screens, ladders and claims about factors as a study file writes them."""

import pytest
from studies import complaint, read

from bench.study.effects import SUM

FOUR = """[factors]
augment.toggle = ["flip", "zoom"]
optimizer = ["adam", "lion"]
ema = [0.0, 0.99]
"""
FIVE = FOUR + 'balance = ["none", "upsample"]\n'
SCREEN = 'design = "screen"'


def claim(effect: str, more: str = "") -> str:
    return f'[[claims]]\nsays = "s"\neffect = {effect}\n{more}\n'


def test_a_screen_has_the_fewest_arms_called_by_what_is_on():
    study = read(FOUR, top=SCREEN)
    assert (study.design, study.baseline) == ("screen", "none")
    assert [arm.label for arm in study.arms] == [
        "none", "lion + ema=0.99", "zoom + ema=0.99", "zoom + lion",
        "flip + ema=0.99", "flip + lion", "flip + zoom", "flip + zoom + lion + ema=0.99",
    ]  # fmt: skip
    first, second = study.arms[:2]
    assert (second.recipe.optimizer.name, second.recipe.ema, second.recipe.augment) == ("lion", 0.99, ())
    assert first.levels == {
        "augment.flip": "off", "augment.zoom": "off", "optimizer": "adam", "ema": "ema=0"
    }  # fmt: skip


def test_a_level_called_on_is_called_by_its_factor():
    table = "[factors.smooth]\noff = {}\non = { loss.label_smoothing = 0.1 }\n"
    table += "[factors.average]\noff = {}\non = { ema = 0.99 }\n"
    study = read(table, top=SCREEN)
    assert [arm.label for arm in study.arms] == ["none", "average", "smooth", "smooth + average"]


def test_resolution_three_is_only_taken_when_asked_for():
    assert len(read(FIVE, top=SCREEN).arms) == 16
    assert len(read(FIVE, top=SCREEN + "\nresolution = 3").arms) == 8


ABC = 'ordered = [["a", "b", "c"]]'
LEVELS = "[arms]\na = {}\nb = { batch_size = 8 }\nc = { batch_size = 16 }\n"


def over(levels: str, more: str = "") -> str:
    return f'[[claims]]\nsays = "s"\nexpect = "rises"\nover = {levels}\n{more}\n'


@pytest.mark.parametrize(
    ("top", "rest", "said"),
    [
        (SCREEN, '[factors]\nbalance = ["none", "upsample", "downsample"]\nema = [0.0, 0.9]',
         "[factors] balance\n    has 3 levels; a screen takes factors of two"),
        (SCREEN, "[factors]\nema = [0.0, 0.9]", "[factors]\n    a screen takes 2 to 15 factors, these are 1"),
        (SCREEN + "\nresolution = 5", FOUR, "resolution = 5"),
        ("resolution = 3", FOUR, 'resolution\n    goes with design = "screen"'),
        (SCREEN, '[arms]\na = {}\nb = { ema = 0.9 }', "design\n    goes with [factors]"),
        (SCREEN + '\nbaseline = { ema = "ema=0.99" }', FOUR, "no arm of the design has these levels"),
        ('design = "ladder"\nbaseline = "b"', "[arms]\na = {}\nb = { ema = 0.9 }",
         'baseline = "b"\n    a ladder begins at its first arm; leave it out'),
        ('design = "ladder"', "[arms]\na = {}\nb = { ema = 0.9 }\nc = { ema = 0.9 }",
         'arm "c"\n    is the same recipe as "b"; an arm must change something'),
        ('design = "ladder"', "[arms]\na = {}\nb = { emma = 0.9 }\nc = { ema = 0.9 }", "[arms.b] emma"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_design_is_said_where_it_stands(top: str, rest: str, said: str):
    assert said in complaint(rest, top=top)


def test_each_rung_of_a_ladder_keeps_what_the_one_before_it_has():
    table = """[arms]
plain = {}
flips = { augment = ["flip"] }
slow  = { optimizer = { lr = 7e-4 } }
lion  = { optimizer = "lion" }
"""
    study = read(table, top='design = "ladder"')
    assert (study.design, study.baseline) == ("ladder", "plain")
    plain, flips, slow, lion = (arm.recipe for arm in study.arms)
    assert [len(one.augment) for one in (plain, flips, slow, lion)] == [0, 1, 1, 1]
    assert (slow.optimizer.params["lr"], lion.optimizer.name) == (7e-4, "lion")
    assert lion.optimizer.params["lr"] != 7e-4, "another optimizer never inherits the rate"


def test_a_ladder_of_factors_climbs_level_by_level_in_the_order_written():
    table = '[factors]\naugment.toggle = ["flip"]\nbalance = ["none", "upsample", "downsample"]'
    study = read(table, top='design = "ladder"')
    assert [arm.label for arm in study.arms] == ["none", "flip", "flip + upsample", "flip + downsample"]


def test_a_claim_about_a_factor_or_two_is_about_their_sides():
    claims = claim('"augment.flip"') + claim('["optimizer", "augment.flip"]') + claim('"ema"')
    first, second, third = read(FOUR + claims, top=SCREEN).claims
    assert (first.better, first.than) == (("with augment.flip",), ("without augment.flip",))
    assert (second.better, second.than) == (("augment.flip × optimizer lion",), (SUM,))
    assert (third.better, third.than) == (("with ema=0.99",), ("with ema=0",))


def test_of_a_grid_every_level_is_meant_and_of_one_factor_the_arms_themselves():
    table = '[factors]\nbalance = ["none", "upsample", "downsample"]\n'
    one = read(table + claim('"balance"')).claims[0]
    assert (one.better, one.than) == (("upsample", "downsample"), ("none",))
    two = read(table + "ema = [0.0, 0.9]\n" + claim('"balance"')).claims[0]
    assert two.better == ("with balance upsample", "with balance downsample")
    assert two.than == ("with balance none",)


@pytest.mark.parametrize(
    ("top", "rest", "said"),
    [
        (SCREEN, FOUR + claim('"augment.flop"'), '1 effect = "augment.flop"\n    no such factor; did you'),
        (SCREEN, FOUR + claim('["ema", "ema"]'), "is no interaction of a factor with itself"),
        (SCREEN, FOUR + claim('["ema", "optimizer", "balance"]'), "number 1 effect"),
        (SCREEN, FOUR + claim('["ema", "optimizer"]') + claim('["augment.flip", "augment.zoom"]'),
         "this screen cannot tell it from optimizer lion × ema=0.99, which is claimed above"),
        (SCREEN + "\nresolution = 3", FIVE + claim('["augment.flip", "augment.zoom"]'),
         "this screen cannot tell it from what ema=0.99 does alone"),
        ('design = "one-at-a-time"', FOUR + claim('"ema"'), "goes with [factors] of a grid or a screen"),
        ("", "[arms]\na = {}\nb = { ema = 0.9 }\n" + claim('"ema"'), "goes with [factors] of a grid or"),
        (SCREEN, FOUR + claim('"ema"', 'than = "none"'), "takes no arms"),
        (SCREEN, FOUR + claim('"ema"', 'metric = "seed_sd"'), '"seed_sd" is about single arms'),
        (SCREEN, FOUR + claim('"ema"', 'expect = "does not converge"'), "is about single arms"),
        (ABC, LEVELS + over('["a", "c", "b"]'),
         'add ordered = [["a", "c", "b"]] to the study, which names a … c'),
        ("", LEVELS + over('"strength"'), 'add ordered = ["strength"] to the study, which names nothing'),
        (ABC, LEVELS + over('["a", "b", "c"]', 'than = "a"'), "takes no arms"),
        (ABC, LEVELS + over('["a", "b", "c"]', 'metric = "seed_sd"'),
         "takes no `over`"),
        (ABC, LEVELS + over('["a", "b", "c"]').replace("rises", "better"),
         'needs expect = "rises", "falls", "flat", not "better"'),
        (ABC, LEVELS + over('["a", "b", "c"]').replace("over =", "better ="), "needs `over`: what has"),
        (SCREEN, FOUR + '[[claims]]\nsays = "s"\n', "needs `better`, an arm, and `than`; or `effect`, a"),
        ("", '[factors]\nbalance = ["none"]\nema = [0.0, 0.9]\n' + claim('"balance"'), "has one level"),
        ('exclude = [{ balance = "upsample", ema = "ema=0.9" }]',
         '[factors]\nbalance = ["none", "upsample"]\nema = [0.0, 0.9]\n' + claim('["balance", "ema"]'),
         "is in no arm together with what it is compared with"),
    ],
)  # fmt: skip
def test_what_no_data_can_tell_is_refused(top: str, rest: str, said: str):
    assert said in complaint(rest, top=top)


@pytest.mark.parametrize(
    ("expect", "metric", "better"),
    [
        ("rises", "local.accuracy", "end"),
        ("falls", "local.accuracy", "start"),
        ("rises", "local.nll", "start"),
        ("falls", "local.nll", "end"),
        ("falls", "cost.seconds", "end"),
        ("flat", "local.accuracy", "end"),
    ],
)
def test_a_claim_over_levels_is_about_the_better_end_of_their_line(expect: str, metric: str, better: str):
    claim = over('["a", "b", "c"]', f'metric = "{metric}"').replace("rises", expect)
    (one,) = read(LEVELS + claim, top=ABC).claims
    assert one.better == (f"a … c, {better} of its line",)
    assert one.than == (f"a … c, {'start' if better == 'end' else 'end'} of its line",)
