"""Scores by scanner, site or age band: exploratory numbers of parts of a set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from worlds import CLASSES, HEAVY_KEY, LOCAL_KEY, World

from bench import slices, stats
from bench.files import write_whole
from bench.judge.declared import LATE, Declared, declare, read_declared, write_declared
from bench.judge.tables.slices import SliceRow
from bench.recipe import Corrupted, External
from bench.report import build, files, markdown
from bench.slices import NO_VALUE, Sliced
from bench.study.read import Claim
from bench.study.smoke import smoke

MAKE = Callable[..., World]
SCANNERS = ("A", "B", "C")


def sliced(images: int) -> Sliced:
    """Every other image is of A, 7 of C, three of nobody, the rest of B; one id that nothing was said of."""
    codes = np.ones(images + 1, np.int16)
    codes[::2] = 0
    codes[1:15:2] = 2
    codes[[21, 23, 25]] = NO_VALUE
    ids = np.append(np.arange(images, dtype=np.uint64) * 7 + 3, np.uint64(2**63))
    return Sliced(ids, {"scanner": codes}, {"scanner": SCANNERS})


@pytest.fixture
def scanned(make_world: MAKE) -> World:
    w = make_world(images=120)
    w.arm("none", 0.8)
    w.arm("better", 1.9, ["flip"])
    w.finish_all()
    w.extra["slices"] = {"local": ("scanner",)}
    write_whole(w.store.study_dir("tiny") / slices.FILE, slices.write({"local": sliced(120)}))
    return w


def told(w: World) -> dict[tuple[str, str], SliceRow]:
    return {(one.value, one.of.arm): one for one in build(w.study, w.plan, w.store).slices}


def right(w: World, arm: str, key: str = LOCAL_KEY) -> np.ndarray:
    """(S, N) which images each seed recognised."""
    said = [w.store.predictions(w.id(arm, seed))[key] for seed in w.seeds]
    return np.array([one.probabilities.argmax(1) == one.labels for one in said], dtype=float)


@pytest.mark.parametrize("content", [b"", b"no archive", slices.write({"local": sliced(40)})[:-40]])
def test_a_damaged_file_tells_nothing_and_loses_no_report(scanned: World, content: bytes) -> None:
    write_whole(scanned.store.study_dir("tiny") / slices.FILE, content)
    assert "## Slices" not in markdown(build(scanned.study, scanned.plan, scanned.store))


def test_a_slice_has_the_scores_of_its_own_images(scanned: World) -> None:
    found, codes = told(scanned), sliced(120).codes["scanner"][:-1]
    assert {key: one.images for key, one in found.items() if key[1] == "none"} == {
        ("A", "none"): 60, ("B", "none"): 50, ("C", "none"): 7
    }  # fmt: skip
    for place, name in enumerate(SCANNERS):
        means = {arm: right(scanned, arm)[:, codes == place].mean() for arm in ("none", "better")}
        for arm, mean in means.items():
            assert found[name, arm].of.value.mean == pytest.approx(mean)
        effect = found[name, "better"].of.effect
        assert effect.mean == pytest.approx(means["better"] - means["none"])
        assert effect.low < effect.mean < effect.high or effect.few
    assert not found["A", "better"].of.effect.few
    assert all(found[name, "none"].of.effect is None for name in SCANNERS)


def test_under_ten_images_there_are_numbers_and_no_interval_and_no_worst_slice(scanned: World) -> None:
    found = told(scanned)
    assert found["C", "better"].of.effect.few
    assert found["C", "better"].of.value.interval is None
    worst = {key for key, one in found.items() if one.worst}
    means = {name: found[name, "none"].of.value.mean for name in ("A", "B")}
    assert (min(means, key=means.__getitem__), "none") in worst
    assert {arm for _, arm in worst} == {"none", "better"}
    assert not {name for name, _ in worst} & {"C"}


def test_the_report_says_that_slices_are_exploratory_in_every_format(scanned: World) -> None:
    made = files(scanned.study, scanned.plan, scanned.store, ("md", "csv", "tex", "html"))
    section = made["report.md"].partition("## Slices")[2].partition("\n## ")[0]
    assert "Exploratory: verdicts are on slices that a claim declared" in section
    assert "| local | scanner: A | 60 | **none** (baseline) | accuracy |" in section
    assert not [word for word in ("helps", "harmful", "no gain") if word in section]
    assert 'aria-label="Slices"' in made["report.html"]
    assert made["tables/slices.csv"].startswith("set,column,value,images,arm,score,mean,sd,seeds,low,high,")


def test_corrupted_sets_have_the_slices_of_the_images_they_are_made_of(scanned: World) -> None:
    scanned.extra["hidden"] = {"heavy": Corrupted(kind="corrupted")}
    found = build(scanned.study, scanned.plan, scanned.store).slices
    assert {one.of.set for one in found} == {"local", "heavy"}
    scanned.extra["hidden"] = {"heavy": External(kind="external", source="folder:x")}
    found = build(scanned.study, scanned.plan, scanned.store).slices
    assert {one.of.set for one in found} == {"local"}, "another laboratory has scanners of its own"


def test_a_set_that_a_study_decides_by_is_told_by_its_score(scanned: World) -> None:
    scanned.extra |= {"primary": "local.balanced_accuracy"}
    found, codes = told(scanned), sliced(120).codes["scanner"][:-1]
    assert {one.of.score for one in found.values()} == {"balanced_accuracy"}
    said = scanned.store.predictions(scanned.id("none", 0))[LOCAL_KEY]
    hits = right(scanned, "none")[:, codes == 0]
    labels = said.labels[codes == 0]
    mean = np.mean([hits[:, labels == k].mean() for k in range(len(CLASSES))])
    assert found["A", "none"].of.value.mean == pytest.approx(mean)
    assert found["A", "none"].of.value.interval, "what counts against an arm is counted"
    assert not found["A", "better"].of.effect.few


def test_where_a_class_has_one_image_there_are_numbers_and_no_interval(scanned: World) -> None:
    labels = scanned.store.predictions(scanned.id("none", 0))[LOCAL_KEY].labels
    codes = np.append(np.full(120, NO_VALUE, np.int16), np.int16(NO_VALUE))
    codes[np.flatnonzero(labels == 0)[:1]] = codes[np.flatnonzero(labels == 1)[:20]] = 0
    say(scanned, codes)
    scanned.extra |= {"primary": "local.balanced_accuracy"}
    found = told(scanned)
    hits = {arm: right(scanned, arm)[:, codes[:-1] == 0] for arm in ("none", "better")}
    of = labels[codes[:-1] == 0]
    means = {arm: np.mean([of_arm[:, of == k].mean() for k in (0, 1)]) for arm, of_arm in hits.items()}
    for arm, mean in means.items():
        assert found["A", arm].of.value.mean == pytest.approx(mean)
        assert found["A", arm].of.value.interval is None
    effect = found["A", "better"].of.effect
    assert effect.mean == pytest.approx(means["better"] - means["none"])
    assert effect.few


def test_seeds_that_did_not_finish_are_left_out_and_counted(scanned: World) -> None:
    scanned.diverge("better", 2)
    found = told(scanned)["A", "better"].of.value
    assert (found.seeds, found.planned) == (4, 5)


def test_without_columns_in_the_study_nothing_is_read_and_no_trial_is_another(scanned: World) -> None:
    before = scanned.plan
    del scanned.extra["slices"]
    assert build(scanned.study, scanned.plan, scanned.store).slices == ()
    assert scanned.plan == before
    scanned.extra["slices"] = {"local": ("scanner",)}
    assert smoke(scanned.study).slices == {}
    assert HEAVY_KEY in scanned.plan.arms[0].trials[0].sets.values()


ON_B = "local.accuracy where scanner is B"


def claimed(w: World, value: str = "B", **more: object) -> Claim:
    metric = f"local.accuracy where scanner is {value}"
    return Claim(says="It helps there", better=("better",), than=("none",), metric=metric, **more)


def say(w: World, codes: np.ndarray | None = None) -> Declared:
    """Declare what the study says now, of what ``slices.npz`` says or is made to say afterwards."""
    write_declared(declare(w.study, w.store.slices("tiny")), w.store)
    if codes is not None:
        one = sliced(120)
        changed = Sliced(one.ids, {"scanner": codes}, one.names)
        write_whole(w.store.study_dir("tiny") / slices.FILE, slices.write({"local": changed}))
    found = read_declared(w.store.study_dir("tiny"))
    assert found is not None
    return found


def test_a_declared_claim_on_a_slice_is_judged_by_its_images_in_the_family(scanned: World) -> None:
    scanned.claims = (claimed(scanned), claimed(scanned, "A", expect="no gain"))
    assert list(say(scanned).slices) == [ON_B, ON_B[:-1] + "A"]
    document, codes = build(scanned.study, scanned.plan, scanned.store), sliced(120).codes["scanner"][:-1]
    assert document.rules.family == 3
    assert [claim.outcome for claim in document.claims] == ["supported", "refuted"]
    apart = (right(scanned, "better") - right(scanned, "none"))[:, codes == 1]
    by_hand, (found,) = stats.two_way(apart), document.claims[0].pairs
    assert (found.metric, found.verdict[:5]) == (ON_B, "helps")
    assert found.effect.mean == pytest.approx(by_hand.mean)
    assert found.effect.low == pytest.approx(by_hand.low, abs=1e-9)
    text = markdown(document)
    assert f"(expects *better* on *{ON_B}*)" in text
    assert f"**better: {found.verdict}** on *{ON_B}* against none" in text
    assert not [one for one in document.slices if hasattr(one, "verdict")]


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(b"no archive")])
def test_a_lost_slices_file_is_called_lost_and_neither_late_nor_of_others(
    scanned: World, harm: Callable[[Path], object]
) -> None:
    scanned.claims = (claimed(scanned),)
    say(scanned)
    harm(scanned.store.study_dir("tiny") / slices.FILE)
    document = build(scanned.study, scanned.plan, scanned.store)
    (claim,) = document.claims
    assert claim.outcome == "not judged"
    assert claim.pairs[0].effect is None
    assert "not judged: slices.npz is gone or damaged; bench run writes it again" in claim.pairs[0].detail
    told = (
        "which images it is about stands in slices.npz, which is gone or damaged; bench run writes it again"
    )
    assert document.promise.changes == (f"{ON_B}: {told}",)


def test_a_slice_of_other_images_than_were_declared_is_none_that_was_claimed(scanned: World) -> None:
    scanned.claims = (claimed(scanned),)
    codes = sliced(120).codes["scanner"].copy()
    codes[0] = 1
    say(scanned, codes)
    document = build(scanned.study, scanned.plan, scanned.store)
    assert [claim.outcome for claim in document.claims] == [LATE]
    assert f"{ON_B}: its images are others now" in document.promise.changes


def test_a_claim_on_a_slice_that_came_after_scores_has_no_verdict(scanned: World) -> None:
    say(scanned)
    scanned.claims = (claimed(scanned),)
    document = build(scanned.study, scanned.plan, scanned.store)
    assert [claim.outcome for claim in document.claims] == [LATE]
    assert document.rules.family == 1


def test_of_few_images_or_none_a_claim_is_not_judged(scanned: World) -> None:
    scanned.claims = (claimed(scanned, "C"), claimed(scanned, "D"))
    document = build(scanned.study, scanned.plan, scanned.store)
    assert [claim.outcome for claim in document.claims] == ["not judged", "not judged"]
    details = [claim.pairs[0].detail for claim in document.claims]
    assert details == [f"not judged: {n} images known of it, 10 needed" for n in (7, 0)]


def test_of_images_that_no_trial_was_tested_on_a_claim_is_not_judged(scanned: World) -> None:
    one = sliced(120)
    ids = np.append(one.ids, one.ids[-1] + np.arange(1, 21, dtype=np.uint64))
    codes = np.append(np.zeros(121, np.int16), np.ones(20, np.int16))
    content = slices.write({"local": Sliced(ids, {"scanner": codes}, {"scanner": ("A", "D")})})
    write_whole(scanned.store.study_dir("tiny") / slices.FILE, content)
    scanned.claims = (claimed(scanned, "D"),)
    document = build(scanned.study, scanned.plan, scanned.store)
    (finding,) = document.claims[0].pairs
    assert (finding.verdict, finding.detail) == ("not judged", "not judged: no image of it was tested on")
    assert {one.value for one in document.slices} == {"A"}


def test_a_smoke_run_has_no_slices_and_claims_the_whole_set(scanned: World) -> None:
    scanned.claims = (claimed(scanned),)
    assert [claim.metric for claim in smoke(scanned.study).claims] == ["local.accuracy"]
