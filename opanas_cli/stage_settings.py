"""The settings of the stages, each declared once: checks, help texts and the table in the docs are made from here.

The defaults are the paper's (sections 4.1.2, 3.2.2 and 4.1.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

BOX_METRICS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
"""The first six figures of COCO's summary."""

METRICS = (*BOX_METRICS, "VOC_AP50", "segm_AP")
"""The metrics that may rank candidates: those of boxes, PASCAL VOC's, and COCO's AP of masks."""

SPLITS = ("file", "folder")
"""What a split keeps together: the files of one name, or whole folders."""

SAMPLINGS = ("parameterised", "all")

SAMPLED = ("fair", "spos")
"""The methods that train sub-nets drawn at random, which a search then ranks."""

MIXED = ("darts", "fair-darts")
"""The methods that train a mixture of all paths together with its weights, which then name a genotype."""

SMALLEST_SIDE = 32
"""The stride of the coarsest level of a backbone: smaller images have no pixel there."""

LARGEST_SIDE = 65_536
"""Larger images do not fit into memory, and OpenCV's decoders refuse them."""

OF_WEIGHTS = (
    "bias_lr_mult",
    "bias_decay_mult",
    "norm_decay_mult",
    "flat_decay_mult",
    "dwconv_decay_mult",
    "dcn_offset_lr_mult",
    "bypass_duplicate",
    "custom_keys",
)
"""The options of mmengine's `paramwise_cfg`; it ignores others."""

_DEFAULT = object()

MEMORY_MB = 2000
"""The default of `search.memory_mb` on the CPU."""


@dataclass(frozen=True)
class Check:
    """What a value must be: a test, and the requirement in words."""

    holds: Callable[[Any], bool]
    wanted: str

    @property
    def or_none(self) -> Check:
        """The same, or None."""
        return Check(lambda value: value is None or self.holds(value), f"{self.wanted}, or None")


def _is_number(value: Any, low: float, high: float = math.inf) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value < high


def _is_whole(value: Any, low: int, high: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_pair(value: Any, of: Callable[[Any], bool]) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(of, value))


def _are_factors(value: Any, names: tuple[str, ...]) -> bool:
    return isinstance(value, dict) and set(value) <= {*names} and all(_is_number(one, 0) for one in value.values())


def _is_paramwise(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    factors = dict(value)
    keys, bypass = factors.pop("custom_keys", {}), factors.pop("bypass_duplicate", False)
    named = isinstance(keys, dict) and all(_are_factors(one, ("lr_mult", "decay_mult")) for one in keys.values())
    return named and isinstance(bypass, bool) and _are_factors(factors, OF_WEIGHTS)


def is_size(value: Any, low: int = SMALLEST_SIDE) -> bool:
    """Whether a value is two sides in pixels, from `low` on."""
    return _is_pair(value, lambda side: _is_whole(side, low, LARGEST_SIDE))


def one_of(names: tuple[str, ...]) -> Check:
    """One of some names."""
    return Check(lambda value: isinstance(value, str) and value in names, f"one of {', '.join(names)}")


POSITIVE = Check(lambda value: _is_number(value, 0) and value > 0, "a number above 0")
NOT_NEGATIVE = Check(lambda value: _is_number(value, 0), "a number of at least 0")
COUNT = Check(lambda value: _is_whole(value, 1), "a whole number of at least 1")
COUNT_OR_ZERO = Check(lambda value: _is_whole(value, 0), "a whole number of at least 0")
FRACTION = Check(lambda value: POSITIVE.holds(value) and value <= 1, "a fraction above 0 and of at most 1")
PART = Check(lambda value: _is_number(value, 0, 1), "a fraction of at least 0 and below 1")
PROBABILITY = Check(lambda value: _is_number(value, 0) and value <= 1, "a number from 0 to 1")
SWITCH = Check(lambda value: isinstance(value, bool), "True or False")
EPOCHS = Check(
    lambda value: isinstance(value, (list, tuple)) and all(_is_whole(epoch, 0) for epoch in value),
    "a list of whole numbers such as 8,11",
)
PARAMWISE = Check(_is_paramwise, f"a dict of {', '.join(OF_WEIGHTS)} (by name a dict of lr_mult and decay_mult)")
NAME = Check(lambda value: isinstance(value, str) and bool(value), "a name")
SIZE = Check(is_size, f"two whole numbers of {SMALLEST_SIDE} to {LARGEST_SIDE} pixels, (width, height)")
TWO_SIZES = Check(lambda value: _is_pair(value, is_size), "the smallest and the largest (width, height) in pixels")


def setting(default: Any, check: Check, sentence: str, methods: tuple[str, ...] = (), otherwise: Any = _DEFAULT) -> Any:
    """A setting: its default, what it must be, and a sentence about its purpose and unit.

    Args:
        methods: the values of `supernet.method` that have this setting; none stands for all.
        otherwise: the only value that other methods take, the default unless given.
    """
    held = default if otherwise is _DEFAULT else otherwise
    return field(
        default=default, metadata={"check": check, "sentence": sentence, "methods": methods, "otherwise": held}
    )


@dataclass(frozen=True)
class TrainingSection:
    """The settings that the trainings of a super-net and of one network have in common."""

    image_scale: tuple[int, int] | None = setting(
        None,
        SIZE.or_none,
        "(width, height) in pixels that every `Resize`, `RandomResize` and `RandomChoiceResize` of the pipelines "
        "resizes to, their other settings kept; None leaves the sizes as they are",
    )
    batch_size: int = setting(16, COUNT, "images per step of one process")
    epochs: int = setting(12, COUNT, "passes over the training images")
    optimizer: str = setting("SGD", NAME, "SGD, or another optimizer of torch by name")
    lr: float = setting(0.02, POSITIVE, "learning rate")
    milestones: tuple[int, ...] | None = setting((8, 11), EPOCHS.or_none, "epochs after which lr is divided by ten")
    warmup_iters: int = setting(500, COUNT_OR_ZERO, "steps of linear warm-up")
    momentum: float = setting(0.9, NOT_NEGATIVE, "momentum of SGD")
    weight_decay: float = setting(1e-4, NOT_NEGATIVE, "weight decay of all weights")
    paramwise_cfg: Mapping[str, Any] | None = setting(
        None, PARAMWISE.or_none, "factors of lr and weight_decay for some weights, as in mmengine's `optim_wrapper`"
    )
    grad_clip: float | None = setting(None, POSITIVE.or_none, "largest norm of the gradient; None disables clipping")
    amp: bool = setting(False, SWITCH, "train in mixed precision: bfloat16, or float16 on GPUs without bfloat16")


@dataclass(frozen=True)
class SuperNetSection(TrainingSection):
    """The section `supernet` (section 4.1.2)."""

    search_split: float = setting(0.1, PART, "fraction of the training images held out for the search")
    split_by: str = setting(
        "file",
        one_of(SPLITS),
        "`folder` holds out whole folders of images, for video frames: see [your own data](own-data.md)",
    )
    data_fraction: float = setting(
        1.0, FRACTION, "fraction of the remaining training images that the super-net is trained on"
    )
    method: str = setting(
        "fair", one_of((*SAMPLED, *MIXED)), "how the super-net is trained: by one of the [search methods](methods.md)"
    )
    sampling: str = setting(
        "parameterised",
        one_of(SAMPLINGS),
        "paths trained on each edge: those with weights (as in the paper), or `all`, including skip-connect and none",
        methods=SAMPLED,
        otherwise="all",
    )
    l1_weight: float = setting(1e-4, NOT_NEGATIVE, "μ of Eq. 12, the weight of the edge importances' L1 norm")
    watch_interval: int | None = setting(
        None, COUNT.or_none, "epochs between evaluations of random sub-nets; None disables them", methods=SAMPLED
    )
    watch_sub_nets: int = setting(
        50, COUNT, "number of random sub-nets to evaluate, the same ones each time; their mean AP is logged"
    )
    architecture_lr: float = setting(
        3e-4, POSITIVE, "learning rate of a mixture's architecture parameters, by Adam", methods=MIXED
    )
    architecture_decay: float = setting(
        1e-3, NOT_NEGATIVE, "weight decay of a mixture's architecture parameters", methods=MIXED
    )
    second_order: bool = setting(
        False,
        SWITCH,
        "have the architecture parameters look one step of the weights ahead (DARTS, Eq. 7 and 8)",
        methods=MIXED,
    )
    zero_one_weight: float = setting(
        10.0,
        NOT_NEGATIVE,
        "weight of the loss that drives each path's weight to 0 or 1",
        methods=("fair-darts",),
    )


@dataclass(frozen=True)
class SearchSection:
    """The section `search` (section 3.2.2)."""

    population: int = setting(50, COUNT, "candidates per generation")
    generations: int = setting(12, COUNT_OR_ZERO, "generations after the random first generation")
    top_k: int = setting(10, COUNT, "number of parents: the k fittest so far")
    mutation_prob: float = setting(0.1, PROBABILITY, "probability that an edge mutates")
    metric: str = setting(
        "AP", one_of(METRICS), "metric used to rank candidates; the images must have objects of that size"
    )
    max_images: int | None = setting(
        None, COUNT.or_none, "maximum number of images to evaluate on, the same ones each time; None for all"
    )
    halving: bool = setting(
        False, SWITCH, "evaluate all candidates on a quarter of the images, and only the better half on the rest"
    )
    finalists: int = setting(
        1,
        COUNT,
        "number of best candidates of different architecture that are trained alone in the end, by successive halving; "
        "with 1 the super-net decides",
    )
    batch_size: int = setting(8, COUNT, "images that a process evaluates at once")
    memory_mb: float | None = setting(
        None,
        POSITIVE.or_none,
        f"memory for shared intermediate results, in 10**6 bytes; None: {MEMORY_MB}, or on a GPU a third of the memory "
        "that is free at the start of the search, the least of all processes",
    )


@dataclass(frozen=True)
class RetrainSection(TrainingSection):
    """The section `retrain` (section 4.1.3)."""

    train_scales: tuple[tuple[int, int], ...] | None = setting(
        None, TWO_SIZES.or_none, "the smallest and the largest (width, height) in pixels of multi-scale training"
    )


@dataclass(frozen=True)
class CheckpointsSection:
    """The section `checkpoints`."""

    minutes: float | None = setting(10, POSITIVE.or_none, "maximum minutes between checkpoints; None for no limit")
    steps: int | None = setting(None, COUNT.or_none, "maximum steps between checkpoints; None for no limit")


STAGES: Mapping[str, type] = {"supernet": SuperNetSection, "search": SearchSection, "retrain": RetrainSection}
"""The sections of the stages; an exported config has none of them."""

SECTIONS: Mapping[str, type] = {**STAGES, "checkpoints": CheckpointsSection}


def settings_of(section: str) -> dict[str, Field[Any]]:
    """The declared settings of a section, by name."""
    return {declared.name: declared for declared in fields(SECTIONS[section])}
