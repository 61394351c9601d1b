"""Trainings of mixtures, their genotypes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope
from tiny_config import tiny_config

from opanas_cli.commands import run
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.configs.stages import search_dataset, super_net_stage
from opanas_cli.detection.data.sample_seeds import SeededSamples
from opanas_cli.detection.super_net_file import read_super_net
from opanas_cli.detection.training.resumable_loop import ResumableTrainLoop
from opanas_cli.detection.training.run_checkpoints import checkpoint_files
from opanas_cli.detection.training.supernet_training import train_super_net
from opanas_cli.errors import InvalidConfigError, OpanasError
from opanas_cli.formats import read_record
from opanas_cli.search.strongest import strongest_genotype

CPU = torch.device("cpu")
MIXTURE = ("supernet.sampling=all", "supernet.epochs=2", "supernet.milestones=(1,)", "checkpoints.steps=1")
FAIR = (*MIXTURE, "supernet.method=fair-darts", "supernet.architecture_lr=0.05")


def test_a_mixture_ends_with_the_strongest_paths(shapes_root: Path, tmp_path: Path) -> None:
    config = tiny_config(shapes_root, "faster-rcnn", *FAIR)
    trained = train_super_net(config, tmp_path, 0, CPU)
    content, record = read_super_net(trained.path), read_record(tmp_path / "best.json")
    meta = content["meta"]
    assert meta["method"] == "fair-darts"
    architecture = np.array(meta["architecture"])
    assert architecture.shape == (3, 6)
    assert architecture[:, :5].all()
    assert not architecture[:, 5].any(), "none adds nothing, so its weight stays one half"
    assert (record.genotype, trained.alive) == strongest_genotype(search_space(config), architecture)
    assert record.genotype == trained.genotype
    assert record.metadata["provenance"]["architecture"] == meta["architecture"]
    assert record.metadata["spent"] == {"train-supernet": meta["spent"]}
    # Two epochs of 7 training images, each with one held-out image.
    assert (meta["spent"]["images"], meta["spent"]["evaluations"]) == (2 * 2 * 7, 0)
    assert meta["spent"]["device_seconds"] > 0
    (tmp_path / "best.json").unlink()
    assert train_super_net(config, tmp_path, 0, CPU, resume=True).found
    assert read_record(tmp_path / "best.json") == record


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize("more", [(), ("supernet.method=darts", "supernet.second_order=True")])
def test_a_stopped_training_ends_as_an_undisturbed_one(
    more: tuple[str, ...], shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(shapes_root, "faster-rcnn", *FAIR, *more)
    whole = train_super_net(config, tmp_path / "whole", 0, CPU)
    run_iter = ResumableTrainLoop.run_iter

    def stopping(loop: ResumableTrainLoop, index: int, data: Any) -> None:
        if loop.iter == 5:
            raise OpanasError("stopped")
        run_iter(loop, index, data)

    with monkeypatch.context() as patch:
        patch.setattr(ResumableTrainLoop, "run_iter", stopping)
        with pytest.raises(OpanasError, match="stopped"):
            train_super_net(config, tmp_path / "stopped", 0, CPU)
    resumed = train_super_net(config, tmp_path / "stopped", 0, CPU, resume=True)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    newest = checkpoint_files(tmp_path / "stopped" / "train-supernet")[-1]
    state = torch.load(newest, weights_only=True)
    assert state["state_dict"]["architecture"].shape == (3, 6)
    assert int(state["optimizer"]["architecture"]["state"][0]["step"]) == whole.steps
    assert state["param_schedulers"]["architecture"] == []


def test_pairs_are_of_both_parts_and_follow_from_the_seed(shapes_root: Path) -> None:
    config = tiny_config(shapes_root, "faster-rcnn", *FAIR)
    with DefaultScope.overwrite_default_scope("mmdet"):
        pairs = SeededSamples(DATASETS.build(super_net_stage(config, 0).train_dataloader.dataset))
        held_out = DATASETS.build(search_dataset(config, 0.4, None))
    allowed = {held_out.get_data_info(index)["img_path"] for index in range(len(held_out))}
    drawn = []
    for seed in range(30):
        pair = pairs[seed % len(pairs), seed]
        paths = [pair[part]["data_samples"].img_path for part in ("training", "held_out")]
        assert paths[0] == pairs.get_data_info(seed % len(pairs))["img_path"]
        drawn.append(paths[1])
    assert set(drawn) == allowed
    assert drawn == [pairs[0, seed]["held_out"]["data_samples"].img_path for seed in range(30)]


@pytest.mark.parametrize("space", ["dense", "chain"])
def test_one_path_of_each_edge_is_trained_by_spos(space: str, shapes_root: Path, tmp_path: Path) -> None:
    options = ("supernet.method=spos", f"model.neck.space={space}", "supernet.epochs=1", "supernet.batch_size=8")
    config = tiny_config(shapes_root, "faster-rcnn", *options, "supernet.optimizer=SGD", "supernet.weight_decay=0")
    started = train_super_net(
        tiny_config(shapes_root, "faster-rcnn", *options, "supernet.lr=1e-30"), tmp_path / "0", 0, CPU
    )
    trained = train_super_net(config, tmp_path / "1", 0, CPU)
    assert trained.steps == 1
    before, after = (read_super_net(one.path)["state_dict"] for one in (started, trained))
    moved = {
        tuple(name.split(".")[2:4])
        for name in after
        if ".paths." in name and not torch.equal(after[name], before[name])
    }
    assert [edge for edge, _ in sorted(moved)] == ["0_1", "1_2"] if space == "chain" else ["0_1", "0_2", "1_2"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("supernet.method=darts",), "supernet.sampling is a setting of supernet.method fair and spos, not of darts; "),
        ((*FAIR, "supernet.watch_interval=1"), "supernet.watch_interval is a setting of .*, or set it to None$"),
        (
            ("supernet.second_order=True",),
            "supernet.second_order is a setting of .* darts and fair-darts, not of fair;",
        ),
        (
            (*FAIR, "supernet.method=darts", "supernet.zero_one_weight=1"),
            "of supernet.method fair-darts, not of darts; ",
        ),
        (("supernet.method=random",), "supernet.method must be one of fair, spos, darts, fair-darts, but got 'random'"),
        ((*FAIR, "supernet.search_split=0"), "no images are held out to train the architecture parameters on; set"),
        ((*FAIR, "supernet.second_order=True", "supernet.amp=True"), "supernet.second_order: .*; leave --amp out"),
    ],
)
def test_what_a_method_does_not_have_is_refused(options: tuple[str, ...], said: str, shapes_root: Path) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        super_net_stage(tiny_config(shapes_root, "faster-rcnn", *options), 0)


def test_the_weights_of_a_mixture_serve_no_sub_net(
    shapes_root: Path, tmp_path: Path, tiny_options: tuple[str, ...], refused: Callable[..., str], capsys: Any
) -> None:
    given = ["--device", "cpu", "--work-dir", str(tmp_path)]
    mixture = [*given, "--method", "darts"]
    assert run(["train-supernet", "shapes", *mixture, "--json", "--cfg-options", *tiny_options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["genotype"]
    assert document["files"]["best"] == str(tmp_path / "best.json")
    super_net = tmp_path / "supernet.pth"
    said = f"{super_net}: was trained as a mixture by darts, which ranks no sub-nets: its genotype is in the best.json"
    for command in (
        ["evolve", "shapes", super_net],
        ["retrain", "shapes", "--genotype", "fpn", "--inherit", super_net],
    ):
        other = ["--device", "cpu", "--work-dir", tmp_path / command[0]]
        assert refused(3, *command, *other, "--cfg-options", *tiny_options).startswith(said)
