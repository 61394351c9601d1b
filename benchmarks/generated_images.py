"""The images and the super-nets of benchmarks: of shapes, generated and trained where the user gives none."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from PIL import Image
from torch import Tensor

from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.data.shapes import generate_shapes
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.training.supernet_training import train_super_net


def add_super_net_options(parser: argparse.ArgumentParser) -> None:
    """The options that `super_net_of` reads."""
    parser.add_argument("--config", default="shapes", help="of the super-net, a file or a name (default: shapes)")
    parser.add_argument("--supernet", type=Path, help="a supernet.pth of the config (default: train one)")
    parser.add_argument("--epochs", type=int, default=6, help="of the super-net, if it is trained (default: 6)")
    parser.add_argument("--data-root", type=Path, help="(default: the config's; for shapes it is generated)")


def super_net_of(options: argparse.Namespace, folder: Path, seed: int, device: torch.device) -> tuple[Config, Path]:
    """The config that the user chose and its super-net, made in `folder` where none is given."""
    data = options.data_root
    if data is None and options.config == "shapes":
        data = folder / "data"
        generate_shapes(data, seed=seed)
    overrides = (f"supernet.epochs={options.epochs}", *([f"data_root={data}"] if data else []))
    config = load_config(options.config, overrides)
    return config, options.supernet or train_super_net(config, folder, seed, device).path


def drawn_weights(config: Config) -> dict[str, Tensor]:
    """The state of the config's detector with weights as they are drawn, the same ones each time."""
    torch.manual_seed(0)
    with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
        detector = build_detector(config)
        # mmengine tells of each weight that it initialises.
        MMLogger.get_current_instance().setLevel("ERROR")
        detector.init_weights()
    return detector.state_dict()


def stretch(root: Path, size: tuple[int, int]) -> None:
    """Stretch all images of a generated data set to (width, height), their boxes with them."""
    for split in ("train", "val"):
        file = root / "annotations" / f"{split}.json"
        document = json.loads(file.read_text())
        scale = [new / document["images"][0][side] for new, side in zip(size, ("width", "height"), strict=True)]
        for image in document["images"]:
            path = root / split / image["file_name"]
            Image.open(path).resize(size).save(path)
            image.update(width=size[0], height=size[1])
        for annotation in document["annotations"]:
            annotation["bbox"] = [value * factor for value, factor in zip(annotation["bbox"], scale * 2, strict=True)]
            annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
        file.write_text(json.dumps(document))
