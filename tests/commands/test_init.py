"""``opanas init`` on a tiny data set: what it writes, and that the other commands take it.

The commands of README.md, budget.md and commands.md that train for hours are these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from opanas_cli.commands import run
from opanas_cli.commands.init import _rows
from opanas_cli.detection.configs.files import load_config, shipped_configs
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.configs.own_config import OwnDetector
from opanas_cli.detection.pacing import Pacing
from opanas_cli.search.budget import Pace, Sum

TINY = """
_base_ = {base!r}
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8, num_nodes=2),
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(bbox_roi_extractor=dict(out_channels=8), bbox_head=dict(in_channels=8, fc_out_channels=8)),
)
supernet = dict(image_scale=(64, 64), epochs=1, milestones=())
search = dict(population=4, generations=1, top_k=2, finalists=2)
retrain = dict(image_scale=(64, 64), epochs=1, milestones=())
for_loaders = dict(num_workers=0, persistent_workers=False)
train_dataloader = for_loaders
val_dataloader = for_loaders
test_dataloader = for_loaders
"""

OF_MMDET = """
_base_ = "mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py"
model = dict(
    backbone=dict(depth=18, base_channels=8, stem_channels=8, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=64),
)
"""

FEW = (
    *("supernet.epochs=1", "supernet.milestones=()", "supernet.image_scale=(64,64)", "supernet.warmup_iters=0"),
    *("search.population=2", "search.generations=0", "search.top_k=1", "search.finalists=1"),
    *("retrain.epochs=1", "retrain.milestones=()", "retrain.image_scale=(64,64)", "retrain.warmup_iters=0"),
)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny detector, and trainings of few steps."""
    monkeypatch.setattr("opanas_cli.search.budget.STEPS", 4)
    monkeypatch.chdir(tmp_path)
    Path("tiny.py").write_text(TINY.format(base=str(shipped_configs()["custom-small"])))
    return "tiny.py"


def init(root: Path, *more: str) -> list[str]:
    return ["init", str(root), "-o", "cells.py", "--device", "cpu", *more]


def test_without_a_budget_it_names_the_data_and_the_base(
    shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(init(shapes_root)) == 0
    out, text = capsys.readouterr().out, Path("cells.py").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["cells.py"]
    assert len(text.splitlines()) <= 40
    assert "next: opanas search cells.py" in out
    config, base = load_config("cells.py"), load_config("custom-small", [f"data_root={shapes_root}"])
    assert config.train_dataloader == base.train_dataloader
    assert config.model == base.model
    assert config.search == {**base.search, "max_images": None}
    # Of 12 images some are held out: the others are 2 or 3 batches of 4, and 1,400 steps 700 or 467 epochs.
    training = int(re.search(r"(\d+) for the super-net", out)[1])
    assert config.supernet.epochs == -(-1400 // -(-training // 4))
    assert config.retrain.epochs == -(-1400 // 3)
    assert f"supernet.epochs 12 → {config.supernet.epochs}" in text


def test_with_a_budget_search_takes_what_it_writes(
    shapes_root: Path, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(init(shapes_root, "--detector", tiny, "--budget", "9d", "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["stage"] for one in document["stages"]] == ["train-supernet", "evolve", "finalists", "retrain", "test"]
    assert all(seconds > 0 for seconds in document["seconds_per_image"].values())
    assert sum(one["seconds"] for one in document["stages"]) < 9 * 86400
    text = Path("cells.py").read_text()
    steps = -(-document["images"]["supernet"] // 4)
    epochs = -(-4 // steps)
    assert f"# train-supernet  {epochs} epochs × {steps} steps × " in text
    assert run(["search", "cells.py", "--device", "cpu", "-q", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stages"]["train-supernet"]["steps"] == epochs * steps
    assert found["stages"]["evolve"]["evaluated"] == 8
    (final,) = found["stages"]["evolve"]["finalists"]
    assert len(final["figures"]) == 2
    assert Path("runs/cells/detector.pth").exists()


def test_a_budget_that_is_too_small_is_refused_with_what_would_do(
    shapes_root: Path, tiny: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pacing, "measure", lambda self, device: Pace(10.0, 1.0, 5.0, half=0.5))
    said = refused(5, *init(shapes_root, "--detector", tiny, "--budget", "1m"), "-q")
    assert said.startswith("--budget: 1m is too short for 12 training images on cpu; ")
    assert not Path("cells.py").exists()
    enough = re.search(
        r"; (\d+)m would do \(train-supernet 2 min, evolve 12 s, retrain 60 s, test 15 s\) at the speed", said
    )
    assert enough, said
    assert run([*init(shapes_root, "--detector", tiny, "--budget", f"{enough[1]}m"), "-q"]) == 0
    assert "image_scale=(32, 32)" in Path("cells.py").read_text()
    assert refused(2, *init(shapes_root)) == "cells.py: already exists; choose another -o, or delete it"
    Path("cells.py").unlink()
    too_short = f"{int(enough[1]) - 1}m"
    assert "too short" in refused(5, *init(shapes_root, "--detector", tiny, "--budget", too_short), "-q")


@pytest.mark.parametrize(
    ("name", "lr"),
    [("rtmdet/rtmdet_tiny_8xb32-300e_coco", 0.004 * 16 / 256), ("fcos/fcos_r50-caffe_fpn_gn-head_1x_coco", 0.01)],
)
def test_the_learning_rate_is_that_of_as_many_images_as_the_name_says(shapes_root: Path, name: str, lr: float) -> None:
    own = OwnDetector.named(f"mmdet::{name}", shapes_root)
    assert own.schedule["lr"] == pytest.approx(lr)
    assert own.config.supernet.lr == own.schedule["lr"]


def test_learning_rates_by_layer_are_left_out_and_said_to_be(
    shapes_root: Path, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    by_layer = "dict(constructor='LearningRateDecayOptimizerConstructor', paramwise_cfg=dict(decay_rate=0.7))"
    Path("fcos.py").write_text(f"{OF_MMDET}optim_wrapper = {by_layer}\n")
    assert run(init(shapes_root, "--detector", "fcos.py")) == 0
    assert "fcos.py: the learning rates that LearningRateDecayOptimizerConstructor gives" in capsys.readouterr().err
    assert "paramwise_cfg" not in Path("cells.py").read_text()


def test_sums_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    rows = _rows([Sum("evolve", "2 × 3", 3725.4)], 90000)
    assert [row.split()[-1] for row in rows] == ["1:02:05", "23:57:55", "1:00:00"]
    assert "1 day" in rows[-1]


def test_any_detector_of_mmdet(
    shapes_root: Path, tiny: str, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("fcos.py").write_text(OF_MMDET)
    assert run(init(shapes_root, "--detector", "fcos.py")) == 0
    config = load_config("cells.py")
    assert config.model.type == "FCOS"
    assert config.model.bbox_head.num_classes == 3
    assert search_space(config).num_nodes == 5
    assert config.model.neck.out_channels == 32
    assert config.model.data_preprocessor.pad_size_divisor == 32
    assert (config.supernet.lr, config.retrain.optimizer, config.retrain.grad_clip) == (0.01, "SGD", 35)
    assert config.supernet.paramwise_cfg == config.retrain.paramwise_cfg == {"bias_lr_mult": 2, "bias_decay_mult": 0}
    options = ["--device", "cpu", "-q", "--cfg-options", *FEW, *(f"{name}_dataloader.num_workers=0" for name in SPLITS)]
    assert run(["search", "cells.py", *options, "model.neck.num_nodes=1"]) == 0
    winner = load_config("runs/cells/winner.py")
    assert (winner.model.neck.type, winner.optim_wrapper.paramwise_cfg.bias_lr_mult) == ("OPAFPN", 2)
    Path("cells.py").unlink()
    said = refused(3, *init(shapes_root, "--detector", "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco"))
    assert "has no segmentation, but the pipeline loads masks" in said


SPLITS = ("train", "val", "test")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--budget", "8"], 2, "--budget: expected a positive number with a unit s, m, h or d"),
        (["-o", "cells.txt"], 2, "-o: a config is Python and ends in .py, but got cells.txt"),
        (["--detector", "coco"], 3, "coco: names its own data sets; choose custom, custom-small or one of mmdet's"),
        (["--detector", "custm"], 3, "custm: no such config file; did you mean 'custom'?"),
        (["-o", "tiny.py/cells.py"], 1, "tiny.py: cannot be written"),
    ],
)
def test_what_it_refuses(
    arguments: list[str], code: int, said: str, shapes_root: Path, tiny: str, refused: Callable[..., str]
) -> None:
    assert refused(code, *init(shapes_root, *arguments)).startswith(said)


def test_a_folder_that_holds_no_data(tmp_path: Path, tiny: str, refused: Callable[..., str]) -> None:
    assert refused(3, *init(tmp_path / "nothing")).startswith(f"{tmp_path / 'nothing'}: no such folder")


def test_broken_data_is_named_as_data_names_it(tmp_path: Path, refused: Callable[..., str]) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "classes.txt").write_text("cell\n")
    for number in range(12):
        Image.new("RGB", (64, 64)).save(tmp_path / "images" / f"{number}.png")
        (tmp_path / "labels" / f"{number}.txt").write_text("7 0.5 0.5 0.5 0.5\n")
    said = refused(3, "init", str(tmp_path), "-q", "--device", "cpu", "-o", str(tmp_path / "cells.py"))
    assert re.fullmatch(rf"{re.escape(str(tmp_path))}/labels/\d+\.txt: line 1: class 7 has no name; .*", said)
