"""Times what reads a folder of a million images, and measures the memory that it takes.

The folder is generated: small images with annotations of five boxes, in folders of a thousand, of which all but the
first are hard links. Each reading is in a process of its own, and its memory is the most that the process
holds, less what it holds after its imports. `survey` is `opanas data`, `check` what trainings check before they begin,
without decoding the images, and `load` the data set that they train on.

With --records, as many images come from memory in place of the files, with the same boxes: what is left is what is
done with them, and the memory that it takes.

    python benchmarks/large_folder.py --layout yolo --images 100000
    python benchmarks/large_folder.py --records 1000000
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from measuring import peak_memory, seconds_of
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope
from PIL import Image

import opanas_cli.detection.configs.survey as survey_of_folder
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.data import facts, yolo_folder
from opanas_cli.detection.data.annotated_images import AnnotatedImage

PER_FOLDER, BOXES, SIDE = 1000, 5, 32
CPU = torch.device("cpu")


def write_folder(root: Path, layout: str, count: int) -> None:
    """A folder of so many images, split by a hash when it is read."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    image = io.BytesIO()
    Image.fromarray(pixels).save(image, "PNG")
    names = [f"{index // PER_FOLDER}/{index:06d}" for index in range(count)]
    _write_all(root / "images", names, ".png", image.getvalue())
    if layout == "coco":
        _write_coco(root, names)
    elif layout == "yolo":
        (root / "data.yaml").write_text("names: [a, b, c]\n")
        lines = "".join(f"{box % 3} 0.5 0.5 {(box + 1) / SIDE} 0.25\n" for box in range(BOXES))
        _write_all(root / "labels", names, ".txt", lines.encode())
    else:
        things = "".join(
            f"<object><name>{'abc'[box % 3]}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{box + 2}</xmax>"
            "<ymax>9</ymax></bndbox></object>"
            for box in range(BOXES)
        )
        size = f"<size><width>{SIDE}</width><height>{SIDE}</height></size>"
        _write_all(root / "annotations", names, ".xml", f"<annotation>{size}{things}</annotation>".encode())


def _write_all(folder: Path, names: list[str], suffix: str, content: bytes) -> None:
    """One file in each folder, and links to it: file systems limit the links of a file."""
    first = ""
    for name in names:
        path = f"{folder}/{name}{suffix}"
        if int(Path(name).name) % PER_FOLDER:
            os.link(first, path)
        else:
            Path(path).parent.mkdir(parents=True)
            Path(path).write_bytes(content)
            first = path


def _write_coco(root: Path, names: list[str]) -> None:
    with (root / "all.json").open("w") as file:
        images = (
            f'{{"id": {key}, "file_name": "{name}.png", "width": {SIDE}, "height": {SIDE}}}'
            for key, name in enumerate(names)
        )
        file.write('{"images": [' + ", ".join(images) + '], "annotations": [')
        for key in range(len(names)):
            for box in range(BOXES):
                file.write(", " if key or box else "")
                own = {"id": key * BOXES + box, "image_id": key, "category_id": box % 3, "bbox": [0, 0, box + 1, 8]}
                file.write(json.dumps({**own, "area": 8 * (box + 1), "iscrowd": 0}))
        categories = [{"id": index, "name": name} for index, name in enumerate("abc")]
        file.write(f'], "categories": {json.dumps(categories)}}}')


def survey(root: Path) -> int:
    """The images that `opanas data` counts."""
    found = survey_of_folder.survey(root, (), lambda _: None)
    return sum(own.num_images for own in found.splits.values())


def check(root: Path) -> int:
    """The training images of `check_data`, which are decoded only after this."""
    return facts.facts_of(load_config("custom", (f"data_root={root}",)).train_dataloader.dataset, "custom").num_images


def load(root: Path) -> int:
    """The training images of the data set."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        return len(DATASETS.build(load_config("custom", (f"data_root={root}",)).train_dataloader.dataset))


def generated_images(count: int) -> Iterator[AnnotatedImage]:
    """Images as they are read of files, of which there are none."""
    for index in range(count):
        name = f"{index // PER_FOLDER}/{index:06d}.png"
        image = AnnotatedImage(name, Path("/data/images", name), (SIDE, SIDE))
        for box in range(BOXES):
            image.add("abc"[box % 3], (0.0, 0.0, box + 1.0, 8.0), True)
        yield image


@contextmanager
def records_in_place_of_files(count: int) -> Iterator[None]:
    """While the block runs, each data set has generated images, whose sizes are known."""
    generated = mock.Mock(side_effect=lambda *_: generated_images(count))
    sizes = mock.Mock(side_effect=lambda images, *_: ((image, image.size) for image in images))
    with (
        mock.patch.multiple(survey_of_folder, annotated_images=generated, with_sizes=sizes),
        mock.patch.object(facts, "annotated_images", generated),
        mock.patch.object(yolo_folder, "annotated_images", generated),
    ):
        yield


READINGS: dict[str, Callable[[Path], int]] = {"survey": survey, "check": check, "load": load}


def measured(task: tuple[str, Path, int | None]) -> dict[str, Any]:
    """Seconds and memory in 10**6 bytes of one reading."""
    reading, root, records = task
    with peak_memory(CPU) as before:
        pass
    in_memory = contextlib.nullcontext() if records is None else records_in_place_of_files(records)
    with in_memory, peak_memory(CPU) as peak:
        seconds, count = seconds_of(lambda: READINGS[reading](root), CPU)
    return {
        "images": count,
        "seconds": round(seconds, 1),
        "memory_mb": round(peak["mb"] - before["mb"]),
        "images_per_second": round(count / seconds),
    }


def main() -> None:
    """Measure, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layout", choices=("yolo", "voc", "coco"), default="yolo")
    parser.add_argument("--images", type=int, default=1_000_000, help="(default: 1000000)")
    parser.add_argument("--records", type=int, help="so many images from memory, in place of the files")
    parser.add_argument("--folder", type=Path, help="where to generate; needs as many links (default: temporary files)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        if options.records is None:
            write_folder(root, options.layout, options.images)
        else:
            write_folder(root, "yolo", 1)
            (root / "data.yaml").write_text("names: [a, b, c]\ntrain: images\nval: images\n")
        context = multiprocessing.get_context("spawn")
        with context.Pool(1, maxtasksperchild=1) as pool:
            tasks = [(reading, root, options.records) for reading in READINGS]
            rows = dict(zip(READINGS, pool.map(measured, tasks, 1), strict=True))
    read = {"layout": options.layout, "images": options.images}
    about = {**(read if options.records is None else {"records": options.records}), "python": platform.python_version()}
    if options.json:
        print(json.dumps({"version": 1, **about, "readings": rows}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    for reading, row in rows.items():
        print(
            f"{reading:7} {row['images']:9,} images {row['seconds']:8.1f} s {row['images_per_second']:7,}/s "
            f"{row['memory_mb']:7,} MB"
        )


if __name__ == "__main__":
    main()
