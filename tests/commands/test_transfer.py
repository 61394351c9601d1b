"""A genotype that was searched on one data set, trained on another of other classes and another layout (Table 3)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from opanas_cli.commands import run
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype.liveness import live_edges

CLASSES = {"coco": "disk,square,triangle", "voc": "disk,square"}


@pytest.mark.parametrize(("searched", "trained"), [("coco", "voc"), ("voc", "coco")])
def test_a_winner_is_trained_on_the_other_kind_of_data(
    shapes_root: Path, voc_root: Path, tiny_options: tuple[str, ...], tmp_path: Path, searched: str, trained: str
) -> None:
    roots = {"coco": shapes_root, "voc": voc_root}

    def options(data: str, folder: str) -> list[str]:
        tiny = [option for option in tiny_options if not option.startswith("data_root=")]
        tiny += [f"{split}_dataloader.{setting}" for split in ("train", "val", "test") for setting in
                 ("num_workers=0", "persistent_workers=False")]  # fmt: skip
        own = [f"data_root={roots[data]}", f"classes={CLASSES[data]}", "retrain.warmup_iters=0", *tiny]
        return ["--work-dir", str(tmp_path / folder), "--device", "cpu", "-q", "--cfg-options", *own]

    search = ["--population", "2", "--generations", "0", "--top-k", "1", "--finalists", "1"]
    super_net, best = str(tmp_path / "search" / "supernet.pth"), str(tmp_path / "search" / "best.json")
    assert run(["train-supernet", "custom-small", *options(searched, "search")]) == 0
    assert run(["evolve", "custom-small", super_net, *search, *options(searched, "search")]) == 0
    assert run(["retrain", "custom-small", "--genotype", best, *options(trained, "winner")]) == 0

    content = torch.load(tmp_path / "winner" / "detector.pth", weights_only=True)
    assert content["meta"]["dataset_meta"]["classes"] == CLASSES[trained].split(",")
    assert len(content["state_dict"]["roi_head.bbox_head.fc_cls.weight"]) == len(CLASSES[trained].split(",")) + 1
    assert str(roots[trained]) in content["meta"]["config"]
    assert str(roots[searched]) not in content["meta"]["config"]
    edges = {
        f"{edge.source}_{edge.target}" for edge, path in live_edges(resolve_genotype(best)) if path.is_parameterised
    }
    built = {name.split(".")[2] for name in content["state_dict"] if name.startswith("neck.paths.")}
    assert built == edges
