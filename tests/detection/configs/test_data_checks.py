"""Images looked at before training."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from opanas_cli.detection.configs import data_checks
from opanas_cli.detection.configs.data_checks import check_data, check_images
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.stages import search_dataset
from opanas_cli.detection.data import annotation_files
from opanas_cli.detection.data.annotation_files import read_coco
from opanas_cli.detection.data.image_files import size_or_problem, stored_size
from opanas_cli.detection.processes import group
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.scoring.image_results import truths_of_file
from opanas_cli.errors import InvalidDataError


def picture(size: tuple[int, int] = (200, 120)) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def encoded(form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, form, **options)
    return buffer.getvalue()


def with_thumbnail() -> bytes:
    """A JPEG that holds another, with an end of its own, before its scan."""
    small = io.BytesIO()
    picture((40, 30)).save(small, "JPEG")
    thumbnail = small.getvalue()
    whole = encoded("JPEG")
    segment = b"\xff\xe5" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    return whole[:2] + segment + whole[2:]


def with_a_scan_for_each_band() -> bytes:
    """A JPEG of sequential scans that are not interleaved, put together from three grey ones."""
    bands = []
    for band in picture().split():
        buffer = io.BytesIO()
        band.save(buffer, "JPEG")
        bands.append(buffer.getvalue())
    frame, scan = bands[0].index(b"\xff\xc0"), bands[0].index(b"\xff\xda")
    size = bands[0][frame + 5 : frame + 9]
    head = b"\xff\xc0\x00\x11\x08" + size + b"\x03" + b"\x01\x11\x00" + b"\x02\x11\x00" + b"\x03\x11\x00"
    parts = [bands[0][:frame], head, bands[0][frame + 13 : scan]]
    for index, band in enumerate(bands, 1):
        first = band.index(b"\xff\xda")
        parts += [band[first : first + 5], bytes([index]), band[first + 6 : -2]]
    return b"".join([*parts, b"\xff\xd9"])


def checked(content: bytes, path: Path, told: tuple[float, float] | None = None) -> list[str]:
    path.write_bytes(content)
    warnings: list[str] = []
    check_images({path: told}, Path("list.json"), warnings.append)
    return warnings


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "WEBP", "TIFF"])
def test_whole_images_pass(form: str, tmp_path: Path) -> None:
    assert checked(encoded(form), tmp_path / "image", (200, 120)) == []


def test_whole_images_with_more_at_the_end_pass(tmp_path: Path) -> None:
    more = np.random.default_rng(1).integers(0, 255, 300_000, dtype=np.uint8).tobytes()
    for form in ("JPEG", "PNG"):
        assert checked(encoded(form) + more, tmp_path / "image") == []
    for more in (b"\xff\xda", b"\xff\xda\xff\xd9", b"\xff\xd9\xff\xda"):
        assert checked(encoded("JPEG") + more, tmp_path / "image") == []
    assert checked(with_thumbnail(), tmp_path / "image") == []
    for content in (encoded("JPEG", progressive=True), with_a_scan_for_each_band()):
        assert checked(content, tmp_path / "image", (200, 120)) == []
        assert cv2.imread(str(tmp_path / "image")).shape == (120, 200, 3)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "thumbnail"])
def test_truncated_images_do_not(kind: str, part: float, tmp_path: Path) -> None:
    content = with_thumbnail() if kind == "thumbnail" else encoded(kind)
    with pytest.raises(InvalidDataError, match=r"image: is truncated or damaged; .* list\.json, which lists 1 images"):
        checked(content[: int(len(content) * part)], tmp_path / "image")


@pytest.mark.parametrize("part", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_blocks": 4}, {"quality": 20}])
@pytest.mark.parametrize("kind", ["JPEG", "thumbnail"])
def test_truncated_images_with_an_end_marker_do_not(
    kind: str, options: dict[str, int], part: float, tmp_path: Path
) -> None:
    content = with_thumbnail() if kind == "thumbnail" else encoded("JPEG", **options)
    assert checked(content, tmp_path / "image") == []
    with pytest.raises(InvalidDataError, match="image: is truncated or damaged; "):
        checked(content[: int(len(content) * part)] + b"\xff\xd9", tmp_path / "image")


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("size", [(200, 120), (640, 480)])
def test_truncated_images_of_several_scans_do_not(size: tuple[int, int], part: float, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture(size).resize((size[0] // 8, size[1] // 8)).resize(size).save(buffer, "JPEG", progressive=True)
    for content in (buffer.getvalue(), encoded("JPEG", progressive=True), with_a_scan_for_each_band()):
        assert checked(content, tmp_path / "image") == []
        for end in (b"", b"\xff\xd9"):
            with pytest.raises(InvalidDataError, match=r"image: is (truncated or damaged|not a readable image)"):
                checked(content[: int(len(content) * part)] + end, tmp_path / "image")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("form", ["whole", "parts"])
def test_damaged_pngs_do_not(form: str, part: float, tmp_path: Path) -> None:
    content = bytearray(encoded("PNG"))
    if form == "whole":
        content[int(len(content) * part)] ^= 0x10
    else:  # Without the second half of its parts, each with the right checksum.
        first = content.index(b"IDAT") - 4
        length = int.from_bytes(content[first : first + 4], "big")
        keep = int(length * part)
        kept = b"IDAT" + bytes(content[first + 8 : first + 8 + keep])
        whole = keep.to_bytes(4, "big") + kept + zlib.crc32(kept).to_bytes(4, "big")
        content = bytearray(content[:first] + whole + content[content.index(b"IEND") - 4 :])
    with pytest.raises(InvalidDataError, match="image: is truncated or damaged; "):
        checked(bytes(content), tmp_path / "image")


@pytest.mark.parametrize("form", ["PCX", "TGA", "ICO"])
def test_images_that_only_pillow_reads(form: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match=r"image: is not a readable image \(cv2 does not decode it\); "):
        checked(encoded(form), tmp_path / "image")
    check_images({tmp_path / "image": None}, Path("list.json"), print, backend="pillow")


@pytest.mark.parametrize("backend", ["cv2", "pillow"])
def test_images_are_decoded_as_the_pipeline_does(
    backend: str, shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(data_checks, "check_images", lambda images, source, warn, backend, _: asked.append(backend))
    config = config_of(shapes_root)
    config.train_dataloader.dataset.pipeline[0].imdecode_backend = backend
    check_data(config, ["train"], print)
    assert asked == [backend]


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    ("kind", "said"), [("folder", "it is a folder"), ("pipe", "it is a named pipe"), ("device", "it is a device")]
)
def test_something_else_in_place_of_an_image(kind: str, said: str, linked: bool, tmp_path: Path) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / kind
    if kind != "device":
        (os.mkfifo if kind == "pipe" else os.mkdir)(path)
    if linked:
        (tmp_path / "link").symlink_to(path)
        path = tmp_path / "link"
    with pytest.raises(InvalidDataError, match=rf"is not a readable image \({said}, not a regular file\)"):
        check_images({path: None}, Path("list.json"), print)


def test_links_to_images(tmp_path: Path) -> None:
    image, link = tmp_path / "image.png", tmp_path / "link.jpg"
    link.symlink_to(image)
    with pytest.raises(InvalidDataError, match=r"link\.jpg: is a link to a file that does not exist; "):
        check_images({link: None}, Path("list.json"), print)
    image.write_bytes(encoded("PNG"))
    check_images({link: (200, 120)}, Path("list.json"), print)


def test_an_image_that_cannot_be_read_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()

    def look(path: Path, backend: str) -> str:
        if path.name == "hangs":
            given_up.wait(60)
        return "is broken"

    monkeypatch.setattr(data_checks, "size_or_problem", look)
    before = set(threading.enumerate())
    start = time.monotonic()
    with pytest.raises(InvalidDataError, match="broken: is broken"):
        check_images({tmp_path / "broken": None, tmp_path / "hangs": None}, Path("list.json"), print)
    assert time.monotonic() - start < 30
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)
    given_up.set()


def test_sizes_are_those_after_turning(tmp_path: Path) -> None:
    exif = Image.Exif()
    for orientation, turned in ((1, False), (3, False), (6, True), (8, True)):
        exif[0x0112] = orientation
        content = encoded("JPEG", exif=exif)
        assert checked(content, tmp_path / "image", (120, 200) if turned else (200, 120)) == []
        (warning,) = checked(content, tmp_path / "image", (200, 120) if turned else (120, 200))
        assert warning.startswith("list.json: 1 image differs in size from the annotations (")


def test_boxes_outside_of_an_image_whose_stated_size_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encoded("PNG"))
    for stated in ((400, 400), None):
        check_images({path: stated}, Path("list.json"), lambda _: None, corners={path: (199.5, 119)})
        for corner in ((200, 0), (0, 120), (300, 300)):
            with pytest.raises(
                InvalidDataError, match=r"image\.png: is 200×120, but a box begins outside of it, at x="
            ):
                check_images({path: stated}, Path("list.json"), print, corners={path: corner})


@pytest.mark.parametrize("backend", ["cv2", "pillow"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_sizes_are_those_that_mmcv_loads(form: str, backend: str, tmp_path: Path) -> None:
    import mmcv

    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"image.{form.lower()}"
    path.write_bytes(encoded(form, exif=exif))
    height, width = mmcv.imread(str(path), backend=backend).shape[:2]
    assert {height, width} == {200, 120}
    assert size_or_problem(path, backend) == stored_size(path, backend) == (width, height)


def config_of(root: Path) -> Config:
    return load_config("shapes", (f"data_root={root}",))


def test_images_that_are_trained_on_and_tested_on(shapes_root: Path) -> None:
    config, warnings = config_of(shapes_root), []
    check_data(config, ["train", "val"], warnings.append)
    assert warnings == []
    config.test_dataloader.dataset = config.train_dataloader.dataset
    check_data(config, ["train", "test"], warnings.append)
    (warning,) = warnings
    assert re.search(r"train\.json: (\d+) of its \1 test images are trained on: AP is too high$", warning)


def test_what_is_looked_at_is_told_before(shapes_root: Path) -> None:
    said: list[str] = []
    check_data(config_of(shapes_root), ["train", "test"], print, said.append)
    folder = shapes_root / "annotations"
    assert said == [
        f"checking {folder / 'train.json'}",
        "checking 12 images",
        f"checking {folder / 'val.json'}",
        "checking 6 images",
    ]


@pytest.mark.parametrize(("max_images", "split_by"), [(None, "file"), (2, "file"), (2, "folder"), (None, "folder")])
def test_a_search_looks_at_the_images_that_it_sees(
    max_images: int | None, split_by: str, shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(shapes_root, tmp_path / "data"))
    looked_at: list[Path] = []
    monkeypatch.setattr(data_checks, "check_images", lambda images, *_: looked_at.extend(images))
    _into_clips(root)
    config = load_config("shapes", (f"data_root={root}", f"supernet.split_by={split_by}"))
    check_data(config, ["train"], print, search_split=0.5, max_images=max_images)
    with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
        subset = DATASETS.build(search_dataset(config, 0.5, max_images))
    seen = [Path(subset.get_data_info(index)["img_path"]) for index in range(len(subset))]
    assert looked_at == seen
    assert 0 < len(seen) < 12


def _into_clips(root: Path) -> None:
    """Give every two training images a folder."""
    file = root / "annotations" / "train.json"
    document = json.loads(file.read_text())
    for index, image in enumerate(document["images"]):
        name = image["file_name"]
        image["file_name"] = f"clip_{index // 2}/{name}"
        (root / "train" / f"clip_{index // 2}").mkdir(exist_ok=True)
        (root / "train" / name).rename(root / "train" / image["file_name"])
    file.write_text(json.dumps(document))


def test_a_coco_folder_is_parsed_once(shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(shutil.copytree(shapes_root, tmp_path / "data"))
    parsed: list[Path] = []
    read = annotation_files.read_regular
    monkeypatch.setattr(annotation_files, "read_regular", lambda path, most: parsed.append(path) or read(path, most))
    config = load_config("custom", (f"data_root={root}",))
    check_data(config, ["train", "test"], print)
    path = root / "annotations" / "train.json"
    assert sorted(file.name for file in parsed) == ["train.json", "val.json"]
    read_coco(path)
    path.write_text('{"images": []}')
    assert read_coco(path) == {"images": []}


@pytest.mark.parametrize("rank", ["0", "1"])
def test_no_process_keeps_the_annotations_of_a_data_set(
    rank: str, shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(shapes_root, tmp_path / "data"))
    file = root / "annotations" / "train.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "licenses": [[number] for number in range(200_000)]}))
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(group, "get_world_size", lambda: 2)  # So that the second process leaves the check to the first.
    load_config("custom", (f"data_root={shapes_root}",))  # What is imported and kept once.
    checked: list[str] = []
    tracemalloc.start()
    try:
        config = load_config("custom", (f"data_root={root}",))
        loaded, _ = tracemalloc.get_traced_memory()
        check_data(config, ["train"], print, checked.append)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(checked) > 0) is (rank == "0")
    assert loaded > 10e6
    assert kept < 2e6
    truths_of_file(str(file), config.classes, [1], with_masks=False)
    assert annotation_files._parsed.cache_info().currsize == 0
