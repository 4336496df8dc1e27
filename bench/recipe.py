"""The types that travel: what to train (Recipe), on which images (Data), what to score beside test (Hidden).

All are frozen, strict and complete: every default filled in. They hold no machine paths and import no torch.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from bench.errors import UserError, shorten
from bench.registry import Registry

HIDDEN_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
STUDY_NAME = HIDDEN_NAME[:-1] + "(@" + HIDDEN_NAME[1:-1] + ")?$"
"""A file's stem; behind @ one of its data sets."""
STAGE = re.compile(r"none|head|all|top:[1-9]\d*|fraction:(0?\.\d*[1-9]\d*|1(\.0+)?)")


ClassName = Annotated[str, Field(min_length=1), AfterValidator(partial(unicodedata.normalize, "NFC"))]
"""In Unicode's composed form, as ``data.classes`` has them: some file systems spell é as two characters."""


def as_tuple(value: Any) -> Any:
    """A list as what never changes; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


class Frozen(BaseModel):
    """Strict, immutable, and closed to unknown keys."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True, allow_inf_nan=False
    )


def repeated(values: Sequence[Any]) -> str:
    """The first of ``values`` that is there twice, as a person writes it; empty: they all differ."""
    counts = Counter(map(repr, values))
    return next((shorten(value) for value in values if counts[repr(value)] > 1), "")


class Choice(Frozen):
    """A component and its parameters; written in a study as ``"name"`` or ``{ name = …, … }``."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _unflatten(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value, "params": {}}
        if isinstance(value, dict) and "params" not in value:
            return {"name": value.get("name"), "params": {k: v for k, v in value.items() if k != "name"}}
        return value

    @model_serializer(mode="wrap")
    def _flatten(self, _: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **self.params}


def complete(registry: Registry, choice: Choice) -> Choice:
    """The choice with every default filled in; ValueError with the inner key where something is wrong."""
    try:
        return Choice(name=choice.name, params=registry[choice.name].parameters(choice.params))
    except UserError as error:
        raise ValueError(f"{error}") from error
    except ValidationError as error:
        wrong = error.errors()[0]
        key = ".".join(map(str, wrong["loc"]))
        raise ValueError(f"{choice.name}: {key} = {wrong['input']!r}: {wrong['msg']}") from error


class Stage(Frozen):
    """A part of training with a fixed set of trainable blocks."""

    train: str = "all"
    """``none`` (skip), ``head``, ``top:N`` (N blocks from the output), ``fraction:F`` or ``all``."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    """Instead of epochs: optimizer steps, equal whatever the balance does to an epoch."""
    eval_every: Annotated[int, Field(ge=1)] | None = None
    """With steps: score validation every so many steps (default: a tenth of the stage)."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop the stage after so many evaluations without a better validation score."""
    lr_scale: Annotated[float, Field(gt=0)] = 1.0
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0

    @field_validator("train")
    @classmethod
    def _known_train(cls, value: str) -> str:
        if not STAGE.fullmatch(value):
            raise ValueError('must be "none", "head", "all", "top:N" or "fraction:F" (N ≥ 1, 0 < F ≤ 1)')
        return value

    @model_validator(mode="after")
    def _one_length(self) -> Stage:
        if self.train != "none" and (self.epochs is None) == (self.steps is None):
            raise ValueError(f"give either epochs or steps, not {'both' if self.steps else 'neither'}")
        if self.eval_every is not None and self.steps is None:
            raise ValueError(f"eval_every = {self.eval_every} goes with steps; by epochs each is scored")
        return self


Precision = Literal["fp32", "tf32", "bf16"]
Balance = Literal["none", "upsample", "upsample-static", "downsample", "class-weights", "sqrt-sampler"]


COPIED_BY = (
    Choice(name="flip", params={"vertical_p": 0.5}),
    Choice(name="rotate", params={"degrees": 180.0, "fill": "reflect"}),
    Choice(name="zoom", params={"fill": "reflect"}),
)
"""How ``upsample-static`` makes its copies. Reflected, because black corners would mark the small classes."""


class Recipe(Frozen):
    """Everything needed to train an arm, all defaults filled in."""

    model: Choice
    balance: Balance = "none"
    augment: tuple[Choice, ...] = ()
    augment_mode: Literal["dynamic", "static"] = "dynamic"
    optimizer: Choice = Choice(name="adam")
    schedule: Choice = Choice(name="constant")
    loss: Choice = Choice(name="cross-entropy")
    batch_size: Annotated[int, Field(ge=1)] = 64
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = (Stage(train="all", epochs=10),)
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Largest gradient norm; 0: off."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of an exponential moving average of the weights; 0: off."""
    tta: Literal["none", "flips"] = "none"
    """Test-time augmentation: average over the four mirror images."""
    precision: Precision = "fp32"
    deterministic: bool = False
    """Bit-identical results on a GPU too, at a price. On a CPU they always are."""
    cpu_threads: Annotated[int, Field(ge=1)] = 1
    compile: bool = False
    graph: bool = False
    command: Annotated[str, Field(max_length=4000)] = ""
    """A program that trains in place of bench, with what is filled into its { }."""
    settings: dict[str, str | bool | int | float] = Field(default_factory=dict)
    """What that program alone knows, for ``{settings.KEY}``; can be tuned."""

    _tuples = field_validator("augment", "stages", mode="before")(as_tuple)


class Split(Frozen):
    """Shares of the images; they add up to 1."""

    train: Annotated[float, Field(gt=0, lt=1)] = 0.8
    val: Annotated[float, Field(gt=0, lt=1)] = 0.1
    test: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """0: no local test set, hidden sets decide."""

    @model_validator(mode="after")
    def _adds_up(self) -> Split:
        if abs(self.train + self.val + self.test - 1) > 1e-9:
            raise ValueError(f"shares must add up to 1, these make {self.train + self.val + self.test:g}")
        return self


class NamePattern(Frozen):
    """Groups told from file names: images in whose names the same is found belong together."""

    pattern: str
    """Regular expression; what its first ( ) holds counts, without one all that it matches."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return value


Grouping = Annotated[str, Field(min_length=1)] | NamePattern
"""What images belong together by: a column of the source (``"folder"``), or a pattern of file names."""


Level = Annotated[int, Field(ge=0, le=65535)]


class Data(Frozen):
    """The ``[data]`` table: which images, how large, how split."""

    source: str
    """``NAME`` or ``NAME:PATH`` of a registered source, as written in the study, which checks it."""
    size_px: Annotated[int, Field(ge=16, le=1024)] = 96
    outliers: Literal["keep", "drop"] = "drop"
    split: Split | Literal["official"] | None = None
    """None: the source's own split where it has one, else 80/10/10."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1)] | None = None
    """Largest number of training plus validation images, classes in proportion. The test set stays whole."""
    classes: Annotated[tuple[ClassName, ...], Field(min_length=2)] | None = None
    """Names of the classes, in label order."""
    n_images: Annotated[int, Field(ge=80, le=10_000_000)] = 2000
    """Images that ``synthetic`` draws."""
    groups: Grouping | None = None
    """Images of one patient, slide or donor: on one side of every split, and one item of every interval."""
    bit_range: tuple[Level, Level] | None = None
    """Of images with 16 bits a channel: the values that become 0 and 255; None: 0 and 65535."""
    fit: Literal["crop", "pad", "squash"] = "crop"
    """How an image becomes square: its central square, all of it with bars, or all of it pressed together."""
    fill: Literal["black", "white", "edge", "reflect"] = "black"
    """What the bars of ``pad`` show."""

    drop_classes: tuple[ClassName, ...] = ()
    """Classes whose images are left out, as if they were not there."""

    val_images: Annotated[int, Field(ge=1)] | None = None
    """Images that validation is filled up to, with what ``limit`` leaves over; None: it is not."""

    @model_validator(mode="before")
    @classmethod
    def _fill_of_bars(cls, value: Any) -> Any:
        """Without bars ``fill`` does nothing, and so makes no other trial of an arm that does not pad."""
        if isinstance(value, dict) and value.get("fit", "crop") in ("crop", "squash"):
            return {key: given for key, given in value.items() if key != "fill"}
        return value

    _tuples = field_validator("classes", "bit_range", "drop_classes", mode="before")(as_tuple)

    @field_validator("bit_range")
    @classmethod
    def _rising(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(f"must rise, as [0, 4095], these are {value[0]} and {value[1]}")
        return value

    @field_validator("classes")
    @classmethod
    def _distinct(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (double := repeated(value)):
            raise ValueError(f"names the class {double} twice")
        return value


SOURCE_KEYS = ("classes", "n_images", "bit_range")
"""Keys of ``[data]`` for the sources whose functions take them; elsewhere they are mistakes."""


class External(Frozen):
    """A hidden set from other images: another laboratory, another camera."""

    kind: Literal["external"]
    source: str
    classes: dict[ClassName, ClassName] | None = None
    """Foreign class name → this study's class name; names not listed stay as they are."""
    groups: Grouping | None = None
    """As in ``[data]``: one item of every interval."""
    allow_overlap: bool = False
    """Score it even when it holds images of the local data."""
    drop_classes: tuple[ClassName, ...] = ()
    """Foreign classes whose images are left out."""

    _tuples = field_validator("drop_classes", mode="before")(as_tuple)


class Corrupted(Frozen):
    """A hidden set of corrupted local test images (for ``val_shift``: of validation images)."""

    kind: Literal["corrupted"]
    profile: Literal["micro-c", "heavy-mix"] = "heavy-mix"
    images: Annotated[int, Field(ge=1)] | None = None
    families: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    severities: Annotated[tuple[Annotated[int, Field(ge=1, le=5)], ...], Field(min_length=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    _tuples = field_validator("families", "severities", mode="before")(as_tuple)


Knob = Annotated[float, Field(ge=0, le=3)]


class Shifted(Frozen):
    """A hidden set drawn by the synthetic generator as another laboratory: 0 no shift, 1 clear, 3 extreme."""

    kind: Literal["synthetic"]
    images: Annotated[int, Field(ge=8)] = 1000
    stain: Knob = 1.0
    illumination: Knob = 1.0
    scale: Knob = 1.0
    focus: Knob = 1.0


Hidden = Annotated[External | Corrupted | Shifted, Field(discriminator="kind")]
