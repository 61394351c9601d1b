"""Checkpoints that are no super-net, or not one of this config, and searches that cannot be."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from opanas_cli.commands import run

Refused = Callable[..., str]
SMALL = ("--population", "2", "--generations", "0", "--top-k", "2")


class Malicious:
    """Makes the file ``mark`` when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch mark",)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def options(tiny_options: tuple[str, ...]) -> tuple[str, ...]:
    return ("--device", "cpu", "--cfg-options", *tiny_options)


def _bad(name: str, super_net: Path) -> Path:
    """A file that is no super-net of the tiny config."""
    path = Path(f"{name}.pth")
    good = torch.load(super_net, weights_only=True)
    contents: dict[str, Any] = {
        "other": {**good, "state_dict": {"weight": torch.zeros(3)}},
        "no-format": {"state_dict": good["state_dict"]},
        "version": {**good, "version": 2},
        "no-state": {**good, "state_dict": None},
        "no-split": {**good, "meta": {}},
        "other-split": {**good, "meta": {**good["meta"], "split_by": "day"}},
        "huge": {**good, "meta": {**good["meta"], "space": {**good["meta"]["space"], "num_nodes": 10**9}}},
        "losses": {**good, "meta": {**good["meta"], "losses": [1.0]}},
        "watched": {**good, "meta": {**good["meta"], "watched": [{"epoch": 1, "AP": "x"}]}},
        "tensors": {**good, "meta": {**good["meta"], "split_by": torch.ones(2)}},
        "version-tensor": {**good, "version": torch.ones(2)},
        "sparse": {**good, "state_dict": {**good["state_dict"], "a": torch.zeros(3).to_sparse()}},
        "meta": {**good, "state_dict": {**good["state_dict"], "a": torch.zeros(3, device="meta")}},
        "list": [1, 2],
        "evil": {**good, "meta": Malicious()},
    }
    if name in contents:
        torch.save(contents[name], path)
    elif name == "raw-evil":
        path.write_bytes(pickle.dumps(Malicious()))
    elif name == "truncated":
        path.write_bytes(super_net.read_bytes()[: super_net.stat().st_size // 2])
    elif name == "empty":
        path.touch()
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "no such checkpoint"),
        ("empty", "is truncated or not a checkpoint"),
        ("truncated", "is truncated or not a checkpoint"),
        ("list", "is not a checkpoint: it holds a list, not a dict"),
        ("evil", "not loaded for safety"),
        ("raw-evil", "not loaded for safety"),
        ("no-format", "is not a super-net; make one with opanas train-supernet"),
        ("version", "is of version 2, but this release reads version 1"),
        ("no-split", "meta.search_split must be a fraction"),
        ("other-split", "meta.split_by must be file or folder, but got 'day'"),
        ("huge", "meta.space is not a valid space (expected 1 to 64 intermediate nodes, but got 1000000000)"),
        ("losses", "meta.steps, losses or watched is not as it was written; train it again"),
        ("watched", "meta.steps, losses or watched is not as it was written; train it again"),
        ("tensors", "has tensors in place of values; train the super-net again"),
        ("version-tensor", "has tensors in place of values; train the super-net again"),
        ("sparse", "holds a tensor without values or of the layout torch.sparse_coo; use others"),
        ("meta", "holds a tensor without values or of the layout torch.strided; use others"),
        ("no-state", "has no state_dict of tensors"),
        ("other", "does not match the config's network: 'backbone."),
    ],
)
@pytest.mark.parametrize("command", ["evolve", "retrain"])
def test_super_nets_that_are_none(
    command: str, name: str, said: str, refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    path = _bad(name, tiny_supernet)
    if command == "evolve":
        line = refused(3, "evolve", "shapes", path, "--work-dir", "run", *SMALL, *options)
    else:
        Path("g.txt").write_text("td|td,bu")
        line = refused(3, "retrain", "shapes", "--genotype", "g.txt", "--inherit", path, "--work-dir", "run", *options)
    assert line.startswith(f"{path}: ")
    assert said in line
    assert not Path("run").exists()
    assert not Path("mark").exists()


def test_a_super_net_of_more_nodes(refused: Refused, options: tuple[str, ...], tiny_supernet: Path) -> None:
    line = refused(
        3, "evolve", "shapes", tiny_supernet, "--work-dir", "run", *SMALL, *options, "model.neck.num_nodes=3"
    )
    assert "was trained with model.neck.num_nodes 2, but " in line
    assert line.endswith("has 3; add --cfg-options model.neck.num_nodes=2")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("model.neck.space=foo", "model.neck: 'foo' is not a space; choose 'dense' or 'chain'"),
        ("model.neck.num_nodes=x", "model.neck: num_nodes must be a whole number, but got 'x'"),
        ("model.neck.paths=[none]", "model.neck: a space needs at least one path besides 'none'"),
    ],
)
def test_searching_a_space_that_is_none(
    option: str, said: str, refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    line = refused(3, "evolve", "shapes", tiny_supernet, "--work-dir", "run", *SMALL, *options, option)
    assert said in line
    assert not Path("run").exists()


def test_inheriting_for_a_genotype_of_more_nodes(
    refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    line = refused(
        3, "retrain", "shapes", "--genotype", "opa-fpn", "--inherit", tiny_supernet, "--work-dir", "run", *options
    )
    assert "dense genotypes of 2 nodes" in line
    assert "of 5 nodes" in line


@pytest.mark.parametrize("command", ["train-supernet", "retrain"])
@pytest.mark.parametrize(("name", "said"), [("evil", "not loaded for safety"), ("missing", "no such checkpoint")])
def test_load_from(
    command: str, name: str, said: str, refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    genotype = [] if command == "train-supernet" else ["--genotype", "top-down"]
    path = _bad(name, tiny_supernet)
    assert said in refused(3, command, "shapes", *genotype, "--work-dir", "run", *options, f"load_from={path}")
    assert not Path("mark").exists()
    assert not list(Path("run").glob("*.pth"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("evil", "not loaded for safety"),
        ("truncated", "is truncated or not a checkpoint"),
        ("no-format", "is not a checkpoint of an opanas training run"),
    ],
)
def test_resuming_from_what_is_no_checkpoint(
    name: str, said: str, refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    folder = Path("run", "train-supernet")
    folder.mkdir(parents=True)
    shutil.copy(_bad(name, tiny_supernet), folder / "step_00000001.pth")
    assert said in refused(3, "train-supernet", "shapes", "--work-dir", "run", "--resume", *options)
    assert not Path("mark").exists()
    assert not Path("run", "supernet.pth").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.update(settings="{"), "has no valid position, settings, losses or random states"),
        (lambda content: content.update(settings=5), "has no valid position, settings, losses or random states"),
        (lambda content: content.update(position=None), "has no valid position, settings, losses or random states"),
        (
            lambda content: content.update(losses={"first": "x", "last": []}),
            "has no valid position, settings, losses or",
        ),
        (lambda content: content.update(watched=5), "has no valid position, settings, losses or random states"),
        (lambda content: content.update(watched=[{"epoch": 1}]), "has no valid position, settings, losses or random"),
        (lambda content: content.update(version=torch.ones(2)), "has tensors in place of values; start again"),
        (lambda content: content["losses"]["last"].append(torch.ones(2)), "has tensors in place of values; start"),
        (lambda content: content["state_dict"].update(step=torch.zeros(3).to_sparse()), "of the layout torch.sparse"),
        (lambda content: content["optimizer"].update(more=torch.zeros(3, device="meta")), "a tensor without values or"),
        (
            lambda content: content["position"].update(step="x"),
            "has no valid position, settings, losses or random states",
        ),
        (lambda content: content.update(processes="x"), "has no valid position, settings, losses or random states"),
        (lambda content: content.update(random_states=[]), "has no valid position, settings, losses or random states"),
        (lambda content: content.update(state_dict=5), "has no state_dict of tensors"),
        (lambda content: content.update(optimizer={}), "cannot be resumed: "),
        (lambda content: content.update(param_schedulers=[]), "cannot be resumed: "),
        (lambda content: content.pop("losses"), "cannot be resumed: losses (KeyError)"),
        (lambda content: content.update(random_states=[{}]), "cannot be trained: "),
    ],
)
def test_resuming_from_a_whole_checkpoint_of_damaged_content(
    change: Callable[[dict[str, Any]], Any], said: str, refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    shutil.copytree(tiny_supernet.parent / "train-supernet", Path("run", "train-supernet"))
    Path("run", "supernet.pth").unlink(missing_ok=True)
    (path,) = Path("run", "train-supernet").glob("step_*.pth")
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    before = sorted(Path("run").rglob("*"))
    line = refused(3, "train-supernet", "shapes", "--work-dir", "run", "--resume", *options, "supernet.epochs=2")
    assert said in line
    assert sorted(Path("run").rglob("*")) == before
    assert line.startswith(f"{path}: ") or "cannot be trained" in line


def test_resuming_another_network_and_a_folder_that_moved(
    refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    shutil.copytree(tiny_supernet.parent, "moved")
    arguments = ("train-supernet", "shapes", "--work-dir", "moved", "--resume", "-q")
    before = checkpoint_names("moved")
    line = refused(2, *arguments, *options, "model.neck.num_nodes=3")
    assert f"{before[-1]}: belongs to a different run: model.detector.neck.num_nodes was 2 and is now 3" in line
    assert checkpoint_names("moved") == before
    assert run([*arguments, *options, "supernet.epochs=2"]) == 0
    assert checkpoint_names("moved")[-1] > before[-1]


def checkpoint_names(work_dir: str) -> list[str]:
    return sorted(path.name for path in Path(work_dir, "train-supernet").glob("step_*.pth"))


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--max-macs", "nonsense", "--max-macs: expected a positive number"),
        ("--max-params", "-3M", "--max-params: expected a positive number"),
        ("--search-split", "0.9", "the super-net's training held out 0.4; choose at most that"),
    ],
)
def test_options_that_make_no_sense(
    option: str, value: str, said: str, refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    line = refused(2, "evolve", "shapes", tiny_supernet, "--work-dir", "run", *SMALL, option, value, *options)
    assert line.startswith(option)
    assert said in line
    assert not Path("run").exists()


@pytest.mark.parametrize("option", ["--max-macs", "--max-params"])
def test_limits_that_nothing_meets(
    option: str, refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    arguments = ("evolve", "shapes", tiny_supernet, "--work-dir", "run", *SMALL)
    line = refused(5, *arguments, option, "1K", *options)
    assert "the smallest seen were " in line
    assert not Path("run").exists()
    # The folder is free for the next try.
    assert run([*map(str, arguments), "-q", option, "1T", *options]) == 0


def test_a_split_without_images(refused: Refused, options: tuple[str, ...], tiny_supernet: Path) -> None:
    line = refused(
        3, "evolve", "shapes", tiny_supernet, "--work-dir", "run", *SMALL, "--search-split", "0.00001", *options
    )
    assert "the search part of 12 training images is empty" in line


@pytest.mark.parametrize("part", ["train_dataloader", "val_dataloader"])
def test_a_config_without_a_split(part: str, refused: Refused, options: tuple[str, ...], tiny_supernet: Path) -> None:
    line = refused(3, "evolve", "shapes", tiny_supernet, "--work-dir", "run", *SMALL, *options, f"{part}=None")
    assert f"has no {part} with a dataset" in line


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("val_dataloader.num_workers=x", "cannot be built: invalid literal for int()"),
        ("val_dataloader.dataset.pipeline.3.meta_keys=[nothing]", "cannot be evaluated: img_shape (KeyError"),
        ("model.test_cfg.rcnn.max_per_img=x", "cannot be evaluated: '>' not supported between"),
    ],
)
def test_a_search_that_the_config_does_not_allow(
    option: str, said: str, refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    line = refused(3, "evolve", "shapes", tiny_supernet, "--work-dir", "run", *SMALL, *options, option)
    assert line.split(": ")[0].endswith("configs/shapes.py")
    assert said in line
    assert not Path("run").exists()


def test_a_super_net_whose_training_held_nothing_out(
    refused: Refused, options: tuple[str, ...], tiny_supernet: Path
) -> None:
    content = torch.load(tiny_supernet, weights_only=True)
    content["meta"]["search_split"] = 0.0
    torch.save(content, "s.pth")
    line = refused(2, "evolve", "shapes", "s.pth", "--work-dir", "run", *SMALL, *options)
    assert "no images were held out when the super-net was trained; add --search-split 0" in line


def test_a_search_that_is_there_already(refused: Refused, options: tuple[str, ...], tiny_supernet: Path) -> None:
    arguments = ("evolve", "shapes", str(tiny_supernet), "--work-dir", "run", *SMALL)
    assert run([*arguments, "-q", *options]) == 0
    before = Path("run", "history.jsonl").read_bytes()
    assert "a search already exists; add --resume" in refused(2, *arguments, *options)
    assert "seed was 0 and is now 3" in refused(2, *arguments, "--resume", "--seed", "3", *options)
    assert Path("run", "history.jsonl").read_bytes() == before
    assert run([*arguments, "-q", "--resume", *options]) == 0
    assert Path("run", "history.jsonl").read_bytes() == before
