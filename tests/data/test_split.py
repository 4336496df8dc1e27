from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import reordered, with_hashes

from bench.data.images import Development, Images
from bench.data.outliers import find
from bench.data.split import bursts, counts_images, development, test_indices
from bench.errors import UserError
from bench.plan import Replicate
from bench.recipe import Data, Split

DATA = Data(source="folder:x")
KEEP = DATA.model_copy(update={"outliers": "keep"})
SEED = Replicate(0)


def apart(count: int, classes: int = 2, seed: int = 0) -> Images:
    """``count`` images of which no two are near: hashes are far apart at random."""
    ids = np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)
    return with_hashes(ids, np.arange(count) % classes, phash=ids)


def sides(images: Images, data: Data, replicate: Replicate = SEED) -> tuple[set[int], set[int], set[int]]:
    """Ids in training, validation and test."""
    made = development(images, data, replicate)
    test = images.ids[test_indices(images, data, replicate)]
    return set(made.train.ids.tolist()), set(made.val.ids.tolist()), set(test.tolist())


@st.composite
def untidy(draw: st.DrawFn) -> Images:
    """60 plain images of two classes, and copies and near-duplicates of some of them."""
    plain = np.random.default_rng(draw(st.integers(0, 5))).integers(2**40, 2**64, 60, dtype=np.uint64)
    extra = draw(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1), st.booleans()), max_size=25))
    ids, labels, phash = list(plain), [k % 2 for k in range(60)], list(plain)
    for target, label, near in extra:
        ids.append(np.uint64(target + 1) if near else plain[target])
        labels.append(label)
        phash.append(plain[target] ^ np.uint64(0b11) if near else plain[target])
    return with_hashes(np.array(ids), labels, phash=np.array(phash))


def groups_on_two_sides(images: Images, made: Development, test: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of ids on different sides that are equal or within 6 bits of each other."""
    phash = dict(zip(images.ids.tolist(), images.phash.tolist(), strict=True))
    split = [made.train.ids.tolist(), made.val.ids.tolist(), images.ids[test].tolist()]
    return [
        (a, b)
        for first in range(3)
        for second in range(first + 1, 3)
        for a in split[first]
        for b in split[second]
        if a == b or (phash[a] ^ phash[b]).bit_count() <= 6
    ]


@settings(max_examples=40, deadline=None)
@given(untidy(), st.sampled_from(["keep", "drop"]), st.integers(0, 3), st.sampled_from([None, 20]))
def test_no_duplicate_group_is_on_two_sides(
    images: Images, outliers: str, seed: int, limit: int | None
) -> None:
    data = DATA.model_copy(update={"outliers": outliers, "limit": limit})
    made = development(images, data, Replicate(seed))
    assert groups_on_two_sides(images, made, test_indices(images, data, Replicate(seed))) == []


@settings(max_examples=25, deadline=None)
@given(untidy(), st.randoms(use_true_random=False), st.sampled_from(["keep", "drop"]), st.integers(0, 3))
def test_the_split_does_not_depend_on_the_order_of_images(
    images: Images, random: Random, outliers: str, seed: int
) -> None:
    order = np.arange(len(images))
    random.shuffle(order)
    data, replicate = DATA.model_copy(update={"outliers": outliers}), Replicate(seed)
    one, other = (development(given, data, replicate) for given in (images, reordered(images, order)))
    for a, b in ((one.train, other.train), (one.val, other.val)):
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(a.labels, b.labels)
    assert sides(images, data, replicate)[2] == sides(reordered(images, order), data, replicate)[2]


@settings(max_examples=25, deadline=None)
@given(untidy(), st.integers(0, 3), st.integers(0, 3))
def test_the_test_set_is_the_same_for_every_seed_and_whether_outliers_are_kept(
    images: Images, one: int, other: int
) -> None:
    kept = test_indices(images, KEEP, Replicate(one))
    dropped = test_indices(images, DATA.model_copy(update={"limit": 30}), Replicate(other))
    np.testing.assert_array_equal(kept, dropped)
    assert len(set(images.ids[kept].tolist())) == len(kept)


def test_shares_are_met_in_every_class() -> None:
    images = apart(1000, classes=4)
    made = development(images, DATA, SEED)
    assert np.bincount(made.train.labels).tolist() == [200] * 4
    assert np.bincount(made.val.labels).tolist() == [25] * 4
    assert np.bincount(images.labels[test_indices(images, DATA, SEED)]).tolist() == [25] * 4


def test_every_image_is_on_exactly_one_side() -> None:
    images = apart(300)
    train, val, test = sides(images, DATA)
    assert len(train) + len(val) + len(test) == 300
    assert train | val | test == set(images.ids.tolist())


def test_another_seed_draws_other_validation_images_and_the_same_seed_the_same() -> None:
    images = apart(400)
    first, again, other = sides(images, DATA), sides(images, DATA), sides(images, DATA, Replicate(1))
    assert first == again
    assert first[1] != other[1]
    assert first[2] == other[2]


def test_another_split_seed_draws_another_test_set() -> None:
    images = apart(400)
    assert sides(images, DATA)[2] != sides(images, DATA.model_copy(update={"split_seed": 1}))[2]


def test_kept_outliers_go_to_training_and_validation_only() -> None:
    clean = apart(100)
    ids = np.concatenate([clean.ids, np.full(6, 42, np.uint64)])
    images = with_hashes(ids, [*clean.labels, 0, 1, 0, 1, 0, 1], phash=ids)
    kept, dropped = sides(images, KEEP), sides(images, DATA)
    assert 42 not in dropped[0] | dropped[1] | dropped[2] | kept[2]
    assert 42 in kept[0] ^ kept[1]
    made = development(images, KEEP, SEED)
    assert len(made.train) + len(made.val) + len(kept[2]) == 106


def test_a_kept_copy_of_a_test_image_is_left_out() -> None:
    clean = apart(100)
    tested = int(test_indices(clean, DATA, SEED)[0])
    ids = np.append(clean.ids, clean.ids[tested])
    images = with_hashes(ids, np.append(clean.labels, clean.labels[tested]), phash=ids)
    train, val, test = sides(images, KEEP)
    assert int(clean.ids[tested]) in test
    assert int(clean.ids[tested]) not in train | val


def test_a_crowd_of_copies_does_not_swamp_validation() -> None:
    """500 kept copies of one picture are more than validation may hold: whatever the seed, they train."""
    clean = apart(100)
    ids = np.append(clean.ids, np.full(500, 42, np.uint64))
    images = with_hashes(ids, np.append(clean.labels, np.arange(500) % 2), phash=ids)
    for seed in range(20):
        assert 42 in sides(images, KEEP, Replicate(seed))[0]


def test_arms_with_and_without_outliers_draw_almost_the_same_validation_images() -> None:
    clean = apart(400)
    ids = np.append(clean.ids, np.full(3, 42, np.uint64))
    images = with_hashes(ids, np.append(clean.labels, [0, 0, 0]), phash=ids)
    kept, dropped = sides(images, KEEP), sides(images, DATA)
    assert len(kept[1] ^ dropped[1]) <= 2


def test_a_limit_keeps_the_proportions_and_not_the_test_set() -> None:
    ids = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    images = with_hashes(ids, [0] * 700 + [1] * 200 + [2] * 100, phash=ids)
    made = development(images, DATA.model_copy(update={"limit": 90}), SEED)
    assert len(made.train) + len(made.val) == 90
    assert (np.bincount(made.train.labels) + np.bincount(made.val.labels)).tolist() == [63, 18, 9]
    assert np.bincount(made.val.labels).tolist() == [7, 2, 1]


def test_a_limit_chooses_the_same_images_for_every_seed_and_more_include_fewer() -> None:
    images = apart(400)

    def pool(limit: int, seed: int) -> set[int]:
        train, val, _ = sides(images, DATA.model_copy(update={"limit": limit}), Replicate(seed))
        return train | val

    assert pool(50, 0) == pool(50, 7)
    assert pool(50, 0) < pool(100, 0)


def test_a_limit_above_what_there_is_changes_nothing() -> None:
    images = apart(100)
    assert sides(images, DATA.model_copy(update={"limit": 5000})) == sides(images, DATA)


def test_validation_is_filled_up_with_what_the_limit_left_over() -> None:
    ids = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    images = with_hashes(ids, [0] * 700 + [1] * 200 + [2] * 100, phash=ids)
    limited = DATA.model_copy(update={"limit": 90})
    filled = limited.model_copy(update={"val_images": 200})
    few, many = sides(images, limited), sides(images, filled)
    assert many[0] == few[0], "training has the same images"
    assert few[1] < many[1]
    assert len(many[1]) == 200
    assert many[2] == few[2]
    assert not many[1] & (many[0] | many[2])
    counts = np.bincount(development(images, filled, SEED).val.labels)
    assert np.abs(counts - 200 * np.array([0.7, 0.2, 0.1])).max() <= 1


def test_each_seed_draws_spare_images_of_its_own_and_more_than_there_are_are_all() -> None:
    images = apart(1000)
    filled = DATA.model_copy(update={"limit": 90, "val_images": 200})
    assert sides(images, filled)[1] != sides(images, filled, Replicate(1))[1]
    train, val, test = sides(images, filled.model_copy(update={"val_images": 5000}))
    assert train | val | test == set(images.ids.tolist())


def test_without_a_limit_nothing_is_spare() -> None:
    images = apart(400)
    assert sides(images, DATA.model_copy(update={"val_images": 300})) == sides(images, DATA)


@settings(max_examples=25, deadline=None)
@given(untidy(), st.sampled_from(["keep", "drop"]), st.integers(0, 3))
def test_spare_images_are_no_duplicates_of_training_or_test_images(
    images: Images, outliers: str, seed: int
) -> None:
    data = DATA.model_copy(update={"outliers": outliers, "limit": 20, "val_images": 30})
    made = development(images, data, Replicate(seed))
    test = test_indices(images, data, Replicate(seed))
    assert groups_on_two_sides(images, made, test) == []


def test_a_limit_without_room_for_every_class_is_an_error() -> None:
    with pytest.raises(UserError, match=r"limit = 7 is too small: .* at least 8 images"):
        development(apart(400, classes=4), DATA.model_copy(update={"limit": 7}), SEED)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_folds_test_every_clean_image_once(k: int) -> None:
    images = apart(97)
    tested = Counter(
        i for fold in range(k) for i in test_indices(images, DATA, Replicate(0, fold, k)).tolist()
    )
    assert tested == Counter(range(97))
    train, val, test = sides(images, DATA, Replicate(0, 1, k))
    assert train | val | test == set(images.ids.tolist())
    assert len(val) == pytest.approx((97 - len(test)) / 9, abs=2)


def official(ids: list[int], labels: list[int], split: list[int]) -> Images:
    far = [int.from_bytes([i % 256] * 8, "big") for i in ids]
    return with_hashes(ids, labels, phash=far, split=split)


OWN = official(list(range(12)), [0, 1] * 6, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2])


def test_a_sources_own_split_is_the_default_and_fixed_for_every_seed() -> None:
    expected = ({0, 1, 2, 3, 4, 5}, {6, 7, 8, 9}, {10, 11})
    for data in (DATA, DATA.model_copy(update={"split": "official"})):
        assert sides(OWN, data, Replicate(0)) == sides(OWN, data, Replicate(5)) == expected


def test_shares_and_folds_pool_the_sources_own_split() -> None:
    images = official(list(range(60)), [0, 1] * 30, [0] * 40 + [1] * 10 + [2] * 10)
    shares = sides(images, DATA.model_copy(update={"split": Split()}))
    assert [len(side) for side in shares] == [48, 6, 6]
    assert len(sides(images, DATA, Replicate(0, 0, 5))[2]) == 12


def test_a_duplicate_across_the_sources_own_sides_stays_on_the_later_one() -> None:
    """Id 1 is in training and test, id 2 in training and validation."""
    images = official([1, 2, 3, 4, 2, 5, 1, 6], [0, 0, 0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 1, 1, 2, 2])
    assert sides(images, KEEP) == ({3, 4}, {2, 5}, {1, 6})


def test_a_limit_takes_from_both_sides_of_the_sources_own_split() -> None:
    images = official(list(range(120)), [0, 1] * 60, [0] * 80 + [1] * 20 + [2] * 20)
    made = development(images, DATA.model_copy(update={"limit": 50}), SEED)
    assert np.bincount(made.train.labels).tolist() == [20, 20]
    assert np.bincount(made.val.labels).tolist() == [5, 5]


def test_official_without_validation_draws_it_from_training_by_the_seed() -> None:
    images = official(list(range(200)), [0, 1] * 100, [0] * 180 + [2] * 20)
    train, val, test = sides(images, DATA)
    assert (len(train), len(val), test) == (160, 20, set(range(180, 200)))
    other = sides(images, DATA, Replicate(1))
    assert (other[1] != val, other[2]) == (True, test)


@pytest.mark.parametrize(
    ("split", "says"), [([0, 0, 1, 1], "no test images"), ([1, 1, 2, 2], "no training im")]
)
def test_official_without_test_or_training_images_says_what_to_do(split: list[int], says: str) -> None:
    with pytest.raises(UserError, match=rf"its own split has {says}.*\n.*\n.*give shares of all"):
        development(official([1, 2, 3, 4], [0, 1, 0, 1], split), DATA, SEED)


def test_official_without_a_split_of_its_own_is_an_error() -> None:
    with pytest.raises(UserError, match="has no split of its own"):
        development(apart(50), DATA.model_copy(update={"split": "official"}), SEED)


def test_all_classes_with_too_few_images_are_listed_together() -> None:
    ids = np.random.default_rng(0).integers(0, 2**64, 46, dtype=np.uint64)
    images = with_hashes(ids, [0] * 40 + [1] * 2 + [2] * 3 + [3], phash=ids)
    with pytest.raises(UserError) as error:
        development(images, DATA, SEED)
    assert str(error.value).splitlines()[:3] == [
        "2 of 4 classes have too few images for training, validation and test",
        "  class 1: 2 images, of which 0 train, 1 validation, 1 test",
        "  class 3: 1 images, of which 0 train, 0 validation, 1 test",
    ]


# -- groups --------------------------------------------------------------------------------------------------


def of_patients(images: Images, seed: int, patients: int = 12) -> Images:
    """The same images, each of one of so many patients, whatever its class."""
    rng = np.random.default_rng(seed)
    return replace(images, groups=rng.integers(0, patients, len(images)).astype(np.int32))


def patients_of(images: Images, ids: set[int]) -> set[int]:
    assert images.groups is not None
    return {int(g) for i, g in zip(images.ids.tolist(), images.groups, strict=True) if i in ids}


@settings(max_examples=60, deadline=None)
@given(
    untidy(),
    st.integers(0, 9),
    st.sampled_from(["keep", "drop"]),
    st.sampled_from([Replicate(0), Replicate(3), Replicate(0, 1, 3)]),
    st.sampled_from([None, 40]),
)
def test_no_patient_and_no_near_copy_is_on_two_sides(
    images: Images, seed: int, outliers: str, replicate: Replicate, limit: int | None
) -> None:
    images = of_patients(images, seed)
    data = DATA.model_copy(update={"outliers": outliers, "limit": limit})
    try:
        made = development(images, data, replicate)
    except UserError:
        return  # a limit that leaves a class no room for whole patients
    test = test_indices(images, data, replicate)
    assert groups_on_two_sides(images, made, test) == []
    groups = [set(made.train.groups), set(made.val.groups), set(images.groups[test])]  # type: ignore[index, arg-type]
    assert len(groups[0] | groups[1] | groups[2]) == sum(map(len, groups))


@settings(max_examples=20, deadline=None)
@given(untidy(), st.integers(0, 3), st.integers(2, 4))
def test_folds_test_every_image_once_and_keep_patients_whole(images: Images, seed: int, k: int) -> None:
    images = of_patients(images, seed)
    tested = [test_indices(images, DATA, Replicate(0, fold, k)) for fold in range(k)]
    assert sorted(np.concatenate(tested)) == np.flatnonzero(~find(images).outlier).tolist()
    assert sum(len(set(images.groups[test])) for test in tested) == len(
        set(images.groups[np.concatenate(tested)])
    )  # type: ignore[index]


def test_patients_of_a_sources_own_test_images_leave_training() -> None:
    images = replace(OWN, groups=np.array([0, 0, 1, 1, 2, 2, 3, 3, 1, 4, 5, 0], dtype=np.int32))
    # 0 and 1 (patient 0) have an image in test, 2 and 3 (patient 1) one in validation
    assert sides(images, DATA) == ({4, 5}, {6, 7, 8, 9}, {10, 11})


def test_patients_of_one_image_each_change_nothing() -> None:
    images = apart(97, classes=3)
    alone = replace(images, groups=np.arange(97, dtype=np.int32))
    for data in (DATA, DATA.model_copy(update={"limit": 40})):
        assert sides(alone, data, Replicate(5)) == sides(images, data, Replicate(5))


def test_the_images_of_patients_come_near_the_shares_that_were_asked() -> None:
    images = of_patients(apart(3000, classes=4), seed=0, patients=60)
    train, val, test = (len(side) for side in sides(images, DATA))
    assert (train, val, test) == pytest.approx((2400, 300, 300), abs=30)


def test_the_split_of_patients_does_not_depend_on_the_order_of_images() -> None:
    images = of_patients(apart(300, classes=3), seed=1)
    order = np.random.default_rng(2).permutation(300)
    assert sides(reordered(images, order), DATA) == sides(images, DATA)


def test_patients_with_images_alike_stay_two_and_the_copy_leaves_training() -> None:
    plain = apart(60)
    groups = (np.arange(60) // 4).astype(np.int32)
    images = replace(plain, groups=groups)
    _, _, test = sides(images, DATA)
    tested = next(k for k, i in enumerate(images.ids.tolist()) if i in test)
    other = next(k for k, i in enumerate(images.ids.tolist()) if i in sides(images, DATA)[0])
    alike = plain.phash.copy()
    alike[other] = alike[tested] ^ np.uint64(0b11)
    train, val, still = sides(replace(images, phash=alike), DATA)
    assert still == test
    assert train | val == set(images.ids.tolist()) - test - {int(images.ids[other])}
    assert int(groups[other]) in patients_of(images, train | val)


def test_a_class_that_two_patients_have_is_an_error_that_says_so() -> None:
    images = replace(apart(40), groups=(np.arange(40) // 20 * 2 + np.arange(40) % 2).astype(np.int32))
    with pytest.raises(
        UserError, match=r"class 0: 20 images of 2 groups, of which 0 train, 10 validation, 10 test"
    ):
        development(images, DATA, SEED)


# -- bursts --------------------------------------------------------------------------------------------------


def in_bursts(seed: int, burst: int) -> Images:
    """Two classes: 120 images apart, and 6 bursts of near-copies."""
    rng = np.random.default_rng(seed)
    plain = rng.integers(0, 2**64, 120 + 6, dtype=np.uint64)
    phash = np.concatenate(
        [plain[:120], np.repeat(plain[120:], burst) ^ np.tile(np.arange(burst, dtype=np.uint64), 6)]
    )
    labels = np.concatenate([np.arange(120) % 2, np.repeat(np.arange(6) % 2, burst)])
    return with_hashes(rng.integers(0, 2**64, len(phash), dtype=np.uint64), labels, phash=phash)


@pytest.mark.parametrize("seed", range(8))
def test_bursts_of_near_copies_leave_the_share_that_was_asked(seed: int) -> None:
    images = in_bursts(seed, burst=15)
    share = len(test_indices(images, DATA, SEED)) / len(images)
    assert share == pytest.approx(0.1, abs=0.01)
    assert (
        groups_on_two_sides(images, development(images, DATA, SEED), test_indices(images, DATA, SEED)) == []
    )


def test_counting_groups_would_have_missed_the_share_by_far() -> None:
    shares = []
    for seed in range(5):
        pinned = DATA.model_copy(update={"source": "synthetic"})  # never counted by images
        images = in_bursts(seed, burst=15)
        shares.append(len(test_indices(images, pinned, SEED)) / len(images))
    assert max(shares) > 0.2


def test_folds_of_bursts_are_even_in_images() -> None:
    images = in_bursts(0, burst=15)
    assert [len(test_indices(images, DATA, Replicate(0, fold, 5))) for fold in range(5)] == pytest.approx(
        [len(images) / 5] * 5, abs=6
    )


@pytest.mark.parametrize(("burst", "matters"), [(1, False), (2, False), (3, True), (15, True)])
def test_pairs_of_near_copies_are_counted_as_before(burst: int, matters: bool) -> None:
    images = in_bursts(0, burst)
    assert bursts(images, find(images)) is counts_images(images, DATA, find(images)) is matters


def test_a_burst_that_moves_a_share_by_less_than_a_hundredth_does_not_matter() -> None:
    """Three copies are two too many: of 300 images not a hundredth, of 199 more."""
    for count, matters in ((300, False), (199, True)):
        plain = np.random.default_rng(1).integers(0, 2**64, count - 2, dtype=np.uint64)
        phash = np.concatenate([plain, plain[:1] ^ np.uint64(1), plain[:1] ^ np.uint64(2)])
        images = with_hashes(np.arange(count), [0] * (count - 2) + [0, 0], phash=phash)
        assert bursts(images, find(images)) is matters


def test_spare_images_come_as_whole_groups_none_of_which_training_has() -> None:
    images = apart(1000)
    patient = np.random.default_rng(1).integers(0, 90, 1000).astype(np.int32)
    images = replace(images, groups=patient)
    filled = DATA.model_copy(update={"limit": 150, "val_images": 300})
    train, val, test = (
        {int(patient[place]) for place in np.flatnonzero(np.isin(images.ids, list(side)))}
        for side in sides(images, filled)
    )
    assert not train & val
    assert not test & (train | val)
    made = development(images, filled, SEED)
    held = np.isin(patient, list(val))
    assert set(made.val.ids.tolist()) == set(images.ids[held].tolist()), "whole groups"
    assert 250 < len(made.val) <= 300
