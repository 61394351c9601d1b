"""``opanas profile``: what it prints, for our configs and mmdet's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from opanas_cli.commands import run
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import with_sub_net
from opanas_cli.detection.costs.profiling import detector_cost
from opanas_cli.formats import resolve_genotype

PAFPN = "mmdet::pafpn/faster-rcnn_r50_pafpn_1x_coco"


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["profile", *map(str, arguments), "--json"]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_several_configs_are_one_document_and_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["shapes", PAFPN, "--genotype", "top-down", "--image-size", "128", "64"]
    ours, theirs = document(capsys, *arguments)["detectors"]
    assert (ours["genotype"], theirs["genotype"]) == ("top-down", None)
    assert ours["image_size"] == theirs["image_size"] == [128, 64]
    cost = detector_cost(with_sub_net(load_config("shapes"), resolve_genotype("top-down")), (64, 128))
    assert ours["parts"]["whole"]["macs"] == cost.macs
    assert ours["parts"]["whole"]["trained_params"] == cost.params
    # The paper's Table 2: 45.1 M.
    assert theirs["parts"]["whole"]["trained_params"] == pytest.approx(45.1e6, rel=0.002)
    for row in (ours, theirs):
        for unit, value in row["parts"]["whole"].items():
            assert value == sum(row["parts"][part][unit] for part in ("backbone", "neck", "heads"))
    assert run(["profile", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-4] for line in lines[1:]] == ["backbone", "neck", "heads", "whole"] * 2
    assert lines[4].split()[1:] == [f"{value / 1e6:.3f}" for value in list(ours["parts"]["whole"].values())[:2]] + [
        f"{cost.macs / 1e9:.3f}"
    ]


def test_latency_comes_with_its_spread(tiny_options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ("--device", "cpu", "--cfg-options", *tiny_options)
    printed = document(capsys, "shapes", "shapes", "--genotype", "top-down", "--latency", *tiny)
    assert printed["measured"]["threads"] >= 1
    for row in printed["detectors"]:
        low, high = row["latency_ms"]["quartiles"]
        assert 0 < low <= row["latency_ms"]["median"] <= high
        assert row["fps"] == pytest.approx(1000 / row["latency_ms"]["median"])
        assert row["latency_ms"]["timings"] >= 5
    assert run(["profile", "shapes", "--genotype", "top-down", "--latency", *tiny]) == 0
    heading, *_, whole = capsys.readouterr().out.splitlines()
    assert heading.split()[-3:] == ["ms", "quartiles", "FPS"]
    assert whole.split()[-3] == "to"


def test_what_cannot_be_profiled_is_one_line(refused: Callable[..., str]) -> None:
    assert refused(2, "profile", PAFPN, "shapes").startswith("shapes: its neck is a super-net; choose a genotype")
    line = refused(2, "profile", PAFPN, "--genotype", "opa-fpn")
    assert line == "--genotype: the neck of no CONFIG is a super-net; leave it out"
    line = refused(3, "profile", f"{PAFPN}s")
    assert line.endswith("mmdet has no such config; did you mean 'pafpn/faster-rcnn_r50_pafpn_1x_coco'?")
    assert "is not in the range 32<=x<=65536" in refused(2, "profile", PAFPN, "--image-size", "31", "64")
