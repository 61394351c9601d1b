"""What mmdet 2.28 does with exported configs: trains and tests them, and runs the neck as ours; in a new environment.

python benchmarks/old_mmdet.py --python python3.10 [--json] [--environment FOLDER]

Makes the environment by pip from Python 3.10, 4 GB with mmcv-full 1.7.2 compiled, which takes half an hour on two
cores, in a temporary folder, or uses FOLDER, where it makes it only if it is missing. Everything runs on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from upstream import NARROW, checked, installed, last_line

from opanas_cli.detection.data.shapes import generate_shapes
from opanas_cli.detection.exporting.detector_config import DETECTORS
from opanas_cli.necks import OPAFPN

MMCV = "mmcv-full==1.7.2"
PACKAGES = ["torch==2.1.2", "torchvision==0.16.2", "numpy<2", "opencv-python-headless<4.11"]
BUILD = ["setuptools<70", "wheel", "ninja"]
MMCV_NEEDS = ["addict", "packaging", "Pillow", "pyyaml", "yapf<0.40.2"]
MMDET = "mmdet==2.28.2"
MMDET_NEEDS = ["matplotlib", "pycocotools", "scipy", "six", "terminaltables"]

WIDTHS, CHANNELS, LEVELS = (8, 16, 32, 64), 16, 5
SIDES = ((40, 56), (20, 28), (10, 14), (5, 7))

NECK = """
import sys

import numpy as np
import torch
from mmcv import Config
from mmdet.models import build_neck

folder, config = sys.argv[1:]
Config.fromfile(config)  # Its custom imports register the neck.
neck = build_neck(dict(type="StandaloneOPAFPN", **{options})).double().eval()
values = np.load(folder + "/ours.npz")
state = {{name[2:]: torch.from_numpy(value) for name, value in values.items() if name.startswith("w ")}}
print("keys", neck.load_state_dict(state))
with torch.no_grad():
    outputs = neck([torch.from_numpy(values["input %d" % level]) for level in range({inputs})])
apart = [np.abs(out.numpy() - values["output %d" % level]).max() for level, out in enumerate(outputs)]
print("RESULT", max(map(float, apart)))
"""
OPTIONS = {"in_channels": list(WIDTHS), "out_channels": CHANNELS, "num_outs": LEVELS, "deformable": True}


def main() -> None:
    """Run the steps for each detector, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="python3.10", help="a Python 3.10 (python3.10)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--environment", type=Path, metavar="FOLDER", help="where the environment is or is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, started = Path(temporary), time.perf_counter()
        python = environment(options.environment or folder / "environment", options.python)
        seconds = time.perf_counter() - started
        generate_shapes(folder / "shapes", num_train=12, num_val=6)
        configs = {detector: exported(detector, folder) for detector in DETECTORS}
        rows = {detector: row_of(config, python) for detector, config in configs.items()}
        apart = distance(python, next(iter(configs.values())), folder)  # All have the same neck.
    packages = installed(python, ("torch", "mmcv-full", "mmdet", "numpy"))
    document = {
        "version": 1,
        "packages": packages,
        "environment_seconds": round(seconds),
        "detectors": rows,
        "neck apart": apart,
    }
    if options.json:
        print(json.dumps(document, indent=2))
        return
    for detector, row in rows.items():
        print(f"{detector:14}" + "  ".join(f"{name} {value}" for name, value in row.items()))
    print(f"neck apart {apart}")


def environment(folder: Path, base: str) -> Path:
    """The Python of an environment with mmdet 2.28, made by pip unless it is there."""
    python = folder.absolute() / "bin" / "python"
    if not python.exists():
        checked([base, "-m", "venv", str(folder)])
        pip = [str(python), "-m", "pip", "install", "-q"]
        checked([*pip, *PACKAGES, *BUILD, *MMCV_NEEDS, *MMDET_NEEDS])
        # opencv-python, which mmcv asks for, needs the system's libGL.
        with_operators = {**os.environ, "MMCV_WITH_OPS": "1", "FORCE_CUDA": "0"}
        checked([*pip, "--no-build-isolation", "--no-deps", MMCV], env=with_operators)
        checked([*pip, "--no-deps", MMDET])
    return python


def exported(detector: str, folder: Path) -> Path:
    """The config of a small detector, with its neck beside it."""
    config = folder / f"{detector.replace('-', '_')}.py"
    export = [sys.executable, "-m", "opanas_cli", "export", "opa-fpn", "--to", "mmdet2-config", "--dataset", "shapes"]
    settings = [*NARROW, f"data_root={folder / 'shapes'}"]
    checked([*export, "--detector", detector, "-o", str(config), "--cfg-options", *settings])
    return config


def row_of(config: Path, python: Path) -> dict[str, str]:
    """What becomes of each step with a config: ``ok``, or the last line of its error."""
    work, tools = config.with_suffix(""), python.parent.parent / "lib/python3.10/site-packages/mmdet/.mim/tools"
    checkpoint = work / "latest.pth"
    return {
        "train": outcome([python, tools / "train.py", config, "--work-dir", work]),
        "test": outcome([python, tools / "test.py", config, checkpoint, "--eval", "bbox", "--work-dir", work]),
    }


def outcome(command: list[Any]) -> str:
    """``ok``, or the last line of the error."""
    process = run(command)
    return "ok" if process.returncode == 0 else last_line(process)


def run(command: list[Any]) -> subprocess.CompletedProcess[str]:
    """Run a program of mmdet 2 without a GPU."""
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": ""}
    return subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, check=False)


def distance(python: Path, config: Path, folder: Path) -> float | str:
    """The largest difference between the outputs of the two necks with the same weights and inputs, in float64."""
    torch.manual_seed(0)
    neck = OPAFPN(genotype="opa-fpn", **OPTIONS).double().eval()
    for name, weight in neck.named_parameters():  # Offsets start at zero, and would leave the operator untried.
        torch.nn.init.normal_(weight, std=0.5 if "offset" in name else 0.1)
    inputs = [torch.rand(2, width, *side, dtype=torch.float64) for width, side in zip(WIDTHS, SIDES, strict=True)]
    with torch.no_grad():
        outputs = neck(inputs)
    values = {f"w {name}": weight for name, weight in neck.state_dict().items()}
    values |= {f"input {level}": value for level, value in enumerate(inputs)}
    values |= {f"output {level}": value for level, value in enumerate(outputs)}
    np.savez(folder / "ours.npz", **{name: value.numpy() for name, value in values.items()})
    process = run([python, "-c", NECK.format(options=OPTIONS, inputs=len(WIDTHS)), folder, config])
    found = [line.split()[1] for line in process.stdout.splitlines() if line.startswith("RESULT ")]
    return float(found[0]) if found else last_line(process)


if __name__ == "__main__":
    main()
