"""Finding and reading configs: shipped ones by name, others by path, with overrides."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import mmdet
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger

from opanas_cli.atomic import writing_into
from opanas_cli.detection.configs.building import config_errors, reason_of
from opanas_cli.detection.configs.necks import is_super_net
from opanas_cli.detection.configs.own_folder import resolve_own_folders
from opanas_cli.detection.configs.parts import DATALOADERS, as_classes, each_dataset, each_evaluator, set_classes
from opanas_cli.detection.configs.sections import check_parts, check_settings, require_known_keys
from opanas_cli.detection.configs.text import LiteralConfig
from opanas_cli.detection.quiet import quietly
from opanas_cli.errors import InvalidConfigError, MissingDependencyError, OpanasError, UsageError
from opanas_cli.regular_files import require_regular
from opanas_cli.shipped import shipped_dir
from opanas_cli.stage_settings import STAGES
from opanas_cli.suggestions import suggestion

MAX_BYTES = 16 << 20

OF_MMDET = "mmdet::"


def shipped_configs() -> dict[str, Path]:
    """The configs that come with opanas, by name."""
    return {path.stem: path for path in sorted(shipped_dir("configs").glob("*.py"))}


def find_config(name: str) -> Path:
    """The file of a config, given as a path, as the bare name of a shipped one, or as ``mmdet::FOLDER/NAME``.

    The folder may be left out. Raises InvalidConfigError, with the closest name, if there is none.
    """
    path = Path(name)
    if name.startswith(OF_MMDET):
        return _mmdets(name)
    try:
        require_regular(path, MAX_BYTES)
        return path
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        pass  # The bare name of a shipped one may also be that of a folder here.
    except OSError as error:
        raise InvalidConfigError(f"{name:.60}: cannot be read ({error.strerror})") from error
    shipped = shipped_configs()
    if name in shipped:
        return shipped[name]
    hint = suggestion(name, shipped, f"shipped configs are {', '.join(shipped)}")
    what = "is a folder, not a config file" if path.is_dir() else "no such config file"
    raise InvalidConfigError(f"{name}: {what}; {hint}")


def _mmdets(name: str) -> Path:
    folder = Path(mmdet.__file__).parent / ".mim" / "configs"
    asked = name.removeprefix(OF_MMDET).removesuffix(".py")
    files = [folder / f"{asked}.py"] if "/" in asked else [file for file in folder.glob("*/*.py") if file.stem == asked]
    if files and files[0].is_file():
        return files[0]
    known = [str(file.relative_to(folder).with_suffix("")) for file in folder.glob("*/*.py")]
    hint = suggestion(asked, known, f"its configs are in {folder}")
    raise InvalidConfigError(f"{name}: mmdet has no such config; {hint}")


def read_config(name: str) -> Config:
    """A config as it is written; MissingDependencyError or InvalidConfigError if it cannot be read."""
    path = find_config(name)
    try:
        with writing_into(Path(gettempdir())), quietly():  # mmengine copies configs there.
            MMLogger.get_current_instance()  # Otherwise its first message, e.g. of a scope, would make one for stdout.
            return LiteralConfig.of(Config.fromfile(str(path)))
    except OpanasError:
        raise
    except ImportError as error:
        first: BaseException = error
        while inner := first.__cause__ or first.__context__:
            first = inner
        missing = getattr(first, "name", None) or reason_of(error)
        if missing.startswith(("mmdet.", "mmcv.runner")):
            raise InvalidConfigError(f"{name}: {OLD} (it needs the module '{missing}')") from error
        raise MissingDependencyError(
            f"{name}: needs the module '{missing}'; install it, or put its folder on PYTHONPATH"
        ) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {reason_of(error)}"
        base = Path(str(getattr(error, "filename", None) or ""))
        if isinstance(error, FileNotFoundError) and base.stem in shipped_configs():  # Written on another machine.
            reason = f"there is no {base}; set _base_ to {str(shipped_configs()[base.stem])!r}"
        raise InvalidConfigError(f"{name}: cannot be read as an mmengine config: {reason}") from error


def load_config(name: str, overrides: Iterable[str] = ()) -> Config:
    """Read a config, apply ``KEY=VALUE`` overrides, and spread `data_root` and `classes` over its data sets.

    Raises:
        InvalidConfigError: the file is missing, is not an mmengine config, has no model, or a wrong setting.
        UsageError: an override is malformed, or sets a stage that the config does not have.
        InvalidDataError: the user's own data folder has no known layout.
    """
    config = read_config(name)
    parsed = parse_overrides(overrides)
    require_known_keys(config, parsed)
    _refuse_missing_stages(config, parsed)
    try:
        config.merge_from_dict(parsed)
    except (KeyError, TypeError, AssertionError, IndexError) as error:
        raise UsageError(f"--cfg-options: {reason_of(error)}") from error
    except AttributeError as error:
        raise InvalidConfigError(
            f"{config.filename}: --cfg-options: the entries of a list are dicts of settings, which are set one by one, "
            "such as train_dataloader.dataset.pipeline.4.prob=0.5"
        ) from error
    if config.get("format") == "opanas-genotype":
        raise InvalidConfigError(f"{name}: is a genotype, not a config; give it as --genotype together with a config")
    if not isinstance(config.get("model"), dict):
        what = f"model must be a dict of settings, but got {config.model!r}" if "model" in config else "has no `model`"
        raise InvalidConfigError(f"{name}: {what}; start from one of {', '.join(shipped_configs())}")
    if "train_dataloader" not in config and isinstance(config.get("data"), dict) and "train" in config["data"]:
        raise InvalidConfigError(f"{name}: {OLD} (its data sets are in `data`)")
    check_parts(config)
    with config_errors(config.filename, "cannot be used"):
        _spread_overrides(config, parsed)
        check_settings(config, parsed)
        resolve_own_folders(config)
    return config


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """``KEY=VALUE`` strings as a dict, by the syntax of mmdet's tools; raises UsageError if one does not parse."""
    parsed = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise UsageError(f"--cfg-options: expected KEY=VALUE, but got '{override}'")
        try:
            parsed[key] = _VERBATIM[key](value) if key in _VERBATIM else DictAction._parse_iterable(value)
        except (AssertionError, ValueError) as error:
            raise UsageError(f"--cfg-options: the value of '{key}' does not parse: {reason_of(error)}") from error
        except RecursionError as error:  # mmengine's parser on a call with several arguments.
            raise UsageError(
                f"--cfg-options: the value of '{key}' does not parse; set a dict's entries one by one, {key}.NAME=…"
            ) from error
    return parsed


def _class_names(value: str) -> tuple[str, ...]:
    return tuple(name.strip().strip("'\"") for name in value.strip("[]() ").split(",") if name.strip())


# mmengine's syntax drops spaces and splits at commas, which paths and names may hold.
_VERBATIM: dict[str, Callable[[str], Any]] = {"data_root": str, "classes": _class_names}


OLD = "is written for another version of mmdet; port it to mmdet 3, as mmdet's migration guide says"
MMENGINE_KEYS = "train_cfg.max_epochs, optim_wrapper.optimizer.lr, train_dataloader.batch_size and the like"


def _refuse_missing_stages(config: Config, overrides: dict[str, Any]) -> None:
    """One setting of a stage would add all its defaults, against what a config without a super-net says."""
    model = config.get("model")
    neck = model.get("neck") if isinstance(model, dict) else None
    if not neck or is_super_net(config):
        return
    for key in overrides:
        stage = key.split(".")[0]
        if stage in STAGES and stage not in config:
            raise UsageError(
                f"--cfg-options: {key}: {config.filename} has no section '{stage}': it is a full mmengine config; set "
                f"{MMENGINE_KEYS}"
            )


def _spread_overrides(config: Config, overrides: dict[str, Any]) -> None:
    """Give every data set the `data_root` and the `classes` of the overrides."""
    if "data_root" in overrides:
        for name in DATALOADERS:
            for dataset in each_dataset(config.get(name)):
                dataset["data_root"] = str(overrides["data_root"])
    if "classes" in overrides:
        set_classes(config, as_classes(overrides["classes"]))
    for split in ("val", "test"):
        roots = [dataset.get("data_root") for dataset in each_dataset(config.get(f"{split}_dataloader"))]
        for evaluator in each_evaluator(config, split):
            if roots and evaluator.get("type") == "DetectionAP" and evaluator.get("ann_file"):
                evaluator["data_root"] = roots[0]
