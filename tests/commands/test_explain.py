from __future__ import annotations

import base64
import io
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import machine_in, write_study
from typer.testing import CliRunner

from bench.cli import app
from bench.commands import explain_page
from bench.commands.explain import explain
from bench.commands.explain_tables import matrices, recall_table, reliability_figure
from bench.errors import UserError
from bench.explain.pair import Asked, Pair, gather, images_of
from bench.plan import Plan
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study
from bench.run.planning import prepare
from bench.store import Store

QUIET = Terminal(quiet=True)
HIDDEN = """\
[hidden.micro]
kind = "corrupted"
profile = "micro-c"
families = ["jpeg"]
severities = [5]
"""
ARMS = """\
flips = { augment = ["flip"], data.size_px = 24 }
"<b>vit" = { model = { name = "vit_tiny_patch16_224", mean = [0.5, 0.5, 0.5] } }
diverges = { optimizer = { name = "sgd", lr = 1e18 } }
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of two seeds that was run; its arms differ in size, kind and fate."""
    folder = tmp_path_factory.mktemp("explain")
    run_study(write_study(folder, seeds=2, hidden=HIDDEN, arms=ARMS), machine_in(folder), Options(), QUIET)
    return folder


@pytest.fixture(scope="module")
def plan(home: Path) -> Plan:
    return prepare(home / "tiny.toml", machine_in(home))


@pytest.fixture(scope="module")
def pair(home: Path, plan: Plan) -> Pair:
    return gather(plan, Asked(), Store(home / "results"))


@pytest.fixture(scope="module")
def page(home: Path, pair: Pair) -> explain_page.Page:
    return explain_page.build(pair, home / "cache", QUIET)


def refused(home: Path, plan: Plan, **asked: object) -> str:
    with pytest.raises(UserError) as caught:
        gather(plan, Asked(**asked), Store(home / "results"))  # type: ignore[arg-type]
    return str(caught.value)


def test_without_a_wish_it_is_the_first_arm_against_the_baseline_at_home(pair: Pair) -> None:
    assert (pair.arm.label, pair.reference.label, pair.set) == ("flips", "none", "local")
    assert [replicate.seed for replicate in pair.replicates] == [0, 1]
    assert pair.shown.seed == 0
    assert pair.others == ("<b>vit",)


def test_both_arms_are_compared_on_the_same_images_whatever_their_size(home: Path, pair: Pair) -> None:
    store, images = Store(home / "results"), {}
    for which, side in (("reference", pair.reference), ("arm", pair.arm)):
        stored = store.predictions(side.run.trial.id)[side.scored.key]
        np.testing.assert_array_equal(pair.comparison.ids, stored.ids[side.index])
        np.testing.assert_array_equal(pair.comparison.labels, stored.labels[side.index])
        expected = stored.probabilities[side.index].astype(np.float32)
        np.testing.assert_array_equal(pair.comparison.probabilities[which][0], expected)  # type: ignore[index]
        images[which] = images_of(side, home / "cache", QUIET).images
    assert images["reference"].shape[1:3] == (16, 16)
    assert images["arm"].shape[1:3] == (24, 24)


def test_the_page_counts_what_the_predictions_say(page: explain_page.Page, pair: Pair) -> None:
    facts = dict(page.facts)
    labels = pair.comparison.labels
    right = {
        which: pair.comparison.probabilities[which][0].argmax(1) == labels for which in ("reference", "arm")
    }  # type: ignore[index]
    mended = int((~right["reference"] & right["arm"]).sum())
    broken = int((right["reference"] & ~right["arm"]).sum())
    assert facts["flips"].startswith(f"{mended} mended, {broken} broken, ")
    assert facts["none"].startswith(f"{right['reference'].sum()} right, ")
    assert pair.reference.run.trial.id in facts["none"]
    assert {group.heading.partition(":")[0]: len(group.cards) for group in page.groups[:2]} == {
        "Mended": min(mended, 24),
        "Broken": min(broken, 24),
    }
    assert "in all 2 seeds" in facts
    assert "by luck" in facts
    assert facts["Grad-CAM, none"] == "8 × 8 places in an image, nothing finer"
    assert facts["Grad-CAM, flips"] == "12 × 12 places in an image, nothing finer"


def test_a_flip_s_card_shows_the_image_and_what_each_arm_saw(page: explain_page.Page, pair: Pair) -> None:
    cards = [card for group in page.groups[:3] for card in group.cards]
    assert cards
    for card in cards:
        assert [picture.label for picture in card.pictures] == ["", "none", "flips"]
        plain, *lit = (pixels_of(picture.png) for picture in card.pictures)
        for each in lit:
            assert each.mean() < plain.mean()  # what does not speak for the answer is dim
        assert card.lines[0].startswith("is ")
        assert re.fullmatch(r"none: [a-z ]+ \d+ %", card.lines[1])
        assert re.fullmatch(r"in [12] of 2 seeds", card.lines[3])
    first = pair.comparison.flips("gained") or pair.comparison.flips("lost")
    truth = pair.classes[pair.comparison.labels[first[0].position]]
    assert cards[0].lines[0] == f"is {truth}"


def pixels_of(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))).astype(float)


def test_the_spotlight_leaves_an_image_s_colours_and_dims_the_rest() -> None:
    pixels = np.array([[[200, 100, 40], [200, 100, 40]]], np.uint8)
    lit = explain_page._spotlight(pixels, np.array([[1.0, 0.0]], np.float32))
    assert lit.tolist() == [[[200, 100, 40], [50, 25, 10]]]


def test_recall_of_each_class_stands_beside_the_baseline_s(pair: Pair) -> None:
    table = recall_table(pair)
    assert table.head[-1] == "lowest to highest seed"
    before, after = (pair.comparison.recalls(which)[:, 0] for which in ("reference", "arm"))  # type: ignore[arg-type]
    row = table.rows[0]
    assert row[0] == pair.classes[0]
    assert row[2:4] == (f"{100 * before.mean():.1f}", f"{100 * after.mean():.1f}")
    change = 100 * (after - before).mean()
    assert float(row[4].replace("−", "-")) == pytest.approx(change, abs=0.051)


def test_confusions_stand_beside_each_other_and_their_difference(pair: Pair) -> None:
    before, after, change = matrices(pair)
    images = 2 * len(pair.comparison.labels)
    for matrix in (before, after):
        cells = [cell for row in matrix.cells for cell in row]
        assert sum(int(cell.text or 0) for cell in cells) == images
        assert all(0 <= cell.strength <= 0.5 for cell in cells)
    moved = [int((cell.text or "0").replace("−", "-")) for row in change.cells for cell in row]
    assert sum(moved) == 0
    assert any(moved)
    for i, row in enumerate(change.cells):
        for j, cell in enumerate(row):
            if cell.text.startswith("+"):
                assert cell.tone == ("good" if i == j else "bad")


def test_reliability_says_the_error_that_the_record_says(pair: Pair) -> None:
    for which, side in (("reference", pair.reference), ("arm", pair.arm)):
        ece = 100 * side.record.scores[side.scored.key]["ece"]
        found = re.search(r"calibration error (\d+\.\d) points", reliability_figure(pair, which).note)  # type: ignore[arg-type]
        assert found
        assert float(found[1]) == pytest.approx(ece, abs=0.06)


class Seen(HTMLParser):
    """Tags and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href")]


def test_the_page_is_one_file_without_scripts_and_with_every_name_escaped(page: explain_page.Page) -> None:
    text = explain_page.render(page)
    seen = Seen()
    seen.feed(text)
    assert not seen.tags & {"script", "link", "iframe", "object", "b"}
    assert seen.addresses
    assert all(address.startswith("data:image/png;base64,") for address in seen.addresses)
    assert "&lt;b&gt;vit" in text
    assert explain_page.render(page) == text


def test_the_command_writes_the_same_page_twice_and_names_its_file(home: Path) -> None:
    arguments = ["explain", str(home / "tiny.toml"), "--results", str(home / "results"), "--seed", "1"]
    said = CliRunner(env={"BENCH_CACHE": str(home / "cache")}).invoke(app, arguments)
    assert said.exit_code == 0, said.output
    file = home / "results" / "tiny" / "explain" / "flips-vs-none-local-seed1.html"
    assert said.stdout.splitlines() == [str(file)]
    before = file.read_bytes()
    explain(home / "tiny.toml", Asked(seed=1), machine_in(home), QUIET)
    assert file.read_bytes() == before


def test_copies_of_a_hidden_set_show_what_was_done_to_them_and_warn_of_the_look(
    home: Path, plan: Plan
) -> None:
    pair = gather(plan, Asked(set="micro", seed=1), Store(home / "results"))
    page = explain_page.build(pair, home / "cache", QUIET)
    assert pair.shown.seed == 1
    assert page.cautions[0].startswith("micro is a hidden set, and to look at its images is a look")
    cards = [card for group in page.groups for card in group.cards]
    assert all(card.lines[1] == "jpeg/5" for card in cards)
    assert any("hidden" in caution for caution in page.cautions)


def test_a_network_without_maps_is_shown_without_grad_cam(home: Path, plan: Plan) -> None:
    pair = gather(plan, Asked(arm="<b>vit"), Store(home / "results"))
    page = explain_page.build(pair, home / "cache", QUIET)
    assert (
        dict(page.facts)["Grad-CAM, <b>vit"] == "none: vit_tiny_patch16_224 has no feature maps; it is no CNN"
    )
    own = next(group for group in page.groups if group.heading.startswith("Confident errors of <b>vit"))
    assert own.cards
    assert all(len(card.pictures) == 1 for card in own.cards)


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Store:
    """The results, to be damaged."""
    shutil.copytree(home / "results", tmp_path / "results")
    return Store(tmp_path / "results")


def test_without_weights_the_rest_is_shown(copy: Store, home: Path, plan: Plan) -> None:
    for path in copy.root.glob("trials/*/weights.safetensors"):
        path.unlink()
    page = explain_page.build(gather(plan, Asked(), copy), home / "cache", QUIET)
    facts = dict(page.facts)
    assert (
        facts["Grad-CAM, none"]
        == facts["Grad-CAM, flips"]
        == "none: its weights were not kept, or are damaged"
    )
    assert {len(card.pictures) for group in page.groups for card in group.cards} == {1}


@pytest.mark.parametrize("torn", [False, True])
def test_predictions_that_are_gone_or_torn_are_named(copy: Store, plan: Plan, pair: Pair, torn: bool) -> None:
    file = copy.trial_dir(pair.arm.run.trial.id) / "predictions.npz"
    content = file.read_bytes()
    file.unlink()
    if torn:
        file.write_bytes(content[:200])
    with pytest.raises(
        UserError, match=rf"{pair.arm.run.trial.id} holds no predictions.npz of the local test"
    ):
        gather(plan, Asked(), copy)


def test_predictions_of_too_few_classes_are_refused(copy: Store, plan: Plan, pair: Pair) -> None:
    """They are as they were written, by another program: no checksum tells."""
    record = copy.read(pair.arm.run.trial.id)
    assert record is not None
    said = copy.predictions(record.id)
    last = said["val"].probabilities.shape[1] - 2
    fewer = {
        key: replace(one, probabilities=one.probabilities[:, :-1], labels=one.labels.clip(max=last))
        for key, one in said.items()
    }
    copy.rewrite(record, fewer)
    with pytest.raises(UserError, match=rf"{record.id} holds no predictions.npz of the local test"):
        gather(plan, Asked(), copy)


def test_images_that_are_not_those_scored_are_refused(home: Path, pair: Pair) -> None:
    shifted = pair.arm.predictions.ids + np.uint64(1)
    predictions = type(pair.arm.predictions)(
        pair.arm.predictions.probabilities, pair.arm.predictions.labels, shifted
    )
    side = type(pair.arm)(**(vars(pair.arm) | {"predictions": predictions}))
    with pytest.raises(UserError, match="the images of the local test set are not those that trial"):
        images_of(side, home / "cache", QUIET)


def test_what_is_not_there_is_said_with_what_is(home: Path, plan: Plan) -> None:
    assert 'did you mean "flips"?' in refused(home, plan, arm="flipz")
    assert '--against "nobody" is not an arm' in refused(home, plan, against="nobody")
    assert '--set "mikro" is not a set of tiny; did you mean "micro"?' in refused(home, plan, set="mikro")
    assert '"none" against itself' in refused(home, plan, arm="none")
    assert "of seed 9" in refused(home, plan, seed=9)
    assert "planned replicates: seed 0, seed 1" in refused(home, plan, seed=9)


def test_an_arm_that_did_not_finish_says_why(home: Path, plan: Plan) -> None:
    said = refused(home, plan, arm="diverges")
    assert re.search(r'"diverges" and "none" have no pair of finished trials with predictions', said)
    assert re.search(r"    diverges: diverged \(not .*\); bench show [0-9a-f]{20} tells more", said)


def test_a_study_that_was_never_run_says_how_to_run_it(plan: Plan, tmp_path: Path) -> None:
    said = refused(tmp_path, plan)
    assert "    none: not run; bench run tiny.toml trains it\n    flips: not run" in said
