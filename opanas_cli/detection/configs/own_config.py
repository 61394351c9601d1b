"""The text of a config for a user's own data: a base, the data, and the settings of the stages with comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from opanas_cli.detection.configs.files import find_config, load_config, read_config, shipped_configs
from opanas_cli.detection.configs.necks import is_super_net
from opanas_cli.detection.configs.other_data import on_data_of
from opanas_cli.detection.configs.parts import DATALOADERS, dicts_in
from opanas_cli.detection.configs.replaced_neck import with_super_net
from opanas_cli.detection.configs.text import config_text
from opanas_cli.errors import InvalidConfigError
from opanas_cli.stage_settings import TrainingSection, settings_of

SHOWN = {
    "supernet": ("image_scale", "data_fraction", "epochs", "milestones", "batch_size", "lr"),
    "search": ("population", "generations", "top_k", "max_images", "finalists"),
    "retrain": ("image_scale", "epochs", "milestones", "batch_size", "lr"),
}
"""The settings that the text names, of each stage."""

OF_OPTIMIZER = ("type", "lr", "weight_decay", "momentum")
"""The options of an optimizer that have a setting."""

MOST_CLASSES = 40
"""Of more the text does not name the classes: all that the annotations name are taken."""

LINE = 120
"""The longest line of a comment."""

PAD = 32
"""What the sides of batches are multiples of, at least: the stride of a backbone's coarsest level."""


@dataclass(frozen=True)
class OwnDetector:
    """What a config for one's own data begins with.

    Attributes:
        config: with a super-net and the user's data.
        base: the file that it comes from, and the text begins with.
        parts: of the config in place of the base's: a model, what it imports, and pipelines if it learns masks.
        schedule: settings of both trainings in place of the base's.
        constructor: what sets the learning rate of each layer in training the detector, and here nothing does.
        left_out: the options of its optimizer that have no setting here.
    """

    config: Config
    base: Path
    parts: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)
    constructor: str | None = None
    left_out: tuple[str, ...] = ()

    @classmethod
    def named(cls, name: str, data: Path) -> OwnDetector:
        """The detector of a config with a super-net, or of any other, whose neck becomes one.

        Raises:
            InvalidConfigError: there is no such config, its neck cannot become a super-net, or it has a super-net and
                data of its own.
            InvalidDataError: the data has no layout that the config reads.
        """
        of_data, custom = [f"data_root={data}"], shipped_configs()["custom"]
        detector = load_config(name, of_data)
        if is_super_net(detector):
            loaders = map(read_config(name).get, DATALOADERS)
            if not any(part.get("type") == "OwnFolder" for part in dicts_in(list(loaders))):
                raise InvalidConfigError(
                    f"{name}: names its own data sets; choose custom, custom-small or one of mmdet's"
                )
            return cls(detector, find_config(name).resolve())
        config = with_super_net(on_data_of(detector, load_config("custom", of_data)))
        preprocessor = config.model.setdefault("data_preprocessor", ConfigDict(type="DetDataPreprocessor"))
        preprocessor.pad_size_divisor = max(PAD, preprocessor.get("pad_size_divisor", 1))
        parts = {"model": ConfigDict(_delete_=True, **config.model), "custom_imports": config.custom_imports}
        if any(step.get("with_mask") for step in dicts_in(config.train_dataloader)):
            pipelines = {loader: config[loader].dataset.pipeline for loader in DATALOADERS}
            parts |= {loader: dict(dataset=dict(pipeline=pipeline)) for loader, pipeline in pipelines.items()}
        schedule = _schedule(detector)
        for stage in ("supernet", "retrain"):
            config[stage].update(schedule)
        wrapper = detector.get("optim_wrapper") or {}
        options = {**(wrapper.get("optimizer") or {}), "accumulative_counts": wrapper.get("accumulative_counts")}
        left_out = [name for name, value in options.items() if name not in OF_OPTIMIZER and value is not None]
        return cls(config, custom, parts, schedule, wrapper.get("constructor"), tuple(left_out))

    def text(self, data: Path, settings: Mapping[str, Any], notes: Sequence[str]) -> str:
        """The text of the config.

        Args:
            settings: by stage a section of `STAGES`, of which the text names those of `SHOWN`.
            notes: what its comments begin with, line by line.
        """
        classes = self.config.get("classes") or ()
        lines = [f"# {line}" for note in notes for line in textwrap.wrap(note, LINE - 2)]
        lines += ["", "# The detector, and all settings that are not here."]
        lines += [f"_base_ = {str(self.base)!r}", "", f"data_root = {str(data.resolve())!r}"]
        if 0 < len(classes) <= MOST_CLASSES:
            lines += ["# Leave out those whose boxes are to be ignored.", f"classes = {tuple(classes)!r}"]
        for stage, names in SHOWN.items():
            shown = {name: getattr(settings[stage], name) for name in names}
            values = {**({} if stage == "search" else self.schedule), **shown}
            lines += ["", f"{stage} = dict(", *(_setting(stage, *item) for item in values.items()), ")"]
        text = "\n".join(lines).replace("{{", "{\\x7b") + "\n"
        return f"{text}\n{config_text(Config(self.parts))}" if self.parts else text


def _setting(stage: str, name: str, value: Any) -> str:
    """A line with what the setting means, as it is declared."""
    sentence = settings_of(stage)[name].metadata["sentence"].replace("`", "")
    return f"    {name}={value!r},  # {re.split('; None| that every', sentence)[0]}"


def _schedule(config: Config) -> dict[str, Any]:
    """The optimizer of an mmdet config, its learning rate in proportion to our batch size.

    The images of a step are those in the name of the file, such as 8 GPUs times 32 images in ``8xb32``; what is written
    for mmdet's `--auto-scale-lr` is inherited, and often another config's.
    """
    wrapper = config.get("optim_wrapper") or {}
    given, clip = wrapper.get("optimizer") or {}, wrapper.get("clip_grad") or {}
    named = re.search(r"_(\d+)xb(\d+)", Path(config.filename or "").stem)
    batch = (config.get("auto_scale_lr") or {}).get("base_batch_size", TrainingSection.batch_size)
    batch = int(named[1]) * int(named[2]) if named else batch
    found = {name: given[name] for name in OF_OPTIMIZER[2:] if name in given}
    if "type" in given:
        found["optimizer"] = given["type"]
    if "lr" in given:
        found["lr"] = given["lr"] * TrainingSection.batch_size / batch
    if "max_norm" in clip:
        found["grad_clip"] = clip["max_norm"]
    if wrapper.get("paramwise_cfg") and "constructor" not in wrapper:
        found["paramwise_cfg"] = wrapper["paramwise_cfg"].to_dict()
    return found
