"""``bench data inspect``: what a source holds, as text and as data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError, did_you_mean, shorten
from bench.judge.accounts import lines
from bench.judge.findings import LOCAL
from bench.machine import Machine
from bench.plan import Replicate, Source, replicates_of
from bench.planned import Account
from bench.progress.terminal import Terminal
from bench.recipe import Data, External
from bench.registry import sources

if TYPE_CHECKING:
    from bench.data.inspect import Inspection
    from bench.data.outliers import Cluster

SHOWN = 10
"""Clusters, groups and suspects that the text shows; the data and the page have more."""
NAME_WIDTH = 34


def inspect(
    written: str, size_px: int | None, machine: Machine, terminal: Terminal, which: str = LOCAL
) -> Inspection:
    """Look at ``written``: a source as a study writes it, or the path of a study file. Raises UserError.

    which   of a study a set: local, or a hidden one of another source; of a source ``local`` or ``hidden``
    """
    from bench.data import inspect as room

    data, source, replicate = _subject(written, size_px, machine, which)
    return room.inspect(data, source, machine.cache, terminal.counting, replicate)


def _subject(
    written: str, size_px: int | None, machine: Machine, which: str
) -> tuple[Data, Source, Replicate | None]:
    """How it is opened, where it is, and which split is meant; None of a hidden set."""
    from bench.data.foreign import as_written
    from bench.data.locator import DiskLocator
    from bench.study.read import load

    folder, replicate, others = Path.cwd(), Replicate(0), ["hidden"]
    if written.endswith(".toml"):
        study = load(Path(written))
        data, folder, replicate = study.data, Path(written).resolve().parent, replicates_of(study)[0]
        foreign = {name: one for name, one in study.hidden.items() if isinstance(one, External)}
        others, data = list(foreign), as_written(foreign[which], data) if which in foreign else data
    else:
        if sources.problem(written):
            raise _no_source(written)
        data = Data(source=written)
    if which not in (LOCAL, *others):
        raise UserError(f'--set "{which}": {did_you_mean(which, [LOCAL, *others])}')
    if size_px is not None:
        data = data.model_copy(update={"size_px": size_px})
    source = DiskLocator(machine, folder).source(data.source, data)
    return data, source, replicate if which == LOCAL else None


def _no_source(written: str) -> UserError:
    path = Path(written).expanduser()
    kind = "folder" if path.is_dir() else path.suffix[1:]
    hint = "" if sources.problem(f"{kind}:{written}") else f'did you mean "{kind}:{written}"?  '
    return UserError(
        f"{shorten(written, 200)} is neither a study file nor a source\n"
        f"    {hint}known: a study's .toml file, {', '.join(sources.forms().values())}"
    )


# -- as text -------------------------------------------------------------------------------------------------


def as_text(seen: Inspection) -> str:
    """What a person reads on the first screen."""
    blocks = [_head(seen), _classes(seen), _identical(seen), _near(seen), _suspects(seen)]
    return "\n\n".join("\n".join(block) for block in blocks)


def _head(seen: Inspection) -> list[str]:
    images = seen.images
    colour = "colour" if images.images.shape[3] == 3 else "gray"
    return [
        f"{_printed(seen.data.source)}   {len(images):,} images · {len(images.classes)} classes · {colour}"
        f"{' · a hidden set: all of it is scored, nothing split or dropped' * seen.hidden}",
        f"native sizes   {_sizes(seen)}; looked at with {seen.data.size_px} px",
        f"imbalance      {seen.imbalance:.1f} : 1, the largest class over the smallest",
        *_files(seen),
        *_fit(seen),
        *_groups(seen),
        *(f"split          {line}" for line in seen.missed),
    ]


def _groups(seen: Inspection) -> list[str]:
    sizes = seen.group_sizes
    if sizes is None:
        return []
    middle = sorted(sizes)[len(sizes) // 2]
    return [
        f"groups         {len(sizes):,}, of {min(sizes):,} to {max(sizes):,} images, the median {middle:,}"
    ]


def _files(seen: Inspection) -> list[str]:
    """What of the files is not read."""
    if seen.source.seen is None:
        return []
    told = seen.source.seen.model_copy(update={"oblong": 0})  # said more fully below
    found = lines(Account(set="files", images=told.images, seen=told))
    return [f"{'' if number else 'files':<15}{line}" for number, line in enumerate(found)]


def _fit(seen: Inspection) -> list[str]:
    """How images that are not square become so, and what that costs."""
    share, oblong = seen.oblong
    if not share:
        return []
    many_of = f"in {oblong:,} of {len(seen.images):,} more than a tenth"
    costs = {
        "crop": f"{share:.1%} of the images, on average, is cut off, {many_of}; keep it with pad or squash",
        "pad": f"{share:.1%} of the squares, on average, is bars ({seen.data.fill}), {many_of}",
        "squash": f"longer sides are pressed together by {share:.1%} on average, {many_of}",
    }
    return [f"fit            {seen.data.fit}: {costs[seen.data.fit]}"]


def _sizes(seen: Inspection) -> str:
    if not seen.sizes:
        return "none, drawn at any size"
    common = [f"{width} × {height}" for (width, height), _ in seen.sizes.most_common(3)]
    if len(seen.sizes) == 1:
        return common[0]
    shown = [f"{size} ({n:,})" for size, (_, n) in zip(common, seen.sizes.most_common(3), strict=True)]
    rest = len(seen.sizes) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _classes(seen: Inspection) -> list[str]:
    """Classes down; images across, and but of a hidden set outliers, what is left and its three sides."""
    columns = [("images", seen.counts)]
    if not seen.hidden:
        columns += [("outliers", seen.outliers), ("left", seen.counts - seen.outliers), *seen.sides.items()]
    names = [_cut(name) for name in seen.images.classes]
    width = max(map(len, [*names, "all"]))
    rows = [[f"{int(values[k]):,}" for _, values in columns] for k in range(len(names))]
    rows.append([f"{int(values.sum()):,}" for _, values in columns])
    lines = [f"{'':<{width}}" + "".join(f"{name:>10}" for name, _ in columns)]
    lines += [
        f"{name:<{width}}" + "".join(f"{cell:>10}" for cell in row)
        for name, row in zip([*names, "all"], rows, strict=True)
    ]
    if seen.problem:
        lines += ["", "no study can split what is left:", *(f"  {line}" for line in seen.problem.split("\n"))]
    return lines


def _identical(seen: Inspection) -> list[str]:
    clusters, dropped = seen.findings.exact, int(seen.findings.outlier.sum())
    if not clusters:
        return ["identical images   none"]
    copies = sum(len(cluster.members) for cluster in clusters)
    fates = "all are scored" if seen.hidden else f'outliers = "drop" removes {dropped:,} of them'
    lines = [f"identical images   {many(len(clusters), 'cluster')}, {copies:,} images; {fates}"]
    lines += [f"  {_cluster_line(seen, cluster)}" for cluster in worst_first(seen)[:SHOWN]]
    return lines + _more(len(clusters))


def _cluster_line(seen: Inspection, cluster: Cluster) -> str:
    size = f"{len(cluster.members):,} copies"
    return f"{size:>12}  {fate(cluster):<38}  {_labels(seen, cluster)}  {_names(seen, cluster.members)}"


def fate(cluster: Cluster) -> str:
    """What ``outliers = "drop"`` does with a cluster, and why."""
    if cluster.reason == "labels disagree":
        return f"CONFLICT, labels disagree{': all dropped' * bool(cluster.dropped)}"
    if not cluster.dropped:
        return "all stay"
    return "3 or more: all dropped" if len(cluster.members) == len(cluster.dropped) else "one stays"


def _labels(seen: Inspection, cluster: Cluster) -> str:
    counts = list(seen.label_counts(cluster).items())
    shown = ", ".join(f"{_cut(name, 24)} × {n:,}" for name, n in counts[:4])
    return shown + (f" and {len(counts) - 4} more classes" if len(counts) > 4 else "")


def _names(seen: Inspection, members: Sequence[int]) -> str:
    shown = ", ".join(_printed(seen.names[member]) for member in members[:2])
    return shown + (", …" if len(members) > 2 else "")


def _near(seen: Inspection) -> list[str]:
    groups = seen.findings.near
    if not groups:
        lines = ["near-duplicates    none"]
    else:
        unlike = of_unlike(seen, groups)
        lines = [
            f"near-duplicates    {many(len(groups), 'group')}, {sum(map(len, groups)):,} images, the largest "
            f"of {len(groups[0])}{'' if seen.hidden else '; each stays on one side of every split'}",
            f"  more than copies of one image: {len(unlike)}",
            *(f"  {_group_line(seen, group)}" for group in unlike[:SHOWN]),
            *_more(len(unlike)),
        ]
    large = seen.findings.large[:SHOWN]
    return [*lines, *(f"  {len(group):,} images in one chain of likeness: reported only" for group in large)]


def of_unlike(seen: Inspection, groups: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Groups that hold more than copies of one image, those of several labels first."""
    unlike = [group for group in groups if len(set(seen.images.ids[list(group)].tolist())) > 1]
    return sorted(unlike, key=lambda group: len(set(map(seen.label, group))) == 1)


def worst_first(seen: Inspection) -> list[Cluster]:
    """Clusters of identical images: those whose labels disagree, then the largest."""
    return sorted(seen.findings.exact, key=lambda cluster: len(cluster.labels) == 1)


def _group_line(seen: Inspection, group: Sequence[int]) -> str:
    labels = list(dict.fromkeys(_cut(seen.label(member), 24) for member in group))
    mark = "labels differ: " if len(labels) > 1 else ""
    return f"{many(len(group), 'image'):>12}  {mark}{', '.join(labels[:4])}  {_names(seen, group)}"


def _suspects(seen: Inspection) -> list[str]:
    from bench.data.suspects import LIMIT

    if not seen.suspects:
        return ["suspects           none"]
    lines = [
        f"suspects           {many(len(seen.suspects), 'image')} far from all others (robust z above "
        f"{LIMIT:g}); to look at, never dropped"
    ]
    for one in seen.suspects[:SHOWN]:
        name = _printed(seen.names[one.position])
        lines.append(f"  {f'z {one.z:.1f}':>12}  {_cut(seen.label(one.position), 24)}  {name}")
    return lines + _more(len(seen.suspects))


def _more(count: int) -> list[str]:
    return [f"  … and {count - SHOWN} more (--json, --html FILE)"] if count > SHOWN else []


def many(count: int, what: str) -> str:
    """``1 image``, ``1,600 images``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _printed(text: str) -> str:
    """A name in a file or folder must not steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _cut(name: str, width: int = NAME_WIDTH) -> str:
    name = _printed(name)
    return name if len(name) <= width else name[: width - 1] + "…"


# -- as data -------------------------------------------------------------------------------------------------


def as_data(seen: Inspection) -> dict[str, Any]:
    """All of it, for programs; the keys are described in docs/inspect.md."""
    sides = {side: of.tolist() for side, of in seen.sides.items()}
    classes = [
        {
            "name": name,
            "images": int(seen.counts[k]),
            "outliers": int(seen.outliers[k]),
            **{side: of[k] for side, of in sides.items()},
        }
        for k, name in enumerate(seen.images.classes)
    ]
    return {
        "source": seen.data.source,
        "fingerprint": seen.source.fingerprint,
        "size_px": seen.data.size_px,
        "images": len(seen.images),
        "channels": int(seen.images.images.shape[3]),
        "native_sizes": [
            {"width": width, "height": height, "images": n} for (width, height), n in seen.sizes.most_common()
        ],
        "files": seen.source.seen.model_dump(mode="json") if seen.source.seen else None,
        "fit": seen.data.fit,
        "cropped": seen.oblong[0] if seen.data.fit == "crop" else 0.0,
        "imbalance": seen.imbalance,
        "group_sizes": None if seen.group_sizes is None else sorted(seen.group_sizes.tolist()),
        "classes": classes,
        "hidden": seen.hidden,
        "split_problem": seen.problem,
        "split_missed": list(seen.missed),
        "identical": [_cluster_data(seen, cluster) for cluster in seen.findings.exact],
        "near_duplicates": [[_image(seen, m) for m in group] for group in seen.findings.near],
        "large_groups": [[_image(seen, m) for m in group] for group in seen.findings.large],
        "suspects": [
            _image(seen, one.position) | {"distance": one.distance, "z": one.z} for one in seen.suspects
        ],
    }


def _cluster_data(seen: Inspection, cluster: Cluster) -> dict[str, Any]:
    dropped = set(cluster.dropped)
    return {
        "images": len(cluster.members),
        "labels": seen.label_counts(cluster),
        "conflict": len(cluster.labels) > 1,
        "reason": cluster.reason,
        "dropped": len(dropped),
        "members": [_image(seen, m) | {"dropped": m in dropped} for m in cluster.members],
    }


def _image(seen: Inspection, position: int) -> dict[str, Any]:
    return {"position": position, "name": seen.names[position], "label": seen.label(position)}


def as_json(seen: Inspection) -> str:
    """``as_data`` as JSON."""
    return json.dumps(as_data(seen), indent=1, ensure_ascii=False)
