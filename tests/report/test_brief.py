from dataclasses import replace

import pytest

from bench.judge.findings import Document, Effect, Finding
from bench.report import build, verdicts
from bench.report.brief import MOST


@pytest.fixture
def document(make_world) -> Document:
    world = make_world()
    world.arm("none", 1.0)
    world.arm("flips", 1.5, ["flip"])
    for label in ("none", "flips"):
        for seed in range(5):
            world.finish(label, seed)
    return build(world.study, world.plan, world.store)


def said(document: Document, *findings: Finding) -> tuple[str, ...]:
    """What is said of a study with these findings, an arm for each."""
    arms = (replace(document.arms[1], finding=finding) for finding in findings)
    return verdicts(replace(document, arms=(document.arms[0], *arms)))


def test_a_finding_is_one_plain_line(document: Document):
    found = replace(
        document.findings[0],
        verdict="inconclusive",
        detail="detects 9 points or more",
        effect=Effect(0.064, -0.03, 0.159),
        dagger=False,
    )
    lines = said(document, found)
    assert lines == (f"flips: inconclusive, +6.4 [−3.0, 15.9] points on {found.metric}",)
    ratio = replace(found, effect=Effect(1.18, 1.1, 1.27, "ratio"), reference="full", dagger=True)
    assert said(document, ratio) == (
        f"flips: inconclusive†, ×1.18 [1.10, 1.27] on {found.metric} against full",
    )
    diverges = replace(found, verdict="unstable (2/5 diverged)", if_converges=True)
    assert said(document, diverges)[0].startswith("flips: unstable (2/5 diverged), if it converges +6.4 [")


def test_without_an_effect_it_says_why(document: Document):
    found = replace(document.findings[0], verdict="inconclusive", detail="one seed", effect=None)
    assert said(document, found) == (f"flips: inconclusive on {found.metric} (one seed)",)


def test_of_very_many_arms_the_first_are_said_and_the_others_counted(document: Document):
    lines = said(document, *document.findings * (MOST + 3))
    assert len(lines) == MOST
    assert lines[-1] == "… and 4 more in the report"
    assert len(said(document, *document.findings * MOST)) == MOST
    assert lines[0].startswith("flips")
