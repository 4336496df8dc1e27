from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from studies import ARMS, complaint, mistake, read

from bench.corruptions.families import done_by, families_of, kinds_of, problems, seen, severities_of
from bench.recipe import Choice, Corrupted, External, Recipe
from bench.registry import augmentations, corruptions

BLURS = {"defocus", "motion"}
TONES = {"brightness-up", "brightness-down", "contrast-up", "contrast-down", "gamma"}


def corrupted(**given: Any) -> Corrupted:
    return Corrupted(kind="corrupted", **given)


def trained_with(*augment: str | dict[str, Any], **given: Any) -> set[str]:
    choices = [Choice.model_validate(choice) for choice in augment]
    return seen(Recipe(model=Choice(name="custom_cnn"), augment=tuple(choices), **given))


def test_what_a_table_leaves_out_means_all_families_and_the_profiles_severities() -> None:
    assert families_of(corrupted()) == tuple(corruptions.names())
    assert len(families_of(corrupted())) == 21
    assert families_of(corrupted(families=("jpeg", "hue", "jpeg"))) == ("hue", "jpeg")
    assert severities_of(corrupted()) == (2, 3, 4, 5)
    assert severities_of(corrupted(profile="micro-c")) == (1, 2, 3, 4, 5)
    assert severities_of(corrupted(severities=(5, 3, 5))) == (3, 5)


def test_kinds_group_families() -> None:
    assert kinds_of(["motion", "jpeg", "defocus"]) == {"blur": ("defocus", "motion"), "digital": ("jpeg",)}
    assert sum(map(len, kinds_of(corruptions.names()).values())) == 21


def test_sound_tables_have_no_problems() -> None:
    hidden = {
        "heavy": corrupted(families=("defocus", "hue", "jpeg")),
        "micro": corrupted(profile="micro-c", families=("noise",)),
        "lab": External(kind="external", source="folder:x"),
    }
    assert problems(hidden, corrupted(families=("motion", "gamma", "zoom"))) == []
    assert problems({"all": corrupted()}, None) == []
    assert problems({}, corrupted()) == []


def test_unknown_families_are_mistakes_of_the_study_file() -> None:
    table = '[hidden.heavy]\nkind = "corrupted"\nfamilies = ["defocus", "defocs", "jpeg"]'
    assert complaint(ARMS + table) == mistake(
        "[hidden.heavy] families[1]", '"defocs"', 'is not a corruption; did you mean "defocus"?'
    )
    assert '[val_shift] families[0] = "nois"' in complaint(
        ARMS + '[val_shift]\nkind = "corrupted"\nprofile = "micro-c"\nfamilies = ["nois"]'
    )


def test_a_heavy_mix_of_two_kinds_is_a_mistake() -> None:
    table = '[hidden.heavy]\nkind = "corrupted"\nfamilies = ["defocus", "motion", "jpeg"]'
    found = complaint(ARMS + table)
    assert "[hidden.heavy] families" in found
    assert "heavy-mix needs families of at least 3 kinds, these are blur, digital" in found
    assert read(ARMS + table + '\nprofile = "micro-c"').hidden


def test_what_selects_settings_may_not_resemble_what_judges_them() -> None:
    def study(mine: str, theirs: str) -> str:
        return ARMS + (
            f'[hidden.heavy]\nkind = "corrupted"\nprofile = "micro-c"\n{theirs}\n'
            f'[val_shift]\nkind = "corrupted"\nprofile = "micro-c"\n{mine}\n'
        )

    assert complaint(study('families = ["hue", "jpeg"]', 'families = ["jpeg", "noise"]')) == mistake(
        "[val_shift] families",
        '["hue", "jpeg"]',
        "1 of them are in [hidden.heavy] too (jpeg); name others in one of the two",
    )
    assert "21 of them are in [hidden.heavy] too (brightness-down, " in complaint(study("", ""))
    assert read(study('families = ["hue"]', 'families = ["jpeg"]')).val_shift


def test_an_augmentation_that_says_nothing_does_what_its_name_says() -> None:
    assert "does" not in augmentations["rotate"].traits
    assert done_by(["rotate", "cutout"]) == {"rotate", "hide"}


def test_one_word_is_a_word_and_not_its_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    said = replace(augmentations["rotate"], traits={"does": "hide"})
    monkeypatch.setitem(augmentations._components, "rotate", said)
    assert done_by(["rotate"]) == {"hide"}


@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        ([], set()),
        (["flip", "mixup", "shear"], set()),
        (["blur"], BLURS),
        ([{"name": "blur", "p": 0}], set()),
        (["rotate", "noise"], {"rotation", "noise"}),
        (["zoom"], {"zoom", "crop"}),
        (["cutmix"], {"occlusion"}),
        (["cutout"], {"occlusion"}),
        (["randaugment"], TONES | {"saturation", "stain", "rotation", "shift", "crop"}),
        ([{"name": "randaugment", "ops": "geometric"}], {"rotation", "shift", "crop"}),
        (["augmix"], {"contrast-up", "contrast-down", "gamma", "rotation", "shift", "crop"}),
        (["colour-jitter"], TONES | {"saturation", "stain", "hue"}),
        (
            [{"name": "colour-jitter", "brightness": 0, "contrast": 0, "saturation": 0}],
            {"hue", "stain"},
        ),
        ([{"name": "chain", "steps": ["blur", {"name": "noise", "p": 0.5}]}], BLURS | {"noise"}),
        ([{"name": "one-of", "choices": [{"name": "chain", "steps": ["blur"]}]}], BLURS),
        ([{"name": "chain", "steps": ["blur"], "p": 0}], set()),
    ],
)
def test_families_that_an_arm_also_trains_with_are_seen(
    augment: list[str | dict[str, Any]], expected: set[str]
) -> None:
    assert trained_with(*augment) == expected


def test_upsampling_turns_and_zooms_its_copies() -> None:
    assert trained_with(balance="upsample") == {"rotation", "zoom", "crop"}
    assert trained_with(balance="downsample") == set()


def test_nothing_augments_like_the_families_of_storage_and_slide() -> None:
    whole = [a.name for a in augmentations if not a.schema.model_json_schema().get("required")]
    assert {c.name for c in corruptions} - trained_with(*whole) == {
        "pixelate",
        "jpeg",
        "vignette",
        "stain-deposit",
        "bubbles",
    }
