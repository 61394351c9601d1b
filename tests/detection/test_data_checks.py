"""Images looked at before training."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from opanas_cli.detection import data_checks
from opanas_cli.detection.config_files import load_config
from opanas_cli.detection.config_stages import search_dataset
from opanas_cli.detection.data_checks import check_data, check_images
from opanas_cli.detection.own_folder import read_coco
from opanas_cli.detection.quiet import silenced
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
    assert checked(with_thumbnail(), tmp_path / "image") == []
    assert checked(encoded("JPEG", progressive=True), tmp_path / "image") == []


@pytest.mark.parametrize("part", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "thumbnail"])
def test_truncated_images_do_not(kind: str, part: float, tmp_path: Path) -> None:
    content = with_thumbnail() if kind == "thumbnail" else encoded(kind)
    with pytest.raises(InvalidDataError, match=r"image: is truncated; .* list\.json, which lists 1 images"):
        checked(content[: int(len(content) * part)], tmp_path / "image")


def test_a_folder_in_place_of_an_image(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="is not a readable image"):
        check_images({tmp_path: None}, Path("list.json"), print)


def test_sizes_are_those_after_turning(tmp_path: Path) -> None:
    exif = Image.Exif()
    for orientation, turned in ((1, False), (3, False), (6, True), (8, True)):
        exif[0x0112] = orientation
        content = encoded("JPEG", exif=exif)
        assert checked(content, tmp_path / "image", (120, 200) if turned else (200, 120)) == []
        (warning,) = checked(content, tmp_path / "image", (200, 120) if turned else (120, 200))
        assert warning.startswith("list.json: 1 images are not of the size that it tells")


def test_sizes_are_those_that_mmcv_loads(tmp_path: Path) -> None:
    import mmcv

    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "image.jpg").write_bytes(encoded("JPEG", exif=exif))
    assert mmcv.imread(str(tmp_path / "image.jpg")).shape[:2] == (200, 120)


def config_of(root: Path) -> Config:
    return load_config("shapes", (f"data_root={root}",))


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


@pytest.mark.parametrize("max_images", [None, 2])
def test_a_search_looks_at_the_images_that_it_sees(
    max_images: int | None, shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(shapes_root, tmp_path / "data"))
    looked_at: list[Path] = []
    monkeypatch.setattr(data_checks, "check_images", lambda images, source, warn: looked_at.extend(images))
    config = config_of(root)
    check_data(config, ["train"], print, search_split=0.5, max_images=max_images)
    with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
        subset = DATASETS.build(search_dataset(config, 0.5, max_images))
    seen = [Path(subset.get_data_info(index)["img_path"]) for index in range(len(subset))]
    assert looked_at == seen
    assert 0 < len(seen) < 12


def test_a_coco_folder_is_parsed_once(shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(shutil.copytree(shapes_root, tmp_path / "data"))
    parsed: list[Path] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: parsed.append(path) or read_bytes(path))
    config = load_config("custom", (f"data_root={root}",))
    check_data(config, ["train", "test"], print)
    path = root / "annotations" / "train.json"
    assert sorted(file.name for file in parsed if file.suffix == ".json") == ["train.json", "val.json"]
    read_coco(path)
    path.write_text('{"images": []}')
    assert read_coco(path) == {"images": []}
