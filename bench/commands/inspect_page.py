"""``bench data inspect --png`` and ``--html``: the images in question, to look at."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.inspect import as_text, fate, many, of_unlike, worst_first

if TYPE_CHECKING:
    from bench.data.inspect import Inspection
    from bench.data.outliers import Cluster
    from bench.data.sheets import Strip, Tile

ON_PAGE = 100
"""Clusters and groups that a page or sheet shows."""
SUSPECTS_ON_PAGE = 300
TILES = 16
"""Images of one cluster or group that a page or sheet shows."""


def dropped_strips(seen: Inspection) -> list[Strip]:
    """What ``outliers = "drop"`` removes: a strip for each cluster, an image for each of its labels."""
    from bench.data.sheets import Strip

    strips = []
    for cluster in worst_first(seen)[:ON_PAGE]:
        heading = f"{len(cluster.members):,} identical images · {fate(cluster)}"
        dropped = set(cluster.dropped)
        some = _one_of_each_label(seen, cluster) if len(cluster.members) > 2 else list(cluster.members)
        counts = seen.label_counts(cluster)
        tiles = []
        for member in some[:TILES]:
            times = f" × {counts[seen.label(member)]:,}" if len(cluster.members) > 2 else ""
            tiles.append(_tile(seen, member, f"{seen.label(member)}{times}", member in dropped))
        strips.append(Strip(heading, tuple(tiles)))
    return strips


def _one_of_each_label(seen: Inspection, cluster: Cluster) -> list[int]:
    first: dict[str, int] = {}
    for member in cluster.members:
        first.setdefault(seen.label(member), member)
    return list(first.values())


def near_strips(seen: Inspection) -> list[Strip]:
    """Groups of near-duplicates that are more than copies of one image, then the large ones."""
    from bench.data.sheets import Strip

    strips = []
    for group in [*of_unlike(seen, seen.findings.near), *seen.findings.large][:ON_PAGE]:
        differ = len({seen.label(member) for member in group}) > 1
        heading = many(len(group), "image") + (" · labels differ" if differ else "")
        heading += " · one chain of likeness, reported only" if group in seen.findings.large else ""
        outlier = seen.findings.outlier
        tiles = tuple(_tile(seen, m, seen.label(m), bool(outlier[m])) for m in group[:TILES])
        strips.append(Strip(heading, tiles))
    return strips


def suspect_strips(seen: Inspection) -> list[Strip]:
    """Suspects, the farthest first, in one strip."""
    from bench.data.sheets import Strip

    tiles = [
        _tile(seen, one.position, f"{one.z:.1f} {seen.label(one.position)}", False)
        for one in seen.suspects[:SUSPECTS_ON_PAGE]
    ]
    heading = f"{many(len(seen.suspects), 'image')} far from all others, robust z before the label"
    return [Strip(heading, tuple(tiles))] if tiles else []


def _tile(seen: Inspection, position: int, caption: str, marked: bool) -> Tile:
    import numpy as np

    from bench.data.sheets import Tile

    return Tile(np.asarray(seen.images.images[position]), caption, marked, seen.names[position])


def write_png(seen: Inspection, file: Path) -> Path:
    """A contact sheet of what would be dropped."""
    from bench.data import sheets

    removed = int(seen.findings.outlier.sum())
    title = f'{seen.data.source}: outliers = "drop" removes {removed:,} of {len(seen.images):,} images (red)'
    title = f"{seen.data.source}: copies in a hidden set, which all stay" if seen.hidden else title
    more = len(seen.findings.exact) - ON_PAGE
    title += f"; {more} more clusters are not shown" if more > 0 else ""
    return sheets.save(sheets.draw(title, dropped_strips(seen)), file)


def write_html(seen: Inspection, file: Path) -> Path:
    """One page with everything in it: no other file, no script, nothing from the network."""
    from bench.data.sheets import jpeg
    from bench.files import hand_over
    from bench.report.templating import environment

    pages = environment("bench.commands")
    pages.filters["jpeg"] = lambda tile: base64.b64encode(jpeg(tile.pixels)).decode()
    removed = f"{int(seen.findings.outlier.sum()):,} of {len(seen.images):,} images removed by outliers = "
    removed = "nothing of a hidden set is dropped" if seen.hidden else f'{removed}"drop" (red)'
    sections = [
        ("Identical images", removed, dropped_strips(seen)),
        (
            "Near-duplicates",
            "" if seen.hidden else "a group stays on one side of every split",
            near_strips(seen),
        ),
        ("Suspects", "to look at, never dropped", suspect_strips(seen)),
    ]
    page = pages.get_template("inspect.html.j2").render(
        source=seen.data.source, text=as_text(seen), sections=sections
    )
    return hand_over(file, page.encode())
