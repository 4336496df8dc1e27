"""Figures on tuning."""

import itertools
from dataclasses import replace

from drawn import drawn, elements, texts, tips
from tuned import tuned

from bench.judge.pictures import gather
from bench.report import build
from bench.report.figures import figures


def test_searches_show_the_chosen_candidate_and_the_ends_of_its_range(make_world):
    w = make_world(seeds=(0, 1, 2))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    plan = tuned(w)
    w.finish_all()
    found = drawn(w, plan)
    assert [name for name in found if name.startswith("search")] == [
        "search-history",
        "search-slice-1",
        "search-slice-2",
        "search-best",
    ]
    history = found["search-history"]
    assert tips(history).count("candidate 1, chosen") == 2
    assert tips(history).count("candidate 2: diverged") == 2
    assert not any("candidate 3" in tip for tip in tips(history))
    assert history.alt.endswith("Chosen: a: candidate 1, 60.0 %; b: candidate 1, 60.0 %.")
    rates = found["search-slice-1"]
    assert "optimizer.lr" in rates.title
    bands = elements(rates, "rect", "band")
    ring = next(e for e in elements(rates, "circle") if e.get("r") == "7")
    low, high = float(bands[1].get("x")), float(bands[1].get("x")) + float(bands[1].get("width"))
    assert low < float(ring.get("cx")) < high  # 9e-3 lies in the outer tenth of 1e-4 … 1e-2
    assert "constant" in texts(found["search-slice-2"])
    assert "a 60.0 %; b 60.0 %" in found["search-best"].alt


def _world(make_world):
    w = make_world(seeds=(0, 1, 2))
    w.arm("a", 1.0)
    w.arm("b", 1.5)
    plan = tuned(w)
    w.finish_all()
    return w, plan


def test_the_best_so_far_never_gets_worse_and_changes_in_steps(make_world):
    figure = drawn(*_world(make_world))["search-history"]
    line = next(e for e in elements(figure, "path", "line") if "plain" in e.get("class"))
    points = [tuple(map(float, each.split())) for each in line.get("d")[1:].split(" L")]
    # 50 %, 60 %, diverged, not tried: up at the second candidate, level from there on
    heights = [y for _, y in points]
    assert heights == sorted(heights, reverse=True)
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(points))
    assert len(set(heights)) == 2


def test_where_less_is_better_failures_lie_at_the_upper_end_and_units_are_none(make_world):
    w, plan = _world(make_world)
    document = build(w.study, plan, w.store)
    document = replace(
        document, tuning=replace(document.tuning, metric="val.nll", unit="nats", lower_is_better=True)
    )
    pictures = gather(w.study, plan, w.store, document)
    found = {f.name: f for f in figures(document, pictures)}
    history = found["search-history"]
    assert "candidate 0: 0.5000" in tips(history)
    assert history.title == "Search history: val.nll of each candidate, in their order"
    cross = next(e for e in elements(history, "path", "bad"))
    dots = [float(e.get("cy")) for e in elements(history, "circle", "dot")]
    assert float(cross.get("d").split()[1]) < min(dots)


def test_a_search_of_which_nothing_finished_has_no_figure(make_world):
    w, plan = _world(make_world)
    document = build(w.study, plan, w.store)
    pictures = gather(w.study, plan, w.store, document)
    none = tuple(
        replace(search, tried=tuple(replace(t, value=None, state="failed") for t in search.tried))
        for search in pictures.searches
    )
    found = figures(document, replace(pictures, searches=none))
    assert not [f.name for f in found if f.kind == "search"]
