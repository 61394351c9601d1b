from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_config import tiny_config

from opanas_cli.detection.checkpoints import load_weights
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.parts import set_classes
from opanas_cli.detection.configs.stages import search_dataset
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.super_net_file import read_super_net, require_same_task
from opanas_cli.detection.training.progress import FiniteLoss, TrainingStep
from opanas_cli.detection.training.supernet_training import TrainedSuperNet, train_super_net
from opanas_cli.errors import InvalidCheckpointError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A super-net trained for two epochs, and all that was told of it."""
    config = tiny_config(shapes_root, "faster-rcnn", "supernet.epochs=2")
    told: list[TrainingStep] = []
    checked: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FiniteLoss, "require", lambda self, loss, step, optim_wrapper: checked.append(step))
        result = train_super_net(config, tmp_path_factory.mktemp("work"), 5, CPU, on_step=told.append)
    return {"config": config, "result": result, "told": told, "checked": checked}


def test_the_checkpoint_says_where_it_comes_from(trained: dict[str, Any]) -> None:
    result: TrainedSuperNet = trained["result"]
    content = read_super_net(result.path)
    meta = content["meta"]
    assert meta["seed"] == 5
    assert meta["steps"] == result.steps == len(trained["told"])
    assert (meta["search_split"], meta["split_by"]) == (0.4, "file")
    assert meta["space"]["num_nodes"] == 2
    assert meta["space"]["kind"] == "dense"
    assert "top_down" in meta["space"]["paths"]
    assert meta["classes"] == ["disk", "square", "triangle"]
    assert "OPASuperNet" in meta["config"]
    importances = content["state_dict"]["neck.edge_importance"]
    assert importances.tolist() == pytest.approx(result.edge_importance)
    load_weights(build_detector(trained["config"]), content["state_dict"], result.path)


def test_progress_counts_every_step(trained: dict[str, Any]) -> None:
    told, result = trained["told"], trained["result"]
    assert [step.step for step in told] == list(range(1, result.steps + 1))
    assert {step.steps for step in told} == {result.steps}
    assert (told[0].epoch, told[-1].epoch, told[0].epochs) == (1, 2, 2)
    window = min(10, (len(told) + 1) // 2)
    assert result.loss_at_start == pytest.approx(sum(step.loss for step in told[:window]) / window)
    assert result.loss_at_end == pytest.approx(sum(step.loss for step in told[-window:]) / window)


def test_each_loss_is_checked_once(trained: dict[str, Any]) -> None:
    assert trained["checked"] == [step.step for step in trained["told"]]


def test_a_super_net_is_trained_on_whole_folders_and_its_file_says_so(shapes_root: Path, tmp_path: Path) -> None:
    """All images are in one folder, which half of the data includes; of the files it would include some."""
    half = ("supernet.epochs=1", "supernet.search_split=0.05", "supernet.data_fraction=0.5")
    config = tiny_config(shapes_root, "faster-rcnn", "supernet.split_by=folder", *half)
    result = train_super_net(config, tmp_path, 0, CPU)
    assert result.steps == 12 / config.supernet.batch_size
    assert read_super_net(result.path)["meta"]["split_by"] == "folder"


def test_held_out_images_are_never_trained_on(trained: dict[str, Any], tmp_path: Path) -> None:
    from mmdet.registry import DATASETS

    from opanas_cli.detection.configs.stages import super_net_stage

    config = trained["config"]
    train = DATASETS.build(super_net_stage(config, 0).train_dataloader.dataset)
    held_out = DATASETS.build(search_dataset(config, 0.4, None))
    names = [{data.get_data_info(index)["img_path"] for index in range(len(data))} for data in (train, held_out)]
    assert names[0] and names[1]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 12
    state = read_super_net(trained["result"].path)["state_dict"]
    evaluator = SuperNetEvaluator(config, state, "test", 0.4, CPU)
    assert evaluator.num_images == len(names[1])


def test_reading_a_super_net_loads_no_trainer(trained: dict[str, Any]) -> None:
    program = (
        "import sys; from pathlib import Path; import opanas_cli.detection.searching\n"
        "from opanas_cli.detection.super_net_file import read_super_net\n"
        "assert read_super_net(Path(sys.argv[1]))['meta']['seed'] == 5\n"
        "print([name for name in sys.modules if name.startswith('opanas_cli.detection.training')])"
    )
    command = [sys.executable, "-c", program, str(trained["result"].path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (0, "[]\n"), process.stderr


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "detector.pth"
    torch.save({"state_dict": {}, "meta": {}}, other)
    with pytest.raises(InvalidCheckpointError, match="is not a super-net; make one with opanas train-supernet"):
        read_super_net(other)
    torch.save({"format": "opanas-supernet", "version": 2, "meta": {}}, other)
    with pytest.raises(InvalidCheckpointError, match="is of version 2, but this release reads version 1"):
        read_super_net(other)


def test_a_super_net_is_of_the_task_it_was_trained_for(trained: dict[str, Any]) -> None:
    content = read_super_net(trained["result"].path)
    require_same_task(content, trained["config"], Path("supernet.pth"))
    fewer = copy.deepcopy(trained["config"])
    fewer.model.neck.paths = ["fusing_splitting", "bottom_up", "top_down", "scale_equalizing", "none"]
    require_same_task(content, fewer, Path("supernet.pth"))


def test_splits_are_made_as_in_the_training(trained: dict[str, Any]) -> None:
    content = read_super_net(trained["result"].path)
    content["meta"]["split"] = [0.8, 0.1, 0.1, "folder"]
    require_same_task(content, trained["config"], Path("supernet.pth"))  # It has splits.
    config = copy.deepcopy(trained["config"])
    part = dict(name="train", fractions=(0.8, 0.1, 0.1), by="folder")
    config.train_dataloader.dataset.part = part
    require_same_task(content, config, Path("supernet.pth"))
    part["by"] = "file"
    config.train_dataloader.dataset.part = part
    said = r"split 0.8,0.1,0.1,folder, but .* has 0.8,0.1,0.1,file; add --cfg-options split=0.8,0.1,0.1,folder"
    with pytest.raises(InvalidCheckpointError, match=said):
        require_same_task(content, config, Path("supernet.pth"))


@pytest.mark.parametrize(
    ("settings", "classes", "said"),
    [
        (
            {},
            ("triangle", "disk", "square"),
            "classes disk,square,triangle, but .*shapes.py has triangle,disk,square; add "
            "--cfg-options classes=disk,square,triangle",
        ),
        (
            {"num_nodes": 3},
            None,
            "model.neck.num_nodes 2, but .*shapes.py has 3; add --cfg-options model.neck.num_nodes=2",
        ),
        (
            {"space": "chain"},
            None,
            "model.neck.space dense, but .* has chain; add --cfg-options model.neck.space=dense",
        ),
        (
            {"paths": ["top_down", "none"]},
            None,
            "has top_down,none; add --cfg-options "
            "model.neck.paths=top_down,bottom_up,scale_equalizing,fusing_splitting,skip_connect,none",
        ),
    ],
)
def test_other_tasks_are_told_apart(
    trained: dict[str, Any], settings: dict[str, Any], classes: tuple[str, ...] | None, said: str
) -> None:
    """Permuted classes fit by their shapes."""
    config = copy.deepcopy(trained["config"])
    config.model.neck.update(settings)
    if classes:
        set_classes(config, classes)
    content = read_super_net(trained["result"].path)
    pattern = re.escape(said).replace(r"\.\*", ".*")
    with pytest.raises(InvalidCheckpointError, match=f"^supernet.pth: was trained with .*{pattern}$"):
        require_same_task(content, config, Path("supernet.pth"))


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"classes": None}, "meta.classes must be a list of names, but got None"),
        ({"space": None}, "meta.space is not a valid space"),
        ({"space": {"num_nodes": 2, "kind": "tree", "paths": []}}, "meta.space is not a valid space"),
        ({"space": {}}, "meta.space is not a valid space"),
    ],
)
def test_a_task_that_is_not_told(trained: dict[str, Any], tmp_path: Path, meta: dict[str, Any], said: str) -> None:
    content = read_super_net(trained["result"].path)
    torch.save({**content, "meta": {**content["meta"], **meta}}, tmp_path / "edited.pth")
    with pytest.raises(InvalidCheckpointError, match=said):
        read_super_net(tmp_path / "edited.pth")
