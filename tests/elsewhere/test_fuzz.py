"""Whatever a table of predictions holds, it is judged or refused with a sentence."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from elsewhere.tables import answered, predicted

from bench.elsewhere.check import Check
from bench.elsewhere.files import read
from bench.errors import UserError


def spoiled(text: str, luck: random.Random) -> bytes:
    """The text with a few characters changed, lost, moved in or repeated."""
    letters = list(text)
    for _ in range(luck.choice([1, 1, 2, 5, 30])):
        place = luck.randrange(len(letters))
        how = luck.randrange(4)
        if how == 0:
            letters[place] = luck.choice(',;"\n\r\t\0 0.-eNé\u202e')
        elif how == 1:
            letters[place:place] = luck.choice(',"\n9.x')
        elif how == 2:
            del letters[place : place + luck.choice([1, 100])]
        else:
            letters[place:place] = letters[luck.randrange(len(letters)) :][:100]
    return "".join(letters).encode()


@pytest.mark.parametrize("kind", ["probabilities", "answers"])
def test_a_spoiled_table_is_refused_or_read(tmp_path: Path, kind: str) -> None:
    table = predicted(sets={"local": 6, "lab": 5})
    table["group"] = table.image.str[-5]
    text = (table if kind == "probabilities" else answered(table)).round(4).to_csv(index=False)
    file, luck, whole = tmp_path / "a.csv", random.Random(kind), 0
    for _ in range(40):
        file.write_bytes(spoiled(text, luck))
        with contextlib.suppress(UserError):
            check = Check(read([file]))
            whole += check.answers() is not None
            assert all(map(str, check.problems))
    file.write_text(text)
    assert Check(read([file])).answers() is not None
    assert whole < 40
