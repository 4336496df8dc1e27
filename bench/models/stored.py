"""A trained network from the weights that a trial kept."""

from __future__ import annotations

from pathlib import Path

from bench.errors import UserError
from bench.models.architecture import Task, architecture_of
from bench.models.network import Network
from bench.models.weights import load_strictly, read
from bench.recipe import Choice


def stored_network(model: Choice, size_px: int, weights: Path, id: str) -> Network:
    """The trained network of trial ``id``, on the CPU.

    model     of the trial's recipe; its pretrained weights are not needed again
    size_px   of the images that it was trained on
    weights   the trial's own ``weights.safetensors``, normalisation included

    The number of classes and channels is read off the stored tensors. Raises UserError for another's weights.
    """
    state = read(weights)
    try:
        classes, channels = len(state["head.classifier.bias"]), state["mean"].shape[1]
    except (KeyError, IndexError):
        raise UserError(
            f"{weights} holds {len(state)} tensors, but not those of a trained trial; "
            "use --rescore to train it again"
        ) from None
    network = architecture_of(model).bare().build(model.name, Task(classes, channels, size_px), None)
    load_strictly(network, state, f"{weights} is not of trial {id}")
    return network
