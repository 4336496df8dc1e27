"""Claims: what bears them out, what refutes them, and what more is told."""

import pytest

from bench.report import build, markdown
from bench.report.page import page
from bench.study.file import Delta
from bench.study.read import Claim

HEAVY = {"says": "It changes nothing", "than": ("base",), "metric": "heavy.accuracy"}


@pytest.fixture
def world(make_world):
    """Arms that are behind their baseline by some 37 and by no points."""
    w = make_world(images=300)
    w.arm("base", 1.2)
    w.arm("far", 0.2, ["flip"])
    w.arm("same", 1.21, ["cutout"])
    w.finish_all()
    return w


def _outcomes(w, *claims, delta=8.0):
    w.claims, w.extra["delta"] = claims, Delta(local=delta, hidden=delta)
    document = build(w.study, w.plan, w.store)
    return [claim.outcome for claim in document.claims], document


def test_no_difference_lies_within_delta_on_either_side(world):
    claims = [Claim(better=(arm,), expect="no difference", **HEAVY) for arm in ("far", "same")]
    turned = HEAVY | {"than": ("far",)}
    mirrored = Claim(better=("base",), expect="no difference", **turned)
    found, document = _outcomes(world, *claims, mirrored)
    assert found == ["refuted", "supported", "refuted"]
    assert document.rules.family == 2
    assert _outcomes(world, *claims, delta=0.5)[0] == ["refuted", "inconclusive"], (
        "too little is known for that"
    )


def test_a_loss_bears_out_no_gain_and_is_told(world):
    claims = [
        Claim(better=better, expect="no gain", **HEAVY) for better in (("far",), ("same",), ("far", "same"))
    ]
    found, document = _outcomes(world, *claims)
    one = "supported, and more: harmful"
    assert found == [one, "supported", f"{one} in 1 of 2 pairs"]
    assert f"- **{one}** — It changes nothing" in markdown(document)
    assert f'<strong class="verdict good">{one}</strong>' in page(document, ())
