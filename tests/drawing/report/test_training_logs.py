"""What mmengine's logs say of a training that was interrupted, resumed, or begun anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_work_dir import LOG, write_log

from opanas_cli.drawing.report.training_logs import read_training
from opanas_cli.errors import InvalidInputError


def rows(*steps: int, loss: float = 1.0) -> list[dict[str, float]]:
    return [{"step": step, "loss": loss} for step in steps]


def test_steps_done_again_after_a_kill_count_once(tmp_path: Path) -> None:
    write_log(tmp_path, rows(10, 20, 30), "20260102_100000")
    write_log(tmp_path, rows(20, 30, 40, loss=2.0), "20260102_110000")
    training = read_training(tmp_path)
    assert training is not None
    assert [(row["step"], row["loss"]) for row in training.steps] == [(10, 1.0), (20, 2.0), (30, 2.0), (40, 2.0)]
    assert training.seconds == 2 * 90


def test_a_run_that_began_anew_hides_the_one_before(tmp_path: Path) -> None:
    write_log(tmp_path, rows(10, 20, 30), "20260102_100000")
    write_log(tmp_path, rows(10, loss=2.0), "20260102_110000")
    training = read_training(tmp_path)
    assert training is not None
    assert [(row["step"], row["loss"]) for row in training.steps] == [(10, 2.0)]


def test_metrics_are_those_of_the_last_run(tmp_path: Path) -> None:
    run = write_log(tmp_path, rows(10), "20260102_100000")
    (run / f"{run.name}.json").write_text('{"AP": 0.5, "time": 0.1}')
    training = read_training(tmp_path)
    assert training is not None and training.tested == {"AP": 0.5}
    write_log(tmp_path, rows(20), "20260102_110000")
    training = read_training(tmp_path)
    assert training is not None and training.tested == {}


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    run = write_log(tmp_path, rows(10))
    with (run / "vis_data" / "scalars.json").open("a") as file:
        file.write('{"step": 20, "lo')
    training = read_training(tmp_path)
    assert training is not None and [row["step"] for row in training.steps] == [10]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    run = write_log(tmp_path, rows(10))
    with (run / "vis_data" / "scalars.json").open("a") as file:
        file.write("{}\n[]\n")
    with pytest.raises(InvalidInputError, match=r"scalars\.json: line 3 is not an object"):
        read_training(tmp_path)


def test_a_run_that_has_not_logged_yet(tmp_path: Path) -> None:
    assert read_training(tmp_path) is None
    run = write_log(tmp_path, [])
    for name in (f"{run.name}.log", "vis_data/scalars.json", "vis_data/config.py"):
        (run / name).unlink()
    training = read_training(tmp_path)
    assert training is not None
    assert (training.steps, training.seconds, training.position(has_ended=False)) == ([], 0.0, "epoch 0 of –, step 0")


def test_settings_are_found_in_the_config_without_running_it(tmp_path: Path) -> None:
    run = write_log(tmp_path, [])
    text = "raise SystemExit\nmodel = dict(neck=dict(genotype=['top_down'], num_outs=5))\n"
    (run / "vis_data" / "config.py").write_text(text)
    training = read_training(tmp_path)
    assert training is not None
    assert training.settings == {"neck": "'top_down'"}


def test_a_clock_that_is_set_back_gives_no_negative_time(tmp_path: Path) -> None:
    run = write_log(tmp_path, rows(10))
    (run / f"{run.name}.log").write_text(LOG.replace("10:01:30", "09:00:00"))
    training = read_training(tmp_path)
    assert training is not None and training.seconds == 0.0
