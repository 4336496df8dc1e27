"""The classifier on top of features: the same for every model."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def classifier_head(features: int, classes: int, *, dropout: float = 0.0, dense: int = 0) -> nn.Sequential:
    """Pooled features (B, F) → dropout → (dense layer, ReLU) → logits (B, K).

    dropout   share of features set to 0 in training, 0 to 1
    dense     width of the layer between features and classifier; 0: none
    random    dropout draws from torch's global generator, which the loop seeds for every epoch
    """
    layers: list[tuple[str, nn.Module]] = [("dropout", nn.Dropout(dropout))]
    if dense:
        layers += [("dense", nn.Linear(features, dense)), ("activation", nn.ReLU())]
    layers.append(("classifier", nn.Linear(dense or features, classes)))
    return nn.Sequential(OrderedDict(layers))


def flat_head(features: int, classes: int, *, dense: int, dropout: float) -> nn.Sequential:
    """Feature maps (B, C, H, W) → flatten → dense layer, ReLU → dropout → logits (B, K).

    features   C·H·W
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            dense=nn.Linear(features, dense),
            activation=nn.ReLU(),
            dropout=nn.Dropout(dropout),
            classifier=nn.Linear(dense, classes),
        )
    )
