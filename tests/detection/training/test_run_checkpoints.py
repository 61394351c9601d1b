"""Which checkpoint a run goes on from, and which runs are the same."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_config import tiny_config

from opanas_cli.detection.checkpoints import write_checkpoint
from opanas_cli.detection.configs.stages import super_net_stage
from opanas_cli.detection.training.networks import sub_net_config
from opanas_cli.detection.training.run_checkpoints import RunCheckpoints, checkpoint_files, forget_run
from opanas_cli.detection.training.run_identity import result_identity, run_identity
from opanas_cli.errors import InvalidCheckpointError, UsageError
from opanas_cli.genotype import Genotype

CONTENT: dict[str, Any] = {
    "format": "opanas-run",
    "version": 1,
    "processes": 1,
    "settings": json.dumps({"seed": 0}),
    "position": {"step": 0, "epoch": 0, "batch": 0},
    "state_dict": {"weight": torch.zeros(3)},
    "optimizer": {},
    "param_schedulers": [],
    "random_states": [{}],
}


def kept(folder: Path, **change: Any) -> RunCheckpoints:
    """A folder with a checkpoint of step 7."""
    write_checkpoint({**CONTENT, **change}, folder / "step_00000007.pth")
    return RunCheckpoints(folder, {"seed": 0})


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    for name in ("step_7.pth", "step_00000007.pth.part", "epoch_1.pth", ".part.step_00000007.pth"):
        (tmp_path / name).touch()
    checkpoints = RunCheckpoints(tmp_path, {})
    assert checkpoints.newest(1) is None
    checkpoints.require_none()
    assert RunCheckpoints(tmp_path / "nowhere", {}).newest(1) is None


def test_the_last_step_counts(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path)
    write_checkpoint({**CONTENT, "position": {**CONTENT["position"], "step": 10**8}}, tmp_path / "step_100000000.pth")
    found = checkpoints.newest(1)
    assert found is not None
    assert (found[0].name, found[1]["position"]["step"]) == ("step_100000000.pth", 10**8)
    with pytest.raises(UsageError, match="a training run already exists; add --resume"):
        checkpoints.require_none()
    forget_run(tmp_path)
    assert checkpoint_files(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "another"}, "is not a checkpoint of an opanas training run"),
        ({"version": 2}, "is of version 2, but this release reads version 1; update opanas"),
    ],
)
def test_what_is_no_checkpoint_of_a_run(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpointError, match=said):
        kept(tmp_path, **change).newest(1)


def test_a_checkpoint_of_a_newer_opanas_is_not_passed_over(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path)
    newer = {**CONTENT, "version": 2, "position": {"step": 9, "epoch": 0, "batch": 0}}
    write_checkpoint(newer, tmp_path / "step_00000009.pth")
    with pytest.raises(InvalidCheckpointError, match=r"step_00000009.pth: is of version 2, but this release reads"):
        checkpoints.newest(1)


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.9])
def test_a_damaged_checkpoint_is_passed_over(place: float, tmp_path: Path) -> None:
    checkpoints = kept(tmp_path)
    newest = tmp_path / "step_00000009.pth"
    content = bytearray((tmp_path / "step_00000007.pth").read_bytes())
    begin = int(place * len(content))
    content[begin : begin + 64] = b"\xff" * 64
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match="step_00000009.pth: is .*; resuming from step_00000007.pth, the one before"):
        found = checkpoints.newest(1)
    assert found is not None
    assert found[0].name == "step_00000007.pth"


@pytest.mark.parametrize(("kind", "said"), [("pipe", "it is a named pipe"), ("device", "it is a device")])
def test_what_is_no_file_is_passed_over_unopened(kind: str, said: str, tmp_path: Path) -> None:
    checkpoints, newest = kept(tmp_path), tmp_path / "step_00000009.pth"
    os.mkfifo(newest) if kind == "pipe" else newest.symlink_to("/dev/zero")
    with pytest.warns(UserWarning, match=rf"step_00000009.pth: cannot be read .{said}, not a regular file"):
        found = checkpoints.newest(1)
    assert found is not None
    assert found[0].name == "step_00000007.pth"


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    content = {key: value for key, value in CONTENT.items() if key != "optimizer"}
    write_checkpoint(content, tmp_path / "step_00000007.pth")
    with pytest.raises(InvalidCheckpointError, match="has no 'optimizer' to resume from"):
        RunCheckpoints(tmp_path, {"seed": 0}).newest(1)


def test_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="written by 1 process, which shared the images; start as many instead of 2"):
        kept(tmp_path).newest(2)


def test_many_differences_are_cut_short(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path, settings=json.dumps(dict.fromkeys("abcde", 1)))
    with pytest.raises(UsageError, match=r"a was 1 and is now null; b .*; c .* null; and 3 more; use its settings"):
        checkpoints.newest(1)


def test_settings_that_decide_and_those_that_do_not(shapes_root: Path) -> None:
    def identity(*options: str, seed: int = 0, **more: Any) -> dict[str, Any]:
        return run_identity(super_net_stage(tiny_config(shapes_root, "faster-rcnn", *options), seed), seed, **more)

    base = identity("supernet.milestones=(1,)")
    assert base == json.loads(json.dumps(base))
    same = (
        ("train_dataloader.num_workers=3",),
        ("supernet.epochs=9",),
        ("checkpoints.minutes=3", "log_level=ERROR"),
    )
    for options in same:
        assert identity("supernet.milestones=(1,)", *options) == base, options
    others = (
        identity(),
        identity("supernet.milestones=(1,)", seed=1),
        identity("supernet.milestones=(1,)", "model.rpn_head.feat_channels=4"),
        identity("supernet.milestones=(1,)", "supernet.l1_weight=0.5"),
        identity("supernet.milestones=(1,)", "train_dataloader.dataset.ann_file=other.json"),
        identity("supernet.milestones=(1,)", inherited="abc"),
    )
    assert all(other != base for other in others)


def test_a_run_does_not_go_on_with_other_annotations(shapes_root: Path, tmp_path: Path) -> None:
    """The place of the data may be another one, what is in it not; a super-net is not tested."""

    def identities(root: Path) -> tuple[dict[str, Any], str]:
        config = super_net_stage(tiny_config(root, "faster-rcnn"), 0)
        return run_identity(config, 0), result_identity(config, 0)

    copied = shutil.copytree(shapes_root, tmp_path / "copied")
    run, result = identities(shapes_root)
    assert identities(copied) == (run, result)
    for part, is_same_run in (("val", True), ("train", False)):
        file = copied / "annotations" / f"{part}.json"
        document = json.loads(file.read_text())
        document["annotations"][0]["bbox"][0] += 1
        file.write_text(json.dumps(document))
        assert [ours == theirs for ours, theirs in zip(identities(copied), (run, result), strict=True)] == [
            is_same_run
        ] * 2


def test_names_of_free_settings_decide_elsewhere(shapes_root: Path) -> None:
    config = super_net_stage(tiny_config(shapes_root), 0)
    base = run_identity(config, 0)
    for name in ("steps", "minutes", "data_root", "num_workers", "max_epochs"):
        config.model.detector.neck[name] = 3
        assert run_identity(config, 0)["model"]["detector"]["neck"][name] == 3
        del config.model.detector.neck[name]
    assert run_identity(config, 0) == base


def test_what_a_finished_run_has_ended_with(shapes_root: Path) -> None:
    def identity(*options: str) -> str:
        config = tiny_config(shapes_root, "faster-rcnn", "retrain.milestones=(1,)", *options)
        return result_identity(sub_net_config(config, Genotype.of(["none"] * 2 + ["top_down"])), 0)

    base = identity()
    for same in ("train_dataloader.num_workers=3", "test_dataloader.num_workers=3", "checkpoints.steps=2"):
        assert identity(same) == base, same
    of_the_test = ("test_dataloader.batch_size=3", "test_dataloader.dataset.ann_file=other.json")
    for other in ("retrain.epochs=3", "retrain.lr=0.5", *of_the_test):
        assert identity(other) != base, other


def test_the_same_content_is_the_same_bytes_under_any_name(tmp_path: Path) -> None:
    for name in ("a.pth", "another name.pth"):
        write_checkpoint(CONTENT, tmp_path / name)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "another name.pth").read_bytes()
