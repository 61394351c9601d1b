from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from tiny_config import tiny_config

from opanas_cli.detection.checkpoints import fingerprint, write_checkpoint
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.costs.profiling import CostModel
from opanas_cli.detection.evaluating import evaluator
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.evaluating.population_pass import PopulationPass
from opanas_cli.detection.searching import SearchFiles, SearchOptions, SearchReports, _annotations, search_super_net
from opanas_cli.detection.super_net_file import SUPER_NET_FORMAT, task_of
from opanas_cli.errors import InfeasibleError, InvalidDataError, InvalidInputError, UsageError
from opanas_cli.formats import read_record
from opanas_cli.search import Constraints

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def super_net(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A super-net that was never trained, which is all a search needs."""
    torch.manual_seed(0)
    config = tiny_config(shapes_root)
    detector = build_detector(config)
    detector.init_weights()
    file = tmp_path_factory.mktemp("supernet") / "supernet.pth"
    content = {"format": SUPER_NET_FORMAT, "version": 1, "state_dict": detector.state_dict()}
    write_checkpoint({**content, "meta": {**task_of(config), "search_split": 0.4, "split_by": "file"}}, file)
    return file


def test_a_search_splits_as_the_training_did(shapes_root: Path, super_net: Path, tmp_path: Path) -> None:
    """Whatever the config says: the images of one folder, which is held out or is not."""
    content = torch.load(super_net, weights_only=True)
    content["meta"].update(split_by="folder", search_split=0.999)
    torch.save(content, tmp_path / "supernet.pth")
    checked: list[str] = []
    result = search(
        shapes_root,
        tmp_path / "supernet.pth",
        tmp_path,
        settings={"population": 1, "generations": 0, "top_k": 1},
        check=lambda config, *_: checked.append(config.supernet.split_by),
    )
    assert (checked, len(result.evaluated)) == (["folder"], 1)
    facts = read_record(SearchFiles.of(tmp_path).best).metadata["provenance"]["search"]["evaluation"]
    assert (facts["split_by"], facts["num_images"]) == ("folder", 12)
    with pytest.raises(InvalidDataError, match=r"search part of 12 training images is empty .*split_by=folder"):
        search(shapes_root, tmp_path / "supernet.pth", tmp_path / "other", search_split=1e-9)


def test_a_search_does_not_go_on_with_another_annotation_of_one_voc_image(
    voc_root: Path, shapes_root: Path, super_net: Path, tmp_path: Path
) -> None:
    config = tiny_config(shapes_root)
    config.train_dataloader.dataset.update(
        type="VOCFolder",
        data_root=str(voc_root),
        ann_file="ImageSets/Main/train.txt",
        data_prefix=dict(sub_data_root="."),
    )
    config.search = dict(population=2, generations=0, top_k=1)
    search_config(config, super_net, tmp_path)
    history = (tmp_path / "history.jsonl").read_bytes()
    search_config(config, super_net, tmp_path, resume=True)
    assert (tmp_path / "history.jsonl").read_bytes() == history
    file = sorted((voc_root / "Annotations").iterdir())[-1]
    file.write_text(file.read_text().replace("</object>", "<difficult>1</difficult></object>", 1))
    with pytest.raises(UsageError, match=r"evaluation.annotations.ImageSets/Main/train.txt was .* and is now"):
        search_config(config, super_net, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("option", "fact"),
    [
        ("model.test_cfg.rcnn.nms.iou_threshold=0.3", "model.test_cfg.rcnn.nms.iou_threshold was 0.5 and is now 0.3"),
        ("model.rpn_head.anchor_generator.scales=[4]", "model.rpn_head.anchor_generator.scales was"),
        ("val_dataloader.dataset.pipeline.1.keep_ratio=False", "dataset.pipeline was"),
        ("supernet.image_scale=(96,96)", "dataset.pipeline was"),
        ("search.batch_size=3", "batch_size was 8 and is now 3"),
    ],
)
def test_a_search_goes_on_only_with_what_ranks_its_candidates(
    shapes_root: Path, super_net: Path, tmp_path: Path, option: str, fact: str
) -> None:
    few = ("search.population=2", "search.generations=0")
    config = tiny_config(shapes_root, "faster-rcnn", *few)
    search_config(config, super_net, tmp_path)
    other = tiny_config(shapes_root, "faster-rcnn", *few, option)
    with pytest.raises(UsageError, match=f"belongs to a different search: evaluation.{fact}"):
        search_config(other, super_net, tmp_path, resume=True)


def search(root: Path, super_net: Path, folder: Path, settings: dict[str, Any] | None = None, **options: Any) -> Any:
    config = tiny_config(root)
    config.search.update(settings or {})
    return search_config(config, super_net, folder, **options)


def search_config(config: Config, super_net: Path, folder: Path, **options: Any) -> Any:
    reports = {name: options.pop(name) for name in ("candidate", "images", "check") if name in options}
    return search_super_net(config, super_net, folder, CPU, SearchOptions(**options), SearchReports(**reports))


def test_files_agree_with_one_another_and_with_the_evaluator(
    shapes_root: Path, super_net: Path, tmp_path: Path
) -> None:
    result = search(shapes_root, super_net, tmp_path)
    files = SearchFiles.of(tmp_path)
    record = read_record(files.best)
    assert record.genotype == result.best.genotype
    config = tiny_config(shapes_root)
    cost = CostModel(config)
    assert all(candidate.cost == cost(candidate.genotype) for candidate in result.evaluated)
    state = torch.load(super_net, weights_only=True)["state_dict"]
    again = SuperNetEvaluator(config, state, super_net, 0.4, CPU).evaluate([result.best.genotype])
    assert again[0].metrics["AP"] == pytest.approx(result.best.fitness, abs=1e-9)
    provenance = record.metadata["provenance"]
    assert provenance["search"]["evaluation"]["super_net"] == fingerprint(super_net)
    assert provenance["search"]["evaluation"]["search_split"] == 0.4
    assert provenance["search"]["evaluation"]["classes"] == ["disk", "square", "triangle"]
    annotations = "annotations/train.json"
    assert provenance["search"]["evaluation"]["annotations"] == {annotations: fingerprint(shapes_root / annotations)}
    header = json.loads(files.history.read_text().splitlines()[0])
    assert header["settings"] == provenance["search"]


def test_the_settings_and_what_is_asked_are_recorded(shapes_root: Path, super_net: Path, tmp_path: Path) -> None:
    settings = {"population": 3, "generations": 0, "max_images": 2}
    result = search(shapes_root, super_net, tmp_path, settings=settings, strategy="random", search_split=0.2)
    assert len(result.evaluated) == 3
    recorded = json.loads(SearchFiles.of(tmp_path).history.read_text().splitlines()[0])["settings"]
    assert recorded["budget"]["top_k"] == 2
    assert recorded["evaluation"]["search_split"] == 0.2
    assert recorded["evaluation"]["num_images"] <= 2


def test_candidates_are_ranked_by_vocs_rules_where_asked(shapes_root: Path, super_net: Path, tmp_path: Path) -> None:
    settings = {"population": 4, "generations": 0, "metric": "VOC_AP50"}
    result = search(shapes_root, super_net, tmp_path, settings=settings, strategy="random")
    values = [candidate.metrics["VOC_AP50"] for candidate in result.evaluated]
    assert result.best.fitness == max(values) > 0
    assert all("AP50" in candidate.metrics for candidate in result.evaluated)


def test_images_that_were_trained_on_are_not_searched_on(shapes_root: Path, super_net: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--search-split: got 0.5 of the training images, .* held out 0.4"):
        search(shapes_root, super_net, tmp_path, search_split=0.5)
    assert not list(tmp_path.iterdir())


def test_limits_that_no_genotype_meets_name_the_smallest_cost(
    shapes_root: Path, super_net: Path, tmp_path: Path
) -> None:
    with pytest.raises(InfeasibleError, match="at most 1K MACs"):
        search(shapes_root, super_net, tmp_path, constraints=Constraints(max_macs=1000))
    assert not SearchFiles.of(tmp_path).best.exists()


def test_another_search_in_the_same_folder_is_refused(shapes_root: Path, super_net: Path, tmp_path: Path) -> None:
    settings = {"population": 2, "generations": 0}
    search(shapes_root, super_net, tmp_path, settings=settings)
    with pytest.raises(UsageError, match="add --resume to continue it"):
        search(shapes_root, super_net, tmp_path, settings=settings)
    with pytest.raises(UsageError, match="population was 2 and is now 3"):
        search(shapes_root, super_net, tmp_path, settings={**settings, "population": 3}, resume=True)


def test_images_and_the_check_are_told(shapes_root: Path, super_net: Path, tmp_path: Path) -> None:
    told: list[tuple[str, tuple[Any, ...]]] = []
    search(
        shapes_root,
        super_net,
        tmp_path,
        settings={"population": 2, "generations": 0, "max_images": 3},
        check=lambda *said: told.append(("check", said)),
        images=lambda *said: told.append(("images", said)),
        candidate=lambda said: told.append(("candidate", (said.total,))),
    )
    assert (told[0][0], told[0][1][1:]) == ("check", (0.4, 3))
    images = [said for kind, said in told if kind == "images"]
    assert images[-1] == (3, 3, 2)
    assert [kind for kind, _ in told[1:]] == ["images"] * len(images) + ["candidate"] * 2


def test_data_sets_of_one_name_in_two_folders_all_count(shapes_root: Path, tmp_path: Path) -> None:
    roots = [Path(shutil.copytree(shapes_root, tmp_path / name)) for name in ("one", "other")]
    config = tiny_config(shapes_root)
    parts = [{**config.train_dataloader.dataset, "data_root": str(root)} for root in roots]
    config.train_dataloader.dataset = dict(type="ConcatDataset", datasets=parts)
    seen = set()
    for root in roots:
        file = root / "annotations" / "train.json"
        file.write_text(file.read_text() + " ")
        seen.add(json.dumps(_annotations(config, 0.4)))
    assert len(seen) == 2


def test_a_metric_that_the_images_do_not_define_ends_the_search_and_leaves_nothing(
    shapes_root: Path, super_net: Path, tmp_path: Path
) -> None:
    settings = {"population": 2, "generations": 0, "metric": "AP_large", "halving": True}
    with pytest.raises(InvalidInputError, match=r"candidate 0: AP_large is not defined, only .*AP50.*search\.metric"):
        search(shapes_root, super_net, tmp_path, settings=settings)
    assert not list(tmp_path.iterdir())


def test_the_memory_is_settled_once_and_kept_for_the_search(
    shapes_root: Path, super_net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is free on a GPU changes, and with it the batches and the last digits of the figures."""
    used: list[float] = []
    run = PopulationPass.__init__
    monkeypatch.setattr(PopulationPass, "__init__", lambda self, *given: (used.append(given[2]), run(self, *given))[1])
    monkeypatch.setattr(evaluator, "default_memory_mb", lambda device: 70.5)
    monkeypatch.setattr(evaluator, "all_gather_object", lambda own: [own, 60.5] if own == 70.5 else [own])
    settings = {"population": 2, "generations": 1}
    search(shapes_root, super_net, tmp_path, settings=settings)
    files = SearchFiles.of(tmp_path)
    whole = files.history.read_bytes()
    recorded = json.loads(whole.splitlines()[0])["settings"]["evaluation"]
    assert (recorded["device"], recorded["memory_mb"]) == ("cpu", 60.5), "the least that any process may take"

    files.history.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    monkeypatch.setattr(evaluator, "default_memory_mb", lambda device: 10.5)
    search(shapes_root, super_net, tmp_path, settings=settings, resume=True)
    assert files.history.read_bytes() == whole
    assert set(used) == {60.5}
    with pytest.raises(UsageError, match=r"evaluation\.memory_mb was 60\.5 and is now 5\.0"):
        search(shapes_root, super_net, tmp_path, settings={**settings, "memory_mb": 5.0}, resume=True)
