"""``opanas search`` from end to end on a tiny data set: its files, and that it goes on from wherever it was cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from without_spent import results_of

from opanas_cli.commands import run

SMALL = ("search.population=4", "search.generations=1", "search.top_k=2", "checkpoints.steps=1")
NARROW = ("model.backbone.base_channels=8", "model.backbone.stem_channels=8", "model.neck.in_channels=[8,16,32,64]")
"""What is compared with an FPN must be of a width at which that has the same MACs."""
STAGES = ("train-supernet", "evolve", "retrain")


@pytest.fixture(scope="module", autouse=True)
def plain_configs(still_clock: None) -> Iterator[None]:
    """Half of the start of a run is to lay its config out prettily, several times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **_: (text, True))
        yield


def search(folder: Path, options: tuple[str, ...], *more: str) -> list[str]:
    return ["search", "shapes", "--work-dir", str(folder), "--device", "cpu", *more, "--cfg-options", *options, *SMALL]


@pytest.fixture(scope="module")
def whole(tiny_options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work dir of an undisturbed search."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run(search(folder, tiny_options, "-q")) == 0
    return folder


def test_a_search_writes_what_the_single_commands_write(
    whole: Path, tiny_options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--work-dir", str(tmp_path), "--device", "cpu", "-q", "--cfg-options", *tiny_options, *SMALL]
    super_net, best = tmp_path / "supernet.pth", tmp_path / "best.json"
    assert run(["train-supernet", "shapes", *options]) == 0
    assert run(["evolve", "shapes", str(super_net), *options]) == 0
    assert run(["retrain", "shapes", "--genotype", str(best), *options]) == 0
    assert_same_results(tmp_path, whole)
    text = (whole / "winner.py").read_text()
    assert "OPAFPN" in text
    assert (
        run(
            [
                "export",
                str(best),
                "--to",
                "mmdet-config",
                "--dataset",
                "shapes",
                *options[-len(SMALL) - len(tiny_options) - 1 :],
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.endswith(text)


def assert_same_results(left: Path, right: Path) -> None:
    for name in ("supernet.pth", "detector.pth"):
        assert (left / name).read_bytes() == (right / name).read_bytes(), name
    first, second = results_of(left), results_of(right)
    for record in (first[2], second[2]):
        record["metadata"]["provenance"].pop("super_net")
    assert first[0] == second[0]
    assert first[2] == second[2]


def interrupted_in(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """Press Ctrl-C in the middle of a stage."""
    from opanas_cli.detection.training.resumable_loop import ResumableTrainLoop
    from opanas_cli.search import History

    where: Any = {
        "train-supernet": (ResumableTrainLoop, "run_iter"),
        "evolve": (History, "append"),
        "retrain": (ResumableTrainLoop, "run_iter"),
    }[stage]
    original, calls = getattr(*where), []

    def cut(self: Any, *arguments: Any) -> Any:
        is_stage = stage == "evolve" or self.runner.work_dir.endswith(stage)
        calls.extend([None] * is_stage)
        if is_stage and len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(*where, cut)


def test_cut_in_each_stage_and_resumed_it_ends_as_an_undisturbed_one(
    whole: Path, tiny_options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    for stage in STAGES:
        with pytest.MonkeyPatch.context() as patch:
            interrupted_in(patch, stage)
            assert run(search(folder, tiny_options, "-q", "--resume")) == 130
        assert capsys.readouterr().err == "opanas: interrupted; continue with --resume\n"
        seconds = json.loads((folder / "search.json").read_text())["seconds"]
        assert list(seconds) == list(STAGES[: STAGES.index(stage) + 1])
    assert run(search(folder, tiny_options, "-q", "--resume")) == 0
    assert_same_results(folder, whole)
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}


def test_a_finished_search_is_found_and_another_is_refused(
    whole: Path, tiny_options: tuple[str, ...], refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(2, *search(whole, tiny_options, "-q"))
    assert said == f"{whole / 'supernet.pth'}: already exists; add --resume to continue, or choose another --work-dir"
    summary = (whole / "search.json").read_bytes()
    assert "lr was" in refused(2, *search(whole, (*tiny_options, "supernet.lr=0.5"), "-q", "--resume"))
    assert (whole / "search.json").read_bytes() == summary
    before = json.loads(summary)
    assert run(search(whole, tiny_options, "--resume", "--json")) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert f"{whole / 'supernet.pth'}: is already finished; nothing to do" in err
    assert "2/3 search: 8/8" in err
    assert {**document, "seconds": 0} == {**before, "seconds": 0, "files": document["files"]}
    assert list(document["stages"]) == list(STAGES)
    assert document["winner"] == document["stages"]["evolve"]["best"]["genotype"]
    assert all(document["seconds"][stage] >= before["seconds"][stage] for stage in STAGES)
    assert document["seconds"]["total"] == pytest.approx(sum(document["seconds"][stage] for stage in STAGES))
    assert all(Path(path).exists() for path in document["files"].values())


def test_a_comparison_in_place_of_the_last_training(
    tiny_options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Callable[..., str]
) -> None:
    options = (*tiny_options, *NARROW, "model.neck.deformable=True", "supernet.method=darts", "supernet.sampling=all")
    said = refused(3, *search(tmp_path, options, "-q", "--against", "fpn,nothing.json"))
    assert said.startswith("nothing.json: ")
    assert not list(tmp_path.iterdir())
    assert run(search(tmp_path, options, "--json", "--against", "fpn", "--seeds", "2")) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["stages"]) == ["train-supernet", "compare"], "a mixture names its genotype itself"
    assert [network["name"] for network in document["stages"]["compare"]["networks"]] == ["winner", "fpn"]
    assert document["stages"]["compare"]["networks"][0]["genotype"] == document["winner"]
    assert {"comparison.json", "comparison.svg", "winner-0", "winner-1", "fpn-0", "fpn-1"} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_limits_hold_for_the_winner(tiny_options: tuple[str, ...], tmp_path: Path, refused: Callable[..., str]) -> None:
    line = refused(5, *search(tmp_path / "run", tiny_options, "-q", "--max-macs", "1K"))
    assert "1,000" in line or "1K" in line
    line = refused(3, *search(tmp_path / "other", (*tiny_options, "val_dataloader=None"), "-q"))
    assert "val_dataloader" in line
    line = refused(2, *search(tmp_path / "other", (*tiny_options, "supernet.search_split=0"), "-q"))
    assert line.startswith("supernet.search_split: is 0")
    line = refused(2, *search(tmp_path / "other", tiny_options, "-q", "--search-split", "0.9"))
    assert line.startswith("--search-split: got 0.9 of the training images"), "before the super-net is trained"
    line = refused(2, *search(tmp_path / "other", tiny_options, "-q", "--seeds", "2"))
    assert line.startswith("--seeds: without --against")
    for asked in (("--max-macs", "1G"), ("--search-split", "0")):
        line = refused(2, *search(tmp_path / "other", (*tiny_options, "supernet.method=darts"), "-q", *asked))
        assert line.startswith("supernet.method: darts names one genotype")
    assert not (tmp_path / "other").exists()


def test_candidates_are_evaluated_on_the_validation_set_if_asked_for(
    tiny_options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*tiny_options, "supernet.search_split=0")
    assert run(search(tmp_path, options, "--search-split", "0")) == 0
    assert "the search uses the validation set" in capsys.readouterr().err
    found = json.loads((tmp_path / "best.json").read_text())["metadata"]["provenance"]
    assert found["search"]["evaluation"]["search_split"] == 0
    assert json.loads((tmp_path / "search.json").read_text())["stages"]["retrain"]
