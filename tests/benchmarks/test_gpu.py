"""The parts of the benchmark of a GPU, tiny and on a CPU."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]


def test_multiply_adds_are_those_by_hand(program: Callable[[str], ModuleType]) -> None:
    import torch

    weight, image = torch.rand(4, 3, 3, 3, requires_grad=True), torch.rand(2, 3, 8, 8)
    call = lambda: torch.nn.functional.conv2d(image, weight).sum().backward()  # noqa: E731
    # 2 images of 6×6 outputs, forward and once more for the gradient of the weight.
    assert program("measuring").multiply_adds(call) == 2 * (2 * 6 * 6 * 4 * 27)


GPU_TESTS = """
import pytest

pytestmark = pytest.mark.gpu

def test_good(): pass

def test_bad(): assert False

@pytest.mark.skipif(True, reason="-")
def test_left_out(): pass
"""


def test_gpu(
    program: Callable[[str], ModuleType], document: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import opanas_cli.detection.costs.latency as latency

    (tmp_path / "test_gpu.py").write_text(GPU_TESTS)
    gpu, step = program("gpu"), program("step")
    monkeypatch.setattr(gpu, "TINY", dataclasses.replace(gpu.TINY, tests=str(tmp_path / "test_gpu.py")))
    monkeypatch.setitem(gpu.PARTS, "step", (gpu.PARTS["step"][0], ("bfloat16",)))
    # In this process, and a few rounds only.
    monkeypatch.setattr(step, "_process_peak", lambda *_: 1.0)
    monkeypatch.setattr(latency, "FEWEST_ROUNDS", 1)
    monkeypatch.setattr(latency, "MOST_ROUNDS", 1)
    options = ["--device", "cpu", "--tiny", "--results", tmp_path / "results"]
    parts = document("gpu", *options)["parts"]
    assert list(parts) == [*gpu.PARTS, "projection"]
    assert [row for rows in parts.values() for row in rows if "error" in row or not rows] == []
    tested = parts["tests"][0]
    assert [tested[name] for name in ("passed", "failed", "errors", "skipped")] == [1, 1, 0, 1]
    assert [name.rpartition("::")[2] for name in tested["broken"]] == ["test_bad"]
    assert {row["case"] for row in parts["step"]} == {"reference", "full_passes", "shared"}
    shared = next(row for row in parts["step"] if row["case"] == "shared")
    peaks = {row["precision"]: row["tflops"] for row in parts["roofline"]}
    assert shared["share_of_roofline"] == pytest.approx(shared["tflops"] / peaks["bfloat16"])
    assert [row["precision"] for row in parts["projection"]] == ["bfloat16"]

    # Nothing is measured again, unless asked for, nor mixed with what was measured elsewhere.
    measured: list[str] = []
    monkeypatch.setattr(gpu, "rows_of", lambda part, *_: measured.append(part) or [])
    assert document("gpu", *options)["parts"] == parts
    assert measured == []
    document("gpu", *options, "--part", "step", "--again")
    assert measured == ["step"]
    with pytest.raises(SystemExit, match=r"roofline\.json: was measured under .*'tiny': True"):
        document("gpu", "--device", "cpu", "--results", tmp_path / "results")


def test_a_gpu_part_that_fails_is_an_error_in_its_row(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    gpu, parts = program("gpu"), program("gpu_parts")
    run = gpu.Run(gpu.TINY, torch.device("cpu"), tmp_path)

    def too_large(batch: int) -> list[dict[str, Any]]:
        if batch > 1:
            raise torch.cuda.OutOfMemoryError
        return [{"case": "shared"}]

    def stuck(*_: object) -> None:
        try:
            time.sleep(60)
        except Exception:
            pytest.fail("was kept")

    for minutes, measure, expected in (
        (1, lambda *_: parts.at_the_batch_that_fits(run, too_large), [("", 2, "out of memory"), ("shared", 1, None)]),
        (1, lambda *_: 1 / 0, [("", None, "ZeroDivisionError: division by zero")]),
        (0.01, stuck, [("", None, "out of time")]),
    ):
        monkeypatch.setitem(gpu.PARTS, "step", (measure, ("float32",)))
        rows = gpu.rows_of("step", run, minutes)
        assert [(row["case"], row.get("batch_size"), row.get("error")) for row in rows] == expected


def test_the_projected_hours_are_those_by_hand(program: Callable[[str], ModuleType]) -> None:
    step = {"case": "shared", "precision": "bfloat16", "batch_size": 16, "seconds": 2.0}
    judged = {"case": "ours", "precision": "tf32", "candidates": 50, "images": 10, "seconds": 5.0}
    (row,) = program("gpu").projections({"step": {"rows": [step]}, "evaluation": {"rows": [judged]}})
    # 17743 steps of 2 s, and 3 million images of 10 ms.
    assert row["gpu_hours"] == pytest.approx((12 * 118287 / 5 / 16 * 2 + 600 * 5000 * 0.01) / 3600)
