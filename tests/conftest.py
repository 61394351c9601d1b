"""What tests of several packages share: a tiny data set, and how to run commands on it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import jsonschema
import pytest

import opanas_cli
from opanas_cli.commands import run
from opanas_cli.commands.common.console import Console, _plain
from opanas_cli.plug_ins import Registry

os.environ.setdefault("OMP_NUM_THREADS", "1")  # Before torch is imported; of this process and of those that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # As a shell starts what it runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)

TINY = (
    "model.neck.num_nodes=2",
    "model.neck.out_channels=8",
    "model.neck.deformable=False",
    "model.rpn_head.in_channels=8",
    "model.rpn_head.feat_channels=8",
    "model.roi_head.bbox_roi_extractor.out_channels=8",
    "model.roi_head.bbox_head.in_channels=8",
    "model.roi_head.bbox_head.fc_out_channels=8",
    "supernet.image_scale=(64,64)",
    "supernet.batch_size=4",
    "supernet.epochs=1",
    "supernet.milestones=()",
    "supernet.search_split=0.4",
    "retrain.image_scale=(64,64)",
    "retrain.batch_size=4",
    "retrain.epochs=1",
    "retrain.milestones=()",
    "cost_input=(64,64)",
)
"""Overrides that make the shipped config `shapes` train in a second."""


SCHEMA = json.loads((Path(opanas_cli.__file__).parent / "commands" / "documents.schema.json").read_text())


@pytest.fixture(autouse=True)
def documents_follow_their_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command prints with --json is as the shipped schema says, or the command fails."""
    print_document = Console.print_document

    def checked(document: Mapping[str, Any]) -> None:
        print_document(document)
        context = click.get_current_context(silent=True)
        if context is None:  # A test of the console alone.
            return
        command = context.command_path.removeprefix("opanas ")
        schema = {"$defs": SCHEMA["$defs"], **SCHEMA["properties"][command]}
        jsonschema.validate(_plain(document), schema, jsonschema.Draft202012Validator)

    monkeypatch.setattr(Console, "print_document", staticmethod(checked))


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated COCO folder of shapes with 12 images to train on and 6 to validate on. Do not write into it."""
    from opanas_cli.detection.data.shapes import generate_shapes

    root = tmp_path_factory.mktemp("shapes")
    generate_shapes(root, num_train=12, num_val=6)
    return root


@pytest.fixture
def voc_root(shapes_root: Path, tmp_path: Path) -> Path:
    """The training shapes as a VOC folder of JPEGs, for training and validation alike."""
    from PIL import Image

    root = tmp_path / "voc"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    document = json.loads((shapes_root / "annotations" / "train.json").read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    for image in document["images"]:
        stem = Path(image["file_name"]).stem
        Image.open(shapes_root / "train" / image["file_name"]).save(root / "JPEGImages" / f"{stem}.jpg")
        tree = ElementTree.Element("annotation")
        size = ElementTree.SubElement(tree, "size")
        for side in ("width", "height"):
            ElementTree.SubElement(size, side).text = str(image[side])
        for annotation in document["annotations"]:
            if annotation["image_id"] == image["id"]:
                thing = ElementTree.SubElement(tree, "object")
                ElementTree.SubElement(thing, "name").text = names[annotation["category_id"]]
                box = ElementTree.SubElement(thing, "bndbox")
                x, y, width, height = annotation["bbox"]
                for side, value in zip(("xmin", "ymin", "xmax", "ymax"), (x, y, x + width, y + height), strict=True):
                    ElementTree.SubElement(box, side).text = str(int(value) + 1)
        ElementTree.ElementTree(tree).write(root / "Annotations" / f"{stem}.xml")
    lines = "".join(f"{Path(image['file_name']).stem}\n" for image in document["images"])
    for split in ("train", "val"):
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text(lines)
    return root


@pytest.fixture(scope="session")
def tiny_options(shapes_root: Path) -> tuple[str, ...]:
    """``KEY=VALUE`` overrides that make the config `shapes` tiny and have it read `shapes_root`."""
    return (*TINY, f"data_root={shapes_root}")


@pytest.fixture(scope="session")
def tiny_supernet(tiny_options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a super-net trained for two steps."""
    folder = tmp_path_factory.mktemp("supernet")
    options = ["--work-dir", str(folder), "--device", "cpu", "-q", "--cfg-options", *tiny_options]
    assert run(["train-supernet", "shapes", *options]) == 0
    return folder / "supernet.pth"


@pytest.fixture(scope="module")
def still_clock() -> Iterator[None]:
    """No stage takes time or memory, so that files are the same byte for byte; images are counted as ever."""
    from opanas_cli.detection.spent import Meter

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Meter, "measured", lambda self: (0.0, 0.0))
        yield


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Has a registry find these entry points in place of those that are installed."""
    changed: list[Registry[Any]] = []

    def found(registry: Registry[Any], *points: EntryPoint) -> None:
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == registry.group else ())
        vars(registry).pop("all", None)
        changed.append(registry)

    yield found
    monkeypatch.undo()
    for registry in changed:
        vars(registry).pop("all", None)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail with an exit code and one line on stderr, and returns that line."""

    def call(code: int, *arguments: object) -> str:
        capsys.readouterr()
        got = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        aside = ("opanas: warning: ", "checking ")
        lines = [line for line in err.splitlines() if not line.startswith(aside)]
        assert (got, out, len(lines)) == (code, "", 1), err
        assert lines[0].startswith("opanas: ")
        return lines[0].removeprefix("opanas: ")

    return call
