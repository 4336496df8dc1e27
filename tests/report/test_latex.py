"""Tables for papers: rows as wide as their heads, nothing in a name that LaTeX would run."""

import re

import pytest
from tuned import tuned

from bench.report import build
from bench.report.latex import tables, tex


def columns(table: str) -> int:
    """Columns that the tabular declares."""
    wanted = re.search(r"\\begin\{tabular\}\{(.*)\}\n", table)[1]
    return len(re.sub(r"p\{[^}]*\}", "p", wanted))


USUAL = ("arms", "prediction", "evidence", "scores", "costs", "classes", "hidden", "noise")


def test_every_row_has_as_many_cells_as_the_table_has_columns(make_world):
    w = make_world(seeds=(0, 1, 2))
    w.arm("a & b", 1.0)
    w.arm("50 % _x_", 1.5, ["flip"])
    plan = tuned(w)
    w.finish_all()
    found = tables(build(w.study, plan, w.store))
    assert set(found) == {*USUAL, "tuning", "candidates"}
    for name, table in found.items():
        parts = [part for part in re.split(r"(?<=\\end{tabular})\n", table) if part.strip()]
        assert len(parts) == (2 if name == "arms" else 1), name
        for part in parts:
            lines = part.splitlines()
            start = lines.index(r"\toprule") + 1
            body = [line for line in lines[start:-2] if line != r"\midrule"]
            assert len(body) >= (2 if name in ("prediction", "evidence", "hidden") else 3), name
            for line in body:
                assert line.endswith(r" \\")
                assert len(re.findall(r"(?<!\\)&", line)) + 1 == columns(part), line


def test_numbers_are_those_of_the_report(world):
    document = build(world.study, world.plan, world.store)
    arms = tables(document)["arms"].splitlines()
    best, below = (line for line in arms if line.startswith("randaugment"))
    assert best == (
        r"randaugment & 96.6 $\pm$ 2.5 & 83.9 $\pm$ 4.5 & +31.0 [26.2, 35.8] & helps, by more than 1 point & "
        r"12.7 $\pm$ 4.9 & 5/5 \\"
    )
    assert below == r"randaugment & basophil (n = 65) & 83.1 & 23.9 & 12,345 & 22.0 & 1.00 \\"
    assert any(line.startswith(r"\textbf{none} (baseline) & 79.4 $\pm$ 5.1 & ") for line in arms)
    assert "train s" not in tables(document, cost=False)["arms"]
    assert "as fast" not in tables(document, cost=False)["claims"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("100 % & more_#1", r"100 \% \& more\_\#1"),
        ("\\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("$x^2$ ~", r"\$x\textasciicircum{}2\$ \textasciitilde{}"),
        ("a\nb\x00c", "a b c"),
        ("größer ±1 −2", r"größer $\pm$1 $-$2"),
        ("🧪 ж", "[U+1F9EA] [U+0436]"),
        ("τ, χ²", r"$\tau$, $\chi$²"),
        ("x" * 300, "x" * 239 + r"\dots{}"),
        ("% comment", r"\% comment"),
    ],
)
def test_any_name_is_plain_words(name, expected):
    assert tex(name) == expected
