"""What comes before a head that alone is trained: its outputs are computed once and kept for who asks again.

A trunk that does not train, in evaluation mode, says the same of an image in every epoch, and in every trial
with the same weights, whatever its head. Kept in this process's memory, the least recently used go first.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.data.resident import Wanted
from bench.data.streamed import Split
from bench.models.network import Network, evaluating, forward_in
from bench.recipe import Choice, Precision
from bench.registry import models

Features = tuple[Tensor, ...]
Owed = dict[Hashable, float]
"""What a trial found kept → seconds that this had taken another."""


@dataclass(frozen=True)
class _Kept:
    features: Features
    seconds: float
    """That they took."""


_kept: OrderedDict[Hashable, _Kept] = OrderedDict()


class Trunk:
    """A network's normalisation and backbone, as they are now. They must not change while it is used."""

    def __init__(
        self, network: Network, model: Choice, precision: Precision, room: int, owed: Owed | None = None
    ) -> None:
        """Tell the trunk's weights apart from all others, which reads them once.

        model   the recipe's, of which ``network`` was built
        room    bytes of features that this process may keep, those of other trunks included
        owed    the trial's, to be added to: what it costs must not depend on who came before it
        """
        self._network, self._precision, self._room = network, precision, room
        self._owed = {} if owed is None else owed
        component = models[model.name]
        spared = component.traits.get("head", ())
        params = {name: value for name, value in model.params.items() if name not in spared}
        # a factory is another one when a study's file was changed and read again
        built = component.factory, model.name, json.dumps(params, sort_keys=True)
        self._key = (*built, _state(network), str(network.mean.device), precision, *_settings())

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) float32 in [0, 1] → features (B, …), as the head takes them."""
        with evaluating(self._network.backbone), torch.no_grad(), forward_in(self._precision, images.device):
            return self._network.features(images)

    def recall(self, asked: Hashable, share: float = 1.0) -> Features | None:
        """What an equal trunk was asked to keep as ``asked``; ``share`` of its seconds are owed."""
        key = self._key, asked
        if key not in _kept:
            return None
        _kept.move_to_end(key)
        self._owed.setdefault(key, share * _kept[key].seconds)
        return _kept[key].features

    def holds(self, size: int) -> bool:
        """Whether so many bytes may be kept."""
        return size <= self._room

    def keep(self, asked: Hashable, features: Sequence[Tensor], seconds: float) -> None:
        """Keep ``features``, which took ``seconds``, if there is room.

        On a GPU they are then complete, for whichever stream reads them.
        """
        self._owed[self._key, asked] = 0.0
        if not self.holds(sum(part.nbytes for part in features)):
            return
        if features and features[0].is_cuda:
            torch.cuda.current_stream(features[0].device).synchronize()
        _kept[self._key, asked] = _Kept(tuple(features), seconds)
        while not self.holds(sum(part.nbytes for kept in _kept.values() for part in kept.features)):
            _kept.popitem(last=False)


class Evaluated:
    """A split as a frozen trunk sees it in evaluation: batches that are the same each time, so are features.

    With the interface of a ``Split``, for a head in place of a network.
    """

    def __init__(self, trunk: Trunk, split: Split) -> None:
        self._trunk, self._split = trunk, split
        self.labels = split.labels
        """(N,) int64 on the device."""

    def __len__(self) -> int:
        return len(self._split)

    def batches(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, Tensor]]:
        """Each of ``wanted`` in turn, with its features, as they were computed the first time."""
        asked = list(wanted)
        places = hashlib.sha256(b"".join(rows.places.tobytes() for rows in asked)).digest()
        key = "evaluated", self._split.digest, tuple(len(rows.places) for rows in asked), places
        known = self._trunk.recall(key)
        if known is not None:
            yield from zip(asked, (part.clone() for part in known), strict=True)
            return
        drawn, made = generators(self.labels.device), []
        spent, begun = 0.0, time.perf_counter()
        for rows, images in self._split.batches(asked):
            features = self._trunk(images)
            if self._trunk.holds(features.nbytes * len(asked)):
                made.append(features.clone())  # a head may write into what it is given
            spent += time.perf_counter() - begun
            yield rows, features
            begun = time.perf_counter()
        if len(made) == len(asked) and same(drawn, generators(self.labels.device)):
            self._trunk.keep(key, made, spent)


def frozen(
    network: Network, model: Choice, precision: Precision, room: int, owed: Owed | None = None
) -> Trunk | None:
    """The ``Trunk`` of a network of which the head alone trains; None where another part does too.

    A backbone without weights is never frozen: it follows the head into training mode.
    """
    trains = [parameter.requires_grad for parameter in network.backbone.parameters()]
    ours = type(network).forward is Network.forward
    return Trunk(network, model, precision, room, owed) if ours and trains and not any(trains) else None


def generators(device: str | torch.device) -> dict[str, Tensor]:
    """States of torch's generators, which dropout draws from: uint8 of shape (n,) each, on the CPU."""
    states = {"cpu": torch.get_rng_state()}
    if torch.device(device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def same(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    """Whether all tensors are equal, name by name: a trunk that draws leaves generators elsewhere."""
    return all(torch.equal(tensor, others[name]) for name, tensor in some.items())


def _state(network: Network) -> bytes:
    """Hash of all that the trunk computes with: names, shapes and bytes of weights and buffers."""
    state = {**network.backbone.state_dict(), " mean": network.mean, " std": network.std}
    told = hashlib.sha256()
    for name, tensor in state.items():
        told.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        told.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return told.digest()


def _settings() -> tuple[Hashable, ...]:
    """What of this process moves the last bits."""
    return (
        torch.get_num_threads(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
    )
