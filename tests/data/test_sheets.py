from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import noise

from bench.data import sheets
from bench.data.sheets import Strip, Tile

RED = (198, 40, 40)


def flat(colour: tuple[int, int, int], size: int = 96) -> np.ndarray:
    return np.full((size, size, 3), colour, np.uint8)


def pixels(sheet: Image.Image) -> np.ndarray:
    return np.asarray(sheet)


def count(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((pixels(sheet) == colour).all(axis=-1).sum())


@pytest.mark.parametrize(
    ("size", "shown"), [(28, 112), (32, 96), (64, 128), (96, 96), (150, 150), (400, 160)]
)
def test_small_images_are_enlarged_by_whole_factors_and_large_ones_reduced(size: int, shown: int) -> None:
    assert sheets.enlarged(flat((1, 2, 3), size)).size == (shown, shown)


def test_an_enlarged_pixel_stays_a_square_of_its_own_colour() -> None:
    image = noise(1, size=16)[0]
    enlarged = np.asarray(sheets.enlarged(image))
    np.testing.assert_array_equal(enlarged, image.repeat(6, axis=0).repeat(6, axis=1))


def test_gray_images_are_shown_in_gray() -> None:
    shown = np.asarray(sheets.enlarged(np.full((16, 16, 1), 77, np.uint8)))
    assert (shown == 77).all()


def test_every_tile_is_on_the_sheet_whole() -> None:
    colours = [(k, 200 - k, 5 * k) for k in range(1, 41)]
    strips = [
        Strip("many", tuple(Tile(flat(c), "name") for c in colours[:37])),
        Strip("few", tuple(Tile(flat(c)) for c in colours[37:39])),
        Strip("one", (Tile(flat(colours[39])),)),
    ]
    sheet = sheets.draw("A title", strips)
    assert [count(sheet, colour) for colour in colours] == [96 * 96] * 40


def test_short_strips_stand_side_by_side() -> None:
    pair = Strip("two", (Tile(flat((9, 9, 9))), Tile(flat((9, 9, 9)))))
    rows = [sheets.draw("t", [pair] * number).height for number in (1, 7, 8)]
    assert rows[0] == rows[1] < rows[2]


def test_marked_tiles_have_a_red_frame_and_others_none() -> None:
    one, other = (
        sheets.draw("t", [Strip("s", (Tile(flat((0, 0, 0)), "", mark),))]) for mark in (True, False)
    )
    assert count(one, RED) == 102 * 102 - 96 * 96
    assert count(other, RED) == 0


def test_captions_are_drawn_below_their_tile() -> None:
    without, single, double = (
        sheets.draw("t", [Strip("s", (Tile(flat((0, 0, 0)), caption),))]) for caption in ("", "a", "a\nb")
    )
    assert single.height - without.height == double.height - single.height == sheets.TEXT_LINE


@pytest.mark.parametrize(
    "caption", ["immature granulocytes(myelocytes, metamyelocytes)", "x" * 500, "immature_granulocyte"]
)
def test_long_captions_stay_inside_their_cell(caption: str) -> None:
    width = sheets.TILE_PX
    lines = sheets._wrapped(caption, sheets.TEXT_PX, width, most=4)
    assert 1 <= len(lines) <= 4
    assert all(sheets._font(sheets.TEXT_PX).getlength(line) <= width for line in lines)


def test_a_name_is_broken_at_its_underscore() -> None:
    assert sheets._wrapped("immature_granulocyte", sheets.TEXT_PX, 90, most=2) == ["immature_", "granulocyte"]


def test_signs_that_the_font_lacks_do_not_become_boxes() -> None:
    assert sheets._plain("2 × a–b → 中\n\x1b") == "2 x a-b > ???"


def test_more_tiles_than_a_sheet_holds_are_counted_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_TILES", 4)
    strips = [Strip(str(k), (Tile(flat((k, 0, 0))), Tile(flat((k, 0, 0))))) for k in range(1, 6)]
    assert sheets._fitting(strips)[1] == "… and 3 more"
    sheet = sheets.draw("t", strips)
    assert [count(sheet, (k, 0, 0)) > 0 for k in range(1, 6)] == [True, True, False, False, False]


def test_nothing_to_show_still_gives_a_sheet() -> None:
    assert sheets.draw("nothing", []).width > sheets.NARROWEST_PX


def test_bars_are_as_long_as_their_counts() -> None:
    sheet = sheets.draw_bars("t", [("before", [("a", 100), ("b", 50)]), ("after", [("a", 0)])])
    blue = (pixels(sheet) == (74, 111, 165)).all(axis=-1).sum(axis=1)
    assert sorted(set(blue.tolist())) == [0, 1, 251, 501]


def test_saved_sheets_read_back_equal(tmp_path: Path) -> None:
    sheet = sheets.draw("t", [Strip("s", (Tile(noise(1)[0], "a"),))])
    with Image.open(sheets.save(sheet, tmp_path / "new" / "a.png")) as stored:
        np.testing.assert_array_equal(np.asarray(stored), np.asarray(sheet))


def test_a_tile_becomes_a_jpeg_for_a_page() -> None:
    assert sheets.jpeg(flat((10, 20, 30)))[:2] == b"\xff\xd8"
