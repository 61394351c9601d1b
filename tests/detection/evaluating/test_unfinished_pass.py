"""What a killed pass has found, kept and taken up again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from opanas_cli.detection.evaluating.pass_result import PassResult
from opanas_cli.detection.evaluating.unfinished_pass import UnfinishedPass
from opanas_cli.detection.scoring.image_results import Detections, ImageTruth
from opanas_cli.errors import OpanasError
from opanas_cli.genotype import Genotype

ONE = Genotype.of(["top_down", "none", "bottom_up"])
OTHER = Genotype.of(["skip_connect", "top_down", "none"])
BOTH = [ONE, OTHER]
ALL = [range(10)]


def result(positions: list[int], num_candidates: int = 2, seed: int = 0) -> PassResult:
    rng = np.random.default_rng([seed, *positions])

    def truth(count: int) -> ImageTruth:
        return ImageTruth(rng.random((count, 4)), rng.integers(0, 3, count), rng.random(count) < 0.5, rng.random(count))

    def found(count: int) -> Detections:
        boxes, scores = rng.random((count, 4), dtype=np.float32), rng.random(count, dtype=np.float32)
        return Detections(boxes, scores, rng.integers(0, 3, count))

    # Some images have no truth, some no detections.
    truths = {position: truth(position % 3) for position in positions}
    return PassResult(
        truths, [{position: found(position % 4) for position in positions} for _ in range(num_candidates)]
    )


def assert_same(one: PassResult, other: PassResult) -> None:
    assert list(one.truths) == list(other.truths)
    pairs = [(one.truths[position], other.truths[position]) for position in one.truths]
    assert len(one.found) == len(other.found)
    for first, second in zip(one.found, other.found, strict=True):
        assert list(first) == list(second)
        pairs += [(first[position], second[position]) for position in first]
    for left, right in pairs:
        for name, values in vars(left).items():
            assert_array_equal(values, getattr(right, name), strict=True)


@pytest.mark.parametrize("positions", [[], [0], [3, 1, 2, 8]])
def test_arrays_hold_all_of_a_result(positions: list[int]) -> None:
    original = result(positions)
    arrays = original.arrays()
    assert all(array.dtype != object for array in arrays.values())
    if positions:
        assert_same(PassResult.from_arrays(arrays), original)
    else:
        assert original.truths == {}


def test_results_add_up_and_come_apart() -> None:
    whole, part = result([0, 1]), result([2])
    whole.add(part)
    assert list(whole.truths) == [0, 1, 2]
    last = whole.of_candidates([1])
    assert len(last.found) == 1
    assert_same(PassResult(last.truths, last.found), PassResult(whole.truths, [whole.found[1]]))


def test_what_was_added_is_known_to_the_next_process(tmp_path: Path) -> None:
    kept = UnfinishedPass(tmp_path / "evolve", "facts", seconds=0)
    kept.begin(BOTH)
    assert kept.known(0, BOTH, ALL).truths == {}
    for positions in ([0, 1], [2, 3]):
        kept.add(result(positions))

    again = UnfinishedPass(tmp_path / "evolve", "facts", seconds=0)
    again.begin(BOTH)
    expected = result([0, 1])
    expected.add(result([2, 3]))
    assert_same(again.known(0, BOTH, ALL), expected)
    again.add(result([4]))
    assert list(again.known(0, BOTH, ALL).truths) == [0, 1, 2, 3, 4]


def test_stages_are_kept_apart(tmp_path: Path) -> None:
    kept = UnfinishedPass(tmp_path, "facts", seconds=0)
    kept.begin(BOTH)
    kept.known(0, BOTH, ALL)
    kept.add(result([0]))
    assert kept.known(1, [ONE], ALL).truths == {}
    kept.add(result([5], num_candidates=1))
    assert list(kept.known(0, BOTH, ALL).truths) == [0]
    assert list(kept.known(1, [ONE], ALL).truths) == [5]
    assert kept.known(1, [OTHER], ALL).truths == {}, "another survivor has found nothing yet"


@pytest.mark.parametrize(("facts", "genotypes"), [("others", [ONE, OTHER]), ("facts", [OTHER, ONE]), ("facts", [ONE])])
def test_other_passes_are_forgotten(tmp_path: Path, facts: str, genotypes: list[Genotype]) -> None:
    kept = UnfinishedPass(tmp_path, "facts", seconds=0)
    kept.begin(BOTH)
    kept.known(0, BOTH, ALL)
    kept.add(result([0]))
    other = UnfinishedPass(tmp_path, facts, seconds=0)
    other.begin(genotypes)
    assert other.known(0, genotypes, ALL).truths == {}
    assert not list(tmp_path.iterdir())


def test_a_broken_file_counts_as_none(tmp_path: Path) -> None:
    kept = UnfinishedPass(tmp_path, "facts", seconds=0)
    kept.begin(BOTH)
    kept.known(0, BOTH, ALL)
    kept.add(result([0]))
    kept.add(result([1]))
    first, second = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:100])
    assert list(kept.known(0, BOTH, ALL).truths) == [1]
    second.write_bytes(b"")
    assert kept.known(0, BOTH, ALL).truths == {}


def test_files_are_written_now_and_then_only(tmp_path: Path) -> None:
    kept = UnfinishedPass(tmp_path / "evolve", "facts", seconds=1000)
    kept.begin(BOTH)
    kept.known(0, BOTH, ALL)
    kept.add(result([0]))
    assert not (tmp_path / "evolve").exists()


def test_delete_leaves_nothing(tmp_path: Path) -> None:
    kept = UnfinishedPass(tmp_path / "evolve", "facts", seconds=0)
    kept.begin(BOTH)
    kept.known(0, BOTH, ALL)
    kept.add(result([0]))
    kept.delete()
    kept.delete()
    assert not (tmp_path / "evolve").exists()


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "evolve").write_text("a file")
    kept = UnfinishedPass(tmp_path / "evolve", "facts", seconds=0)
    kept.begin(BOTH)
    kept.known(0, BOTH, ALL)
    with pytest.raises(OpanasError, match="cannot be written"):
        kept.add(result([0]))


def test_files_of_other_processes_are_used_and_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = UnfinishedPass(tmp_path / "evolve", "facts", seconds=0)
    for rank in (0, 1):
        monkeypatch.setattr("opanas_cli.detection.evaluating.unfinished_pass.get_rank", lambda rank=rank: rank)
        monkeypatch.setattr("opanas_cli.detection.evaluating.unfinished_pass.get_world_size", lambda: 2)
        kept.begin(BOTH)
        kept.known(0, BOTH, [])
        kept.add(result([rank, 2 + rank]))
    monkeypatch.undo()
    alone = UnfinishedPass(tmp_path / "evolve", "facts", seconds=0)
    alone.begin(BOTH)
    assert sorted(alone.known(0, BOTH, [[0, 1], [2]]).truths) == [0, 1, 2]
    alone.delete()
    assert not (tmp_path / "evolve").exists()


def test_the_rest_of_a_long_stage_is_kept(tmp_path: Path) -> None:
    kept = UnfinishedPass(tmp_path / "evolve", "facts", seconds=0)
    kept.begin(BOTH)
    kept.known(0, BOTH, ALL)
    kept.end_round()
    assert not (tmp_path / "evolve").exists()
    kept.add(result([0]))
    kept.seconds = 1000
    kept.add(result([1]))
    kept.end_round()
    kept.end_round()
    assert sorted(kept.known(0, BOTH, ALL).truths) == [0, 1]
