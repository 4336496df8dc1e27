import re
from pathlib import Path

import pytest
from studies import ARMS, complaint, mistake, read, text

from bench.errors import UserError
from bench.plan import replicates_of
from bench.recipe import Corrupted, External, Shifted, Split
from bench.study.file import Delta
from bench.study.read import Claim, load, parse

ROOT = Path(__file__).resolve().parents[2]


def refused(content: str) -> str:
    with pytest.raises(UserError) as caught:
        parse(content, name="tiny", file="tiny.toml")
    return str(caught.value)


# -- the file ------------------------------------------------------------------------------------------------


def test_a_study_is_named_after_its_file(tmp_path: Path):
    (tmp_path / "which-helps_2.toml").write_text(text(), "utf-8")
    assert load(tmp_path / "which-helps_2.toml").name == "which-helps_2"


@pytest.mark.parametrize("name", ["trials", "reference", "smoke-runs", "index", "Trials", "INDEX"])
def test_names_that_the_results_folder_uses_are_refused(name: str):
    with pytest.raises(UserError, match="none of trials, reference, smoke-runs, index"):
        parse(text(), name=name, file=f"{name}.toml")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "a b", "-a", "a.b", "é", "a\n", "x" * 65, "\0"]
)
def test_a_name_that_could_be_a_path_is_refused(name: str):
    with pytest.raises(UserError, match="a study is named after its file"):
        parse(text(), name=name, file="x.toml")


def test_an_empty_file_misses_everything_at_once():
    message = refused("")
    for path in ("[arms]", "question", "data", "recipe"):
        assert f"  {path}\n" in message


# -- defaults and what is derived ----------------------------------------------------------------------------


def test_a_study_says_what_its_file_says():
    top = """
    baseline = "flips"
    primary = "local.macro_f1"
    delta = { local = 2 }
    looks = [2, 3]
    aa = true
    keep_weights = false
    """
    data = "split = { train = 0.6, val = 0.2, test = 0.2 }\nlimit = 500"
    study = read(top=top, data=data)
    assert (study.question, study.baseline, study.primary) == ("Which helps?", "flips", "local.macro_f1")
    assert (study.delta, study.looks) == (Delta(local=2.0, hidden=1.0), (2, 3))
    assert (study.aa, study.keep_weights) == (True, False)
    assert (study.data.split, study.data.limit) == (Split(train=0.6, val=0.2, test=0.2), 500)


@pytest.mark.parametrize(("seeds", "found"), [("3", (0, 1, 2)), ("[4, 2]", (4, 2)), ("[0]", (0,))])
def test_seeds_are_counted_from_0_or_listed(seeds: str, found: tuple[int, ...]):
    assert parse(text().replace("seeds = 2", f"seeds = {seeds}"), name="tiny", file="x").seeds == found


def test_seeds_are_five_unless_said():
    assert parse(text().replace("seeds = 2", ""), name="tiny", file="x").seeds == (0, 1, 2, 3, 4)


def test_folds_replace_seeds():
    study = parse(
        text().replace("seeds = 2", 'replicates = { kind = "folds", k = 3 }'), name="tiny", file="x"
    )
    assert study.folds is not None
    assert (study.seeds, study.folds.k) == ((0,), 3)
    problem = mistake("replicates", "", "give seeds or replicates, never both")
    assert complaint(top='replicates = { kind = "folds" }') == problem


def test_the_first_hidden_set_decides_unless_said():
    assert read().primary == "local.accuracy"
    assert (
        read(ARMS + '[hidden.b]\nkind = "synthetic"\n[hidden.a]\nkind = "synthetic"').primary == "b.accuracy"
    )


def test_the_primary_metric_is_a_score_of_a_set():
    text = complaint(top='primary = "local.acuracy"')
    assert text == mistake(
        "primary", '"local.acuracy"', 'no such metric; did you mean "accuracy"?   (SET.SCORE; sets: local)'
    )
    text = complaint(ARMS + '[hidden.heavy]\nkind = "corrupted"', top='primary = "hevy.accuracy"')
    assert 'did you mean "heavy.accuracy"?   (SET.SCORE; sets: local, heavy)' in text


# -- hidden sets ---------------------------------------------------------------------------------------------


def test_hidden_sets_of_every_kind():
    hidden = """
    [hidden.heavy]
    kind = "corrupted"
    severities = [3, 5]
    [hidden.other-lab]
    kind = "external"
    source = "folder:@other"
    classes = { NEU = "neutrophil" }
    [hidden.drawn_2]
    kind = "synthetic"
    stain = 2
    """
    found = read(ARMS + hidden).hidden
    assert found == {
        "heavy": Corrupted(kind="corrupted", severities=(3, 5)),
        "other-lab": External(kind="external", source="folder:@other", classes={"NEU": "neutrophil"}),
        "drawn_2": Shifted(kind="synthetic", stain=2.0),
    }


@pytest.mark.parametrize(
    "name", ["local", "test", "val", "val_shift", "gap", "cost", '"a.b"', '"../x"', '""', '"a b"']
)
def test_a_hidden_set_has_a_name_that_means_nothing_else(name: str):
    found = complaint(f'{ARMS}[hidden.{name}]\nkind = "corrupted"')
    assert "use letters, digits, - and _, and none of local, test, val, val_shift, gap, cost" in found


def test_drawn_hidden_sets_go_with_drawn_images():
    study = text(ARMS + '[hidden.x]\nkind = "synthetic"').replace(
        'source = "synthetic"', 'source = "bloodmnist"'
    )
    with pytest.raises(UserError) as caught:
        parse(study, name="tiny", file="tiny.toml")
    problem = 'goes with source = "synthetic"; use corrupted or external'
    assert str(caught.value) == mistake("[hidden.x] kind", '"synthetic"', problem)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("", "no source of that name; known: bloodmnist, csv, folder, npz, "),
        ("foldr:x", 'no source of that name; did you mean "folder"?'),
        ("http://x", "no source of that name; known: "),
        ("npz:", 'must be "npz:PATH"'),
        ("folder", 'must be "folder:PATH"'),
        ("bloodmnist:x", 'must be "bloodmnist"'),
    ],
)
def test_a_source_that_cannot_be_is_said(source: str, problem: str):
    study = text(ARMS).replace('source = "synthetic"', f'source = "{source}"')
    with pytest.raises(UserError, match=re.escape(problem)) as caught:
        parse(study, name="tiny", file="tiny.toml")
    assert str(caught.value).startswith(f'tiny.toml has a mistake\n\n  [data] source = "{source}"\n')


def test_what_fills_bars_goes_with_an_arm_that_pads():
    filled = text(ARMS).replace('source = "synthetic"', 'source = "folder:x"\nfill = "edge"')
    expected = mistake("[data] fill", '"edge"', 'goes with fit = "pad", which no arm has; leave it out')
    with pytest.raises(UserError) as error:
        parse(filled, name="tiny", file="tiny.toml")
    assert str(error.value) == expected
    padded = parse(filled + 'padded = { data.fit = "pad" }\n', name="tiny", file="tiny.toml")
    assert (padded.arms[0].data.fit, padded.arms[0].data.fill) == ("crop", "black")
    assert padded.arm("padded").data.fill == "edge"


@pytest.mark.parametrize("source", ["bloodmnist", "npz:x.npz", "folder:@cells", "folder:a:b"])
def test_a_source_is_read_as_it_is_written(source: str):
    study = text(ARMS).replace('source = "synthetic"', f'source = "{source}"')
    assert parse(study, name="tiny", file="tiny.toml").data.source == source


def test_a_key_that_the_source_does_not_take_is_a_mistake():
    study = text(ARMS).replace('source = "synthetic"', 'source = "folder:x"\nn_images = 100')
    with pytest.raises(UserError) as caught:
        parse(study, name="tiny", file="tiny.toml")
    problem = "folder takes no n_images; leave it out (it goes with synthetic)"
    assert str(caught.value) == mistake("[data] n_images", 100, problem)


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        ("5", mistake("[data] groups", 5, "must be text, in quotes")),
        (
            '{ pattern = "(P" }',
            mistake("[data] groups.pattern", '"(P"', "is no regular expression: missing )"),
        ),
        ('{ pattern = "P", on = "x" }', mistake("[data] groups.on", '"x"', "unknown key; known: pattern")),
    ],
)
def test_groups_are_a_column_or_a_pattern(groups: str, text: str):
    assert complaint(top="", data=f"groups = {groups}").startswith(text)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("", mistake("[hidden.x]", "{  }", "needs a kind: external, corrupted or synthetic")),
        ('kind = "external"', mistake("[hidden.x] source", "", "is required")),
        (
            'kind = "external"\nsource = "x"',
            mistake(
                "[hidden.x] source",
                '"x"',
                "no source of an external hidden set; "
                "known: bloodmnist, csv, folder, npz, parquet   (bench list sources)",
            ),
        ),
        (
            'kind = "corrupted"\nprofil = "x"',
            mistake("[hidden.x] profil", '"x"', 'unknown key; did you mean "profile"?'),
        ),
        (
            'kind = "corrupted"\nseverities = [1, 6]',
            mistake("[hidden.x] severities[1]", "6", "must be ≤ 5"),
        ),
    ],
)
def test_a_hidden_set_that_cannot_be_is_said(table: str, text: str):
    assert complaint(f"{ARMS}[hidden.x]\n{table}") == text


def test_what_refers_to_a_broken_hidden_set_is_no_further_mistake():
    hidden = """
    [hidden.x]
    kind = "corrupted"
    images = 0
    [[claims]]
    says = "s"
    better = "flips"
    than = "none"
    metric = "x.accuracy"
    """
    assert complaint(ARMS + hidden, top='primary = "x.accuracy"') == mistake(
        "[hidden.x] images", "0", "must be ≥ 1"
    )


# -- claims and ensembles ------------------------------------------------------------------------------------

MANY = "[arms]\nefficientnet_b0 = {}\nefficientnet_b2 = { batch_size = 8 }\nvgg16 = { batch_size = 9 }\n"


def claims(*tables: str) -> tuple[Claim, ...]:
    rest = (
        MANY
        + '[hidden.heavy]\nkind = "corrupted"\n'
        + "".join(f'[[claims]]\nsays = "s"\n{table}\n' for table in tables)
    )
    return read(rest).claims


def test_a_claim_names_an_arm_a_list_or_a_glob():
    one, listed, globbed = claims(
        'better = "vgg16"\nthan = "efficientnet_b0"',
        'better = ["vgg16", "efficientnet_b2"]\nthan = "efficientnet_b0"',
        'better = "efficientnet*"\nthan = ["v*"]\nmetric = "local.accuracy"\nmargin = 1.0',
    )
    assert one == Claim(says="s", better=("vgg16",), than=("efficientnet_b0",), metric="heavy.accuracy")
    assert listed.better == ("vgg16", "efficientnet_b2")
    assert (globbed.better, globbed.than) == (("efficientnet_b0", "efficientnet_b2"), ("vgg16",))
    assert (globbed.metric, globbed.margin) == ("local.accuracy", 1.0)


def test_arms_that_several_patterns_name_count_once():
    (claim,) = claims('better = ["efficientnet*", "efficientnet_b2"]\nthan = "vgg16"')
    assert claim.better == ("efficientnet_b0", "efficientnet_b2")


def test_a_label_with_brackets_is_a_name_before_it_is_a_glob():
    claim = '[[claims]]\nsays = "s"\nbetter = "cnn [8]"\nthan = "x"'
    assert read('[arms]\n"cnn [8]" = {}\nx = { batch_size = 8 }\n' + claim).claims[0].better == ("cnn [8]",)


@pytest.mark.parametrize(
    "metric",
    ["local.accuracy", "heavy.balanced_accuracy", "gap.heavy", "cost.seconds", "cost.epochs", "seed_sd"],
)
def test_a_claim_may_be_about_scores_gaps_costs_and_spread(metric: str):
    assert claims(f'better = "vgg16"\nthan = "efficientnet_b0"\nmetric = "{metric}"')[0].metric == metric


def test_a_claim_about_convergence_names_its_arms_only():
    (claim,) = claims('better = "vgg16"\nexpect = "does not converge"')
    assert claim == Claim(says="s", better=("vgg16",), metric="converged", expect="does not converge")


def test_a_claim_about_convergence_may_say_what_is_to_be_reached():
    table = 'better = "vgg16"\nexpect = "does not converge"\ncriterion = { train_accuracy = 0.9 }'
    (claim,) = claims(table)
    assert str(claim.criterion) == "train_accuracy 0.9"


@pytest.mark.parametrize(
    ("table", "where", "problem"),
    [
        ('better = "vgg"\nthan = "vgg16"', 'better = "vgg"', 'no such arm; did you mean "vgg16"?'),
        ('better = "vgg16"\nthan = "resnet*"', 'than = "resnet*"', "no such arm; known: efficientnet_b0"),
        ('better = ["vgg16", "b3"]\nthan = "vgg16"', 'better = "b3"', "no such arm"),
        ('better = []\nthan = "vgg16"', "better = []", "names no arm"),
        ('better = "vgg16"\nthan = "vgg*"', 'than = "vgg*"', "compares an arm with itself"),
        (
            'better = "vgg16"',
            '= { says = "s", better = "vgg16" }',
            'needs `than`: the arm that "vgg16" is compared with',
        ),
        ('better = 5\nthan = "vgg16"', "better = 5", "must be text, in quotes"),
        (
            'better = "vgg16"\nthan = "efficientnet_b0"\nmetric = "heavy.acuracy"',
            'metric = "heavy.acuracy"',
            'no such metric; did you mean "accuracy"?',
        ),
        (
            'better = "vgg16"\nthan = "efficientnet_b0"\nmetric = "gap.hevy"',
            'metric = "gap.hevy"',
            'no such metric; did you mean "gap.heavy"?',
        ),
        (
            'better = "vgg16"\nthan = "efficientnet_b0"\nmetric = "converged"',
            'metric = "converged"',
            'expect = "does not converge" go together',
        ),
        ('better = "vgg16"\nthen = "vgg16"', 'then = "vgg16"', 'unknown key; did you mean "than"?'),
        (
            'better = "vgg16"\nexpect = "does not converge"\ncriterion = { train_los = 0.5 }',
            "criterion.train_los = 0.5",
            'unknown key; did you mean "train_loss"?',
        ),
        (
            'better = "vgg16"\nexpect = "does not converge"\ncriterion = { val_accuracy = 90 }',
            "criterion.val_accuracy = 90",
            "must be ≤ 1",
        ),
        (
            'better = "vgg16"\nthan = "v*"\nexpect = "worse"',
            'expect = "worse"',
            'must be one of "better", "no gain"',
        ),
        (
            'better = "vgg16"\nthan = "v*"\nmetric = "local.accuracy"\nslice = { scanner = "B" }',
            'slice = "scanner"',
            "[slices] names no such column for local",
        ),
        (
            'better = "vgg16"\nthan = "v*"\nmetric = "cost.seconds"\nslice = { scanner = "B" }',
            'slice = "scanner"',
            "goes with a score on a set, not with cost.seconds",
        ),
    ],
)
def test_a_claim_that_cannot_be_judged_is_said(table: str, where: str, problem: str):
    with pytest.raises(UserError) as caught:
        claims(table)
    assert f"[[claims]] number 1 {where}" in str(caught.value)
    assert problem in str(caught.value)


def test_a_broken_claim_leaves_the_others_checked_under_their_own_numbers():
    with pytest.raises(UserError) as caught:
        claims('better = 5\nthan = "vgg16"', 'better = "vgg61"\nthan = "efficientnet_b0"')
    assert "[[claims]] number 1 better = 5\n" in str(caught.value)
    assert '[[claims]] number 2 better = "vgg61"\n    no such arm; did you mean "vgg16"?' in str(caught.value)


def test_an_ensemble_averages_an_arm_under_a_name_of_its_own():
    assert read(ARMS + '[ensembles]\nflips-x2 = { arm = "flips" }').ensembles["flips-x2"].arm == "flips"
    text = complaint(ARMS + '[ensembles]\nx = { arm = "flip" }')
    assert text == mistake("[ensembles.x] arm", '"flip"', 'no such arm; did you mean "flips"?')
    text = complaint(ARMS + '[ensembles]\nnone = { arm = "flips" }')
    assert text == mistake("[ensembles.none]", "", "an arm has this name already; choose another")


# -- all mistakes together -----------------------------------------------------------------------------------


def test_mistakes_come_out_as_the_documentation_shows_them():
    text = complaint(
        '[arms]\nnone = {}\nra-cutmix = { augment = ["randaugment", "cutmx"] }', recipe="batchsize = 64"
    )
    assert text == (
        "tiny.toml has 2 mistakes\n"
        "\n"
        "  [recipe] batchsize = 64\n"
        '    unknown key; did you mean "batch_size"?\n'
        '  [arms.ra-cutmix] augment[1] = "cutmx"\n'
        '    no augmentation of that name; did you mean "cutmix"?   (bench list augmentations)'
    )


EVERYTHING_WRONG = """
quesion = "x"
seeds = 0
looks = [1]
design = "grid"
primary = "local.acc"
baseline = "nome"
[data]
source = "blood"
sizepx = 32
[recipe]
model = "custom_cnn"
batchsize = 5
[arms]
none = {}
bad = { augment = ["flp"], optimizer = { lr = -1 } }
[hidden.x]
kind = "external"
[hidden.gap]
kind = "corrupted"
[[claims]]
says = "s"
better = "bda"
than = "none"
metric = "y.accuracy"
[ensembles]
e = { arm = "nobody" }
[tune]
metric = "local.accuracy"
[tune.space]
"optimizer.momentum" = { low = 0, high = 1 }
"""
PLACES = [
    "design", "[data] source", "question", "seeds = 0", "looks[0] = 1", "[data] sizepx = 32",
    "[hidden.x] source", "quesion", "[recipe] batchsize = 5", "[arms.bad] optimizer.lr = -1",
    '[arms.bad] augment[0] = "flp"', 'baseline = "nome"', "[hidden.gap]", 'primary = "local.acc"',
    '[[claims]] number 1 metric = "y.accuracy"', '[[claims]] number 1 better = "bda"',
    '[tune] metric = "local.accuracy"', "[ensembles.e] arm",
]  # fmt: skip


def test_all_mistakes_of_a_file_are_reported_together_and_always_in_the_same_order():
    message = refused(EVERYTHING_WRONG)
    found = [message.index(f"  {place}") for place in PLACES]
    assert found == sorted(found)
    assert message.count("\n    ") == int(message.split(" has ")[1].split(" ")[0])


def test_the_order_of_mistakes_does_not_depend_on_hashing():
    import subprocess
    import sys

    code = (
        "import sys\nfrom bench.study.read import parse\nfrom bench.errors import UserError\n"
        "try: parse(sys.stdin.read(), name='tiny', file='tiny.toml')\n"
        "except UserError as error: print(error)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], input=EVERYTHING_WRONG, capture_output=True, text=True, check=True,
            cwd=ROOT, env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert outputs == {refused(EVERYTHING_WRONG) + "\n"}


# -- more seeds of the baseline ------------------------------------------------------------------------------


def test_the_baseline_alone_has_further_seeds_on_from_the_largest():
    study = parse(text().replace("seeds = 2", "seeds = [3, 7]\nbaseline_seeds = 5"), name="tiny", file="x")
    assert (study.seeds, study.further_seeds) == ((3, 7), (8, 9, 10))
    assert {len(replicates_of(study, arm.label)) for arm in study.arms} == {2, 5}
    assert len(replicates_of(study, study.baseline)) == 5


@pytest.mark.parametrize(
    ("seeds", "problem"),
    [
        ("seeds = 5\nbaseline_seeds = 5", "must be more than the 5 seeds of every arm"),
        ("seeds = [9997]\nbaseline_seeds = 4", "goes up to seed 10000; seeds of replicates are 0 to 9999"),
        ('replicates = { kind = "folds", k = 5 }\nbaseline_seeds = 9', "goes with seeds"),
    ],
)
def test_further_seeds_that_cannot_be_are_refused(seeds: str, problem: str):
    assert problem in refused(text().replace("seeds = 2", seeds))
