from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny_config import tiny_config

from opanas_cli.detection.checkpoints import write_checkpoint
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.parts import set_classes
from opanas_cli.detection.costs.profiling import CostModel, detector_cost
from opanas_cli.detection.costs.widths import set_width
from opanas_cli.detection.super_net_file import SUPER_NET_FORMAT, task_of
from opanas_cli.detection.training.networks import baseline_config, inherited_weights, sub_net_config, whole_config
from opanas_cli.detection.training.progress import FiniteLoss, TrainingStep
from opanas_cli.detection.training.retraining import train_detector
from opanas_cli.errors import InvalidCheckpointError, InvalidConfigError, InvalidGenotypeError, OpanasError
from opanas_cli.genotype import Genotype

CPU = torch.device("cpu")
SMALL = Genotype.of(["none", "fusing_splitting", "bottom_up"])


def super_net_file(config: Config, path: Path) -> Path:
    torch.manual_seed(0)
    detector = build_detector(config)
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter += torch.randn_like(parameter)
    content = {"format": SUPER_NET_FORMAT, "version": 1, "state_dict": detector.state_dict()}
    write_checkpoint({**content, "meta": {**task_of(config), "search_split": 0.4, "split_by": "file"}}, path)
    return path


@pytest.mark.parametrize("detector", ["faster-rcnn", "retinanet"])
def test_inherited_weights_make_the_detector_inside_the_super_net(
    shapes_root: Path, tmp_path: Path, detector: str
) -> None:
    config = tiny_config(shapes_root, detector)
    file = super_net_file(config, tmp_path / "supernet.pth")
    child = build_detector(sub_net_config(config, SMALL, edge_importance=True)).eval()
    child.load_state_dict(inherited_weights(config, SMALL, file))
    parent = build_detector(config).eval()
    parent.load_state_dict(torch.load(file, weights_only=True)["state_dict"])
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad(), parent.neck.running(SMALL):
        for left, right in zip(child.extract_feat(image), parent.extract_feat(image), strict=True):
            assert torch.equal(left, right)


def test_inheriting_from_another_network_is_refused(shapes_root: Path, tmp_path: Path) -> None:
    config = tiny_config(shapes_root)
    file = super_net_file(config, tmp_path / "supernet.pth")
    with pytest.raises(InvalidGenotypeError, match="got a dense one of 5 nodes"):
        inherited_weights(config, Genotype.of(["top_down"] * 15), file)
    permuted = tiny_config(shapes_root)
    set_classes(permuted, ("square", "disk", "triangle"))
    with pytest.raises(InvalidCheckpointError, match="add --cfg-options classes=disk,square,triangle"):
        inherited_weights(permuted, SMALL, file)
    wider = tiny_config(shapes_root)
    set_width(wider.model, 12)
    with pytest.raises(InvalidCheckpointError, match="does not match the config's network: '"):
        inherited_weights(wider, SMALL, file)


def test_the_baseline_costs_as_much(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    set_width(config.model, 24)
    baseline = baseline_config(config, SMALL)
    assert baseline.model.neck.type == "FPN"
    assert detector_cost(baseline).macs == pytest.approx(CostModel(config)(SMALL).macs, rel=0.05)
    winner = sub_net_config(config, SMALL)
    for part in ("train_dataloader", "optim_wrapper", "param_scheduler", "train_cfg", "test_dataloader"):
        assert baseline[part] == winner[part], "the schedules differ"


def test_configs_of_the_wrong_kind_are_refused(shapes_root: Path, tmp_path: Path) -> None:
    config = tiny_config(shapes_root)
    with pytest.raises(InvalidConfigError, match="its neck is a super-net; choose a genotype with --genotype"):
        whole_config(config)
    plain = sub_net_config(config, SMALL)
    for make in (sub_net_config, baseline_config):
        with pytest.raises(InvalidConfigError, match="its neck is already that of one genotype"):
            make(plain, SMALL)
    plain.pop("test_evaluator")
    with pytest.raises(InvalidConfigError, match="has no test_dataloader and test_evaluator"):
        train_detector(plain, tmp_path, 0, CPU)
    assert not list(tmp_path.iterdir())


def test_a_training_tells_its_cost(shapes_root: Path, tmp_path: Path) -> None:
    spent = train_detector(sub_net_config(tiny_config(shapes_root), SMALL), tmp_path, 0, CPU).spent
    assert (spent.images, spent.evaluations) == (12, 0)
    assert spent.device_seconds > 0
    assert spent.peak_memory_mb > 0


def test_gradients_that_wait_for_an_update_outlast_an_epoch(
    shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update after every second step, of which an epoch has three."""
    config = sub_net_config(tiny_config(shapes_root, "faster-rcnn", "retrain.epochs=2"), SMALL)
    config.optim_wrapper.accumulative_counts = 2

    def stop(step: TrainingStep) -> None:
        if step.step == 4:
            raise OpanasError("stopped")

    with pytest.raises(OpanasError, match="stopped"):
        train_detector(config, tmp_path / "stopped", 0, CPU, on_step=stop)
    checked: list[int] = []
    monkeypatch.setattr(FiniteLoss, "require", lambda self, loss, step, optim_wrapper: checked.append(step))
    resumed = train_detector(config, tmp_path / "stopped", 0, CPU, resume=True)
    whole = train_detector(config, tmp_path / "whole", 0, CPU)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert checked == [*range(1, 7), *range(1, 7)], "each loss is checked once"
