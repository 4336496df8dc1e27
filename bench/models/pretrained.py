"""Any timm model, fresh or pretrained, behind our own head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Interval

from bench.errors import UserError, did_you_mean, shorten
from bench.files import filling
from bench.models.architecture import FOREIGN, Architecture, Task
from bench.registry import models

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.models.network import Network

VGG_CLASSIFIER = ("pre_logits.", "head.", "classifier.")
"""119 of VGG16's 134 million weights, the last as torchvision names them; not part of its features."""
VGG_SMALLEST_PX = 32
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_TIMEOUT_S = 10.0


@models.register("timm", head=("dense", "dropout"))
def timm(
    pretrained: bool = False,
    weights: str | None = None,
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    dense: Annotated[int, Ge(0)] = 0,
    pad_type: str | None = None,
    bn_eps: Annotated[float, Gt(0)] | None = None,
    mean: list[float] | None = None,
    std: list[Annotated[float, Gt(0)]] | None = None,
) -> Architecture:
    """Any timm model by its timm name: its features, its pooling, then dropout and a dense softmax layer.

    pretrained   ImageNet weights from the hub (needs a network once)
    weights      instead: a .pth, .ckpt or .safetensors file of the same model, timm's or torchvision's (VGG,
                 ResNet, DenseNet, MobileNetV2, EfficientNet), also as a checkpoint of Lightning,
                 DataParallel or a compiled model
    dropout      0 to below 1, between features and classifier
    dense        width of a dense layer added before the classifier; 0: none
    pad_type     timm's padding; weights born in TensorFlow need "same"
    bn_eps       batch norm's ε; weights born in TensorFlow need 1e-3
    mean, std    per-channel normalisation; default: the pretrained model's own, or the training split's

    images       (B, C, H, W) float32 in [0, 1] → logits (B, K)
    random       initial weights and dropout, from the trial's streams

    Source: Wightman, PyTorch Image Models (timm), and each model's own paper.
    """
    if pretrained and weights is not None:
        raise UserError(f"model: pretrained = true excludes weights = {shorten(weights)}; keep one of them")
    normalisation = tuple(mean) if mean else None, tuple(std) if std else None
    extras = {k: v for k, v in (("pad_type", pad_type), ("bn_eps", bn_eps)) if v is not None}
    return TimmModel(pretrained, weights is not None, dropout, dense, tuple(extras.items()), normalisation)


@dataclass(frozen=True)
class TimmModel:
    """A timm model's study parameters."""

    pretrained: bool
    offline: bool
    """Weights come from a file."""
    dropout: float
    dense: int
    extras: tuple[tuple[str, Any], ...]
    """Further arguments of the timm model."""
    normalisation: tuple[tuple[float, ...] | None, tuple[float, ...] | None]

    def bare(self) -> TimmModel:
        """The same layers, fresh."""
        return replace(self, pretrained=False, offline=False)

    def fits(self, name: str, task: Task, weights: Path | None) -> None:
        """Raise UserError for an unknown name, weights that cannot be had, or a wrong number of channels."""
        import timm as library

        if not library.is_model(name) or ":" in name:
            known = {*library.list_models(), *models.names()} - {"timm"}
            raise UserError(f'"{name}" is neither a model of ours nor of timm; {did_you_mean(name, known)}')
        _check_tag(name)
        if self.pretrained:
            _require_weights(name)
            _reach_hub(name)
        for key, values in zip(("mean", "std"), self.normalisation, strict=True):
            if values is not None and len(values) != task.channels:
                raise UserError(
                    f"{name}: {key} = {list(values)} has {len(values)} numbers, the images have "
                    f"{task.channels} channels; give one number per channel"
                )

    def build(self, name: str, task: Task, weights: Path | None) -> Network:
        """The network, with weights from the hub, from a file, or fresh."""
        from bench.models.head import classifier_head
        from bench.models.network import Network

        self.fits(name, task, weights)
        backbone = self._backbone(name, task)
        if self.offline:
            if weights is None:
                raise ValueError(f"{name} wants weights from a file, but no path came with the trial")
            _load(backbone, weights, f"weights = {weights} do not fit {name}", task.channels)
        _no_clones(backbone)
        features = _without_classifier(backbone)
        if _is_vgg(name) and task.size_px < VGG_SMALLEST_PX:
            _round_pooling_up(backbone)
        head = classifier_head(features, task.classes, dropout=self.dropout, dense=self.dense)
        return Network(backbone, head, _groups(backbone), self._normalisation(backbone, task))

    def arguments(self, name: str, task: Task) -> dict[str, Any]:
        """What ``timm.create_model`` is given beside ``name`` and ``pretrained``."""
        import timm as library

        arguments: dict[str, Any] = dict(self.extras, num_classes=0, in_chans=task.channels)
        configured = library.models.get_pretrained_cfg(name)
        if configured is not None and configured.fixed_input_size:
            arguments["img_size"] = task.size_px
        if _is_vgg(name) and not self.pretrained:
            # its hidden classifier is thrown away below: make it one unit wide instead of 4,096
            arguments["mlp_ratio"] = 1 / 4096
        return arguments

    def _backbone(self, name: str, task: Task) -> nn.Module:
        """The timm model without classifier, still with VGG's hidden one."""
        import timm as library
        from huggingface_hub.constants import HF_HUB_CACHE

        arguments = self.arguments(name, task)
        try:
            with filling(Path(HF_HUB_CACHE), "HF_HOME in the environment"):
                model: nn.Module = library.create_model(name, pretrained=self.pretrained, **arguments)
        except FOREIGN as error:
            given = ", ".join(f"{key} = {shorten(value)}" for key, value in self.extras)
            raise UserError(
                f"{name} cannot be built at {task.size_px} px{', ' * bool(given)}{given}: {error}"
            ) from error
        return model

    def _normalisation(self, backbone: nn.Module, task: Task) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation: as given, else the pretrained model's own, else the training split's."""
        default = task.normalisation
        if self.pretrained or self.offline:
            own: Any = backbone.pretrained_cfg
            default = _per_channel(own["mean"], task.channels), _per_channel(own["std"], task.channels)
        mean, std = self.normalisation
        return mean or default[0], std or default[1]


def _check_tag(name: str) -> None:
    """Raise UserError for ``efficientnet_b0.nonsense``: a known model, but no weights of that name."""
    import timm as library

    architecture, _, tag = name.partition(".")
    tags = [known.partition(".")[2] for known in library.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UserError(
            f'"{name}": timm has no weights "{tag}" for {architecture}; {did_you_mean(tag, tags)}'
        )


def _require_weights(name: str) -> None:
    """Raise UserError for a model that has no pretrained weights; it names relatives that have some."""
    import timm as library

    if library.models.is_model_pretrained(name):
        return
    relatives = library.list_pretrained(f"*{name.partition('.')[0]}*")
    others = f"these have some: {', '.join(relatives[:12])}" if relatives else "nor for a relative"
    raise UserError(
        f'timm has no weights for "{name}"; {others}; '
        "name one of those, give weights = PATH, or set pretrained = false"
    )


def _is_vgg(name: str) -> bool:
    import timm as library

    return name.partition(".")[0] in library.list_models(module="vgg")


def _reach_hub(name: str) -> None:
    """Raise UserError when the model's weights are neither in the hub's cache nor the hub can be reached.

    One short request: the download itself retries for most of a minute before it gives up.
    """
    import timm as library
    from huggingface_hub import HfApi, try_to_load_from_cache

    configured = library.models.get_pretrained_cfg(name)
    repository = configured and configured.hf_hub_id
    if not repository or any(isinstance(try_to_load_from_cache(repository, file), str) for file in HUB_FILES):
        return
    try:
        HfApi().model_info(repository, timeout=HUB_TIMEOUT_S)
    except (
        Exception
    ) as error:  # the hub's HTTP library, and with it the class of its errors, changes by release
        raise UserError(
            f"{name}: pretrained = true, but its weights cannot be fetched "
            f"({type(error).__name__}: {error}).\n"
            "  Either download them on a machine with a network and set  weights = PATH  in place of\n"
            "  pretrained, or set  pretrained = false  to train from scratch."
        ) from error


def _load(backbone: nn.Module, path: Path, what: str, channels: int) -> None:
    """Copy a file's tensors into the backbone; the file's classifier is ignored, anything else must fit."""
    from timm.models import adapt_input_conv
    from timm.models.efficientnet import EfficientNet

    from bench.models.weights import from_torchvision, load_strictly, read, without_prefix

    configured: Any = backbone.pretrained_cfg
    heads = configured.get("classifier") or ()
    ignored = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
    hidden = VGG_CLASSIFIER if _has_hidden_classifier(backbone) else ()
    own = backbone.state_dict()
    found = without_prefix(read(path), own)
    if isinstance(backbone, EfficientNet) and not own.keys() & found.keys():
        found = from_torchvision(found, own) or found
    state = {name: t for name, t in found.items() if not name.startswith(ignored + hidden)}
    first = f"{configured.get('first_conv')}.weight"
    if first in state and state[first].ndim == 4 and state[first].shape[1] == 3 != channels:
        state[first] = adapt_input_conv(channels, state[first])
    if hidden:
        state |= _own_hidden(backbone)
    load_strictly(backbone, state, what)


def _has_hidden_classifier(backbone: nn.Module) -> bool:
    from timm.models.vgg import ConvMlp

    return isinstance(getattr(backbone, "pre_logits", None), ConvMlp)


def _own_hidden(backbone: nn.Module) -> dict[str, Tensor]:
    return {n: t for n, t in backbone.state_dict().items() if n.startswith(VGG_CLASSIFIER)}


def _without_classifier(backbone: Any) -> int:
    """Take VGG's hidden classifier off; the number of pooled features."""
    from torch import nn

    if _has_hidden_classifier(backbone):
        backbone.pre_logits = nn.Identity()
        backbone.head_hidden_size = backbone.num_features
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)


def _no_clones(backbone: nn.Module) -> None:
    """Turn in-place activations off whose gradient needs what came in: autograd clones it before each.

    The same numbers in either way. In-place ReLU stays: its gradient needs only what came out.
    """
    from torch import nn

    for module in backbone.modules():
        if isinstance(module, (nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Mish)):
            module.inplace = False


def _round_pooling_up(backbone: nn.Module) -> None:
    """Let odd sides keep their last pixels: five halvings of a smaller image would leave none."""
    from torch import nn

    for module in backbone.modules():
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode = True


def _groups(backbone: Any) -> list[list[str]]:
    """Names of the parameters of each block, from input to output, as timm groups them."""
    from timm.models import group_parameters

    try:
        matcher = backbone.group_matcher(coarse=True)
    except (AttributeError, AssertionError):
        raise UserError(
            f"timm does not divide a {type(backbone).__name__} into blocks, which stages are made of; "
            "choose a model of another family"
        ) from None
    by_block = group_parameters(backbone, matcher, return_values=False)
    return [list(by_block[block]) for block in sorted(by_block)]


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """A model's RGB normalisation for C channels; their average where C is not 3."""
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels
