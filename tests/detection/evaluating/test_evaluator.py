"""The evaluator against the obvious slow way: each sub-net as a detector of its own, run by mmdet's test loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image
from tiny_config import GENOTYPES, sure_weights, tiny_config

from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.necks import with_sub_net
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.evaluating.pass_result import PassResult
from opanas_cli.detection.evaluating.population_pass import PopulationPass
from opanas_cli.detection.evaluating.unfinished_pass import UnfinishedPass
from opanas_cli.detection.quiet import silenced
from opanas_cli.errors import InvalidConfigError, InvalidGenotypeError
from opanas_cli.genotype import Genotype
from opanas_cli.necks import inherited_state_dict
from opanas_cli.stage_settings import SearchSection

CPU = torch.device("cpu")


def stand_alone(config: Config, state: dict[str, torch.Tensor], genotype: Genotype, work_dir: Path) -> Runner:
    """mmengine's own runner of the sub-net as a detector of its own, on the validation set."""
    stage = with_sub_net(config, genotype, edge_importance=True)
    for name in ("supernet", "search", "retrain"):
        stage.pop(name)
    stage.update(work_dir=str(work_dir), test_cfg=dict(type="TestLoop"), train_dataloader=None)
    stage.update(val_dataloader=None, val_evaluator=None, experiment_name=work_dir.name)
    for transform in stage.test_dataloader.dataset.pipeline:
        if transform["type"] == "Resize":
            transform["scale"] = (64, 64)
    with silenced():
        parent = build_detector(config)
        parent.load_state_dict(state)
        runner = Runner.from_cfg(stage)
    neck = inherited_state_dict(parent.neck, genotype)
    rest = {name: value for name, value in state.items() if not name.startswith("neck.")}
    runner.model.load_state_dict({**rest, **{f"neck.{name}": value for name, value in neck.items()}})
    return runner


def found_by(runner: Runner, root: Path, target: Path) -> Path:
    """A data set whose truth is what a detector found, the best three boxes an image: so that AP is not next to 0."""
    document = json.loads((root / "annotations" / "val.json").read_text())
    annotations: list[dict[str, Any]] = []
    runner.model.eval()
    with torch.inference_mode():
        samples = [sample for batch in runner.test_dataloader for sample in runner.model.test_step(batch)]
    for sample in samples:
        for box, label in zip(sample.pred_instances.bboxes[:3], sample.pred_instances.labels[:3], strict=True):
            x1, y1, x2, y2 = box.tolist()
            where = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            names = {"id": len(annotations) + 1, "image_id": sample.img_id, "category_id": int(label) + 1}
            annotations.append({**names, **where})
    (target / "annotations").mkdir(parents=True)
    (target / "annotations" / "val.json").write_text(json.dumps({**document, "annotations": annotations}))
    (target / "val").symlink_to(root / "val")
    return target


@pytest.mark.parametrize("detector", ["faster-rcnn", "cascade-rcnn", "retinanet"])
def test_metrics_are_those_of_the_stand_alone_sub_nets(shapes_root: Path, tmp_path: Path, detector: str) -> None:
    config = tiny_config(shapes_root, detector)
    state = sure_weights(config)
    first = stand_alone(config, state, GENOTYPES[0], tmp_path / f"{detector}-first")
    config = tiny_config(found_by(first, shapes_root, tmp_path / "data"), detector)

    evaluator = SuperNetEvaluator(config, state, "test", 0.0, CPU, SearchSection(batch_size=4))
    assert evaluator.num_images == 6
    ours = evaluator.evaluate(GENOTYPES)
    assert ours[0].metrics["AP"] > 0.3, "a detector that finds nothing tells nothing"
    assert len({one.metrics["AP"] for one in ours}) == len(GENOTYPES)
    for index, genotype in enumerate(GENOTYPES):
        runner = stand_alone(config, state, genotype, tmp_path / f"{detector}-{index}")
        with silenced():
            theirs = {name.split("/")[-1]: value for name, value in runner.test().items()}
        assert ours[index].metrics == pytest.approx(theirs, abs=1e-6)


def with_flat_images(root: Path, target: Path) -> Path:
    """The validation images with every other one squeezed to half its height, and no objects."""
    document = json.loads((root / "annotations" / "val.json").read_text())
    (target / "val").mkdir(parents=True)
    for place, facts in enumerate(document["images"]):
        image = Image.open(root / "val" / facts["file_name"])
        facts["height"] //= 1 + place % 2
        image.resize((facts["width"], facts["height"])).save(target / "val" / facts["file_name"])
    (target / "annotations").mkdir()
    (target / "annotations" / "val.json").write_text(json.dumps({**document, "annotations": []}))
    return target


def test_a_genotype_is_judged_alike_alone_and_in_company_and_whatever_the_batch(
    shapes_root: Path, tmp_path: Path
) -> None:
    """Images of other shapes in its batch would pad an image, and group norm would see that."""
    norm = dict(type="GN", num_groups=1)
    root = with_flat_images(shapes_root, tmp_path / "flat")
    config = tiny_config(root)
    config.model.neck.update(norm_cfg=norm, output_norm_cfg=norm)
    state = sure_weights(config)
    first = stand_alone(config, state, GENOTYPES[0], tmp_path / "first")
    config = tiny_config(found_by(first, root, tmp_path / "data"))
    config.model.neck.update(norm_cfg=norm, output_norm_cfg=norm)

    evaluator = SuperNetEvaluator(config, state, "test", 0.0, CPU, SearchSection(batch_size=2))
    together = evaluator.evaluate(GENOTYPES)
    assert together == evaluator.evaluate(GENOTYPES), "the same again, to the last digit"
    assert together[0].metrics["AP"] > 0.3
    other = SuperNetEvaluator(config, state, "test", 0.0, CPU, SearchSection(batch_size=3))
    assert [len(batch) for batch in other._batches(range(6))] == [3, 3]
    alone = SuperNetEvaluator(config, state, "test", 0.0, CPU, SearchSection(batch_size=1))
    for again in (
        alone.evaluate(GENOTYPES),
        [evaluator.evaluate([genotype])[0] for genotype in GENOTYPES],
        list(reversed(evaluator.evaluate(GENOTYPES[::-1]))),
        other.evaluate(GENOTYPES),
    ):
        for found, expected in zip(again, together, strict=True):
            assert found.metrics == pytest.approx(expected.metrics, abs=1e-6)


def test_detections_are_those_of_the_stand_alone_sub_nets(shapes_root: Path, tmp_path: Path) -> None:
    config = tiny_config(shapes_root)
    state = sure_weights(config)
    evaluator = SuperNetEvaluator(config, state, "test", 0.0, CPU, SearchSection(batch_size=2))
    found = evaluator._pass(GENOTYPES, 0).found
    for index, genotype in enumerate(GENOTYPES):
        runner = stand_alone(config, state, genotype, tmp_path / f"{index}")
        runner.model.eval()
        with torch.inference_mode():
            samples = [sample for batch in runner.test_dataloader for sample in runner.model.test_step(batch)]
        assert len(samples) == len(found[index]) == 6
        for position, sample in enumerate(samples):
            ours, theirs = found[index][position], sample.pred_instances
            assert len(theirs) > 0
            # Of detections that are all but equal in score the order may differ.
            order, expected = np.lexsort(rounded(ours.boxes)), np.lexsort(rounded(theirs.bboxes.numpy()))
            np.testing.assert_allclose(ours.boxes[order], theirs.bboxes.numpy()[expected], atol=1e-3)
            np.testing.assert_allclose(ours.scores[order], theirs.scores.numpy()[expected], atol=1e-5)
            np.testing.assert_array_equal(ours.labels[order], theirs.labels.numpy()[expected])


def test_little_memory_gives_the_same_figures(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    state = sure_weights(config)
    parts = []
    for memory_mb in (None, 0.3, 1e-6):
        section = SearchSection(batch_size=3, memory_mb=memory_mb)
        evaluator = SuperNetEvaluator(config, state, "test", 0.0, CPU, section)
        parts.append(evaluator._pass(GENOTYPES, 0))
    for other in parts[1:]:
        for found, expected in zip(other.found, parts[0].found, strict=True):
            assert list(found) == list(expected)
            for position, detections in found.items():
                np.testing.assert_allclose(detections.scores, expected[position].scores, atol=1e-5)


def rounded(boxes: np.ndarray) -> np.ndarray:
    return np.round(boxes, 1).T


def test_the_worse_half_is_judged_on_a_quarter_of_the_images(shapes_root: Path, tmp_path: Path) -> None:
    config = tiny_config(shapes_root)
    state = sure_weights(config)
    first = stand_alone(config, state, GENOTYPES[0], tmp_path / "first")
    config = tiny_config(found_by(first, shapes_root, tmp_path / "data"))
    arguments = (config, state, "test", 0.0)

    whole = SuperNetEvaluator(*arguments, CPU, SearchSection(batch_size=2)).evaluate(GENOTYPES)
    quarter = SuperNetEvaluator(*arguments, CPU, SearchSection(max_images=2, batch_size=2)).evaluate(GENOTYPES)
    halving = SuperNetEvaluator(*arguments, CPU, SearchSection(batch_size=2, halving=True))
    assert [len(stage) for stage in halving.rounds] == [2, 4]
    metrics = halving.evaluate(GENOTYPES)

    better = sorted(range(3), key=lambda index: -quarter[index].metrics["AP"])[:2]
    for index, found in enumerate(metrics):
        expected, share = (whole[index], 1.0) if index in better else (quarter[index], 2 / 6)
        assert found.metrics == pytest.approx(expected.metrics, abs=1e-6)
        assert found.image_share == share


def test_all_are_judged_on_all_images_if_the_quarter_has_no_object_of_the_metric(
    shapes_root: Path, tmp_path: Path
) -> None:
    config = tiny_config(shapes_root)
    state = sure_weights(config)
    first = stand_alone(config, state, GENOTYPES[0], tmp_path / "first")
    data = found_by(first, shapes_root, tmp_path / "data")
    config = tiny_config(data)
    halving = SuperNetEvaluator(config, state, "test", 0.0, CPU, SearchSection(metric="AP_medium", halving=True))
    quarter = {halving.dataset[position]["data_samples"].img_id for position in halving.rounds[0]}
    file = data / "annotations" / "val.json"
    document = json.loads(file.read_text())
    kept = [one for one in document["annotations"] if one["area"] < 32**2 or one["image_id"] not in quarter]
    assert any(one["area"] > 32**2 for one in kept)
    file.write_text(json.dumps({**document, "annotations": kept}))

    halving, whole = (
        SuperNetEvaluator(config, state, "test", 0.0, CPU, SearchSection(metric="AP_medium", halving=halves))
        for halves in (True, False)
    )
    metrics = halving.evaluate(GENOTYPES)
    assert "AP_medium" in metrics[0].metrics
    for found, expected in zip(metrics, whole.evaluate(GENOTYPES), strict=True):
        assert found.metrics == pytest.approx(expected.metrics, abs=1e-6)


def test_a_killed_pass_is_taken_up_where_it_was(
    shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(shapes_root)
    evaluator = SuperNetEvaluator(config, sure_weights(config), "test", 0.0, CPU, SearchSection(batch_size=2))
    expected = evaluator.evaluate(GENOTYPES)
    original, runs = PopulationPass.run, []

    def killed(self: PopulationPass, batch: Any, positions: Any) -> PassResult:
        runs.append(list(positions))
        if runs == [[0, 1], [2, 3]]:
            raise KeyboardInterrupt
        return original(self, batch, positions)

    monkeypatch.setattr(PopulationPass, "run", killed)
    evaluator.unfinished = UnfinishedPass(tmp_path / "evolve", "facts", seconds=0)
    with pytest.raises(KeyboardInterrupt):
        evaluator.evaluate(GENOTYPES)
    assert evaluator.evaluate(GENOTYPES) == expected
    assert runs == [[0, 1], [2, 3], [2, 3], [4, 5]]


def test_survivors_of_a_changed_ranking_do_not_get_the_boxes_of_others(
    shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of torch or another device may rank close candidates the other way round."""
    config = tiny_config(shapes_root)
    state = sure_weights(config)
    first = stand_alone(config, state, GENOTYPES[0], tmp_path / "first")
    config = tiny_config(found_by(first, shapes_root, tmp_path / "data"))
    evaluator = SuperNetEvaluator(config, state, "test", 0.0, CPU, SearchSection(batch_size=2, halving=True))
    monkeypatch.setattr(evaluator, "_better_half", lambda metrics: [0, 1])
    evaluator.unfinished = UnfinishedPass(tmp_path / "evolve", "facts", seconds=0)
    evaluator.evaluate(GENOTYPES)
    monkeypatch.setattr(evaluator, "_better_half", lambda metrics: [1, 2])
    resumed = evaluator.evaluate(GENOTYPES)
    evaluator.unfinished = None
    expected = evaluator.evaluate(GENOTYPES)
    assert resumed == expected
    assert expected[1].metrics["AP"] != expected[2].metrics["AP"]


def test_the_heads_are_left_as_they_were(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    evaluator = SuperNetEvaluator(config, sure_weights(config), "test", 0.4, CPU, SearchSection(max_images=2))
    before = {name: value.clone() for name, value in evaluator.detector.state_dict().items()}
    assert evaluator.num_images == 2
    evaluator.evaluate(GENOTYPES)
    assert "extract_feat" not in vars(evaluator.detector)
    assert all(torch.equal(value, before[name]) for name, value in evaluator.detector.state_dict().items())


def test_other_genotypes_and_other_necks_are_refused(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    state = sure_weights(config)
    evaluator = SuperNetEvaluator(config, state, "test", 0.4, CPU)
    with pytest.raises(InvalidGenotypeError, match="got a dense one of 5 nodes"):
        evaluator.evaluate([Genotype.of(["top_down"] * 15)])
    with pytest.raises(InvalidGenotypeError, match="the output is dead"):
        evaluator.evaluate([Genotype.of(["none"] * 3)])
    with pytest.raises(InvalidConfigError, match="its neck is already that of one genotype"):
        SuperNetEvaluator(with_sub_net(config, GENOTYPES[0]), state, "test", 0.4, CPU)
