"""What upstream mmdet 3.3.0 does with exported configs: builds, trains, tests and resumes them, in a new environment.

python benchmarks/upstream.py [--json] [--environment FOLDER]

Makes the environment by pip, some 6 GB, in a temporary folder, or uses FOLDER, where it makes it only if it is missing.
The mmdet that is installed beside opanas is not touched.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

PACKAGES = ["mmdet==3.3.0", "mmcv-lite==2.1.0", "mmengine==0.10.7", "torch==2.11.0", "torchvision==0.26.0"]
HEADLESS = "opencv-python-headless<4.12"
"""In place of the opencv-python that mmengine and mmcv-lite ask for, which needs the system's libGL."""
OTHERS = ["setuptools<81", HEADLESS, "numpy<2.3"]
OPANAS_NEEDS = ["click", "filelock", "jsonschema", "matplotlib", "networkx", "rich", "scipy"]

NARROW = (
    "model.backbone.base_channels=8",
    "model.backbone.stem_channels=8",
    "model.neck.in_channels=[8,16,32,64]",
    "model.neck.deformable=True",
    "retrain.image_scale=(64,64)",
    "retrain.batch_size=4",
    "retrain.epochs=2",
    "retrain.milestones=[]",
)
"""What makes the exported detector small; every operator that it needs stays."""

PROGRAM = """
import sys
import opanas_cli.detection  # For its stand-ins of mmcv's operators, which mmcv-lite has not.
from mmengine.config import Config
from mmengine.runner import Runner

config = Config.fromfile(sys.argv[1])
config.work_dir = sys.argv[2]
config.log_level = "ERROR"

def run(name, step):
    try:
        step()
        print("RESULT", name, "ok")
    except Exception as error:
        print("RESULT", name, type(error).__name__ + ": " + " ".join(str(error).split())[:200])

runner = None
def build():
    global runner
    runner = Runner.from_cfg(config)

def resume():
    config.resume, config.train_cfg.max_epochs = True, 3
    config.experiment_name = "resumed"
    again = Runner.from_cfg(config)
    again.train()
    assert (again.epoch, again.iter) == (3, 9), f"ended at epoch {again.epoch}, step {again.iter}"

for name, step in dict(build=build, train=lambda: runner.train(), test=lambda: runner.test(), resume=resume).items():
    run(name, step)
"""

STEPS = ("build", "train", "test", "resume")


def main() -> None:
    """Run the steps for both kinds of config, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--environment", type=Path, metavar="FOLDER", help="where the environment is or is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        started = time.perf_counter()
        python = environment(options.environment or Path(temporary) / "environment")
        seconds = time.perf_counter() - started
        rows = {kind: steps_of(kind, python, Path(temporary)) for kind in ("plain", "standalone")}
    names = {package.split("==")[0] for package in PACKAGES} | {"numpy", "setuptools"}
    document = {
        "version": 1,
        "packages": installed(python, names),
        "environment_seconds": round(seconds),
        "configs": rows,
    }
    if options.json:
        print(json.dumps(document, indent=2))
        return
    for kind, row in rows.items():
        for step in STEPS:
            print(f"{kind:10} {step:7} {row[step]}")


def environment(folder: Path) -> Path:
    """The Python of an environment with upstream's packages, made by pip unless it is there."""
    python = folder / "bin" / "python"
    if not python.exists():
        checked([sys.executable, "-m", "venv", str(folder)])
        pip = [str(python), "-m", "pip"]
        checked([*pip, "install", "-q", *PACKAGES, *OTHERS, *OPANAS_NEEDS])
        # Both have the same files: with the one, those of the other go.
        checked([*pip, "uninstall", "-q", "-y", "opencv-python"])
        checked([*pip, "install", "-q", "--force-reinstall", "--no-deps", HEADLESS])
    return python


def installed(python: Path, names: Collection[str]) -> dict[str, str]:
    """The versions of packages in an environment."""
    listed = json.loads(checked([str(python), "-m", "pip", "list", "--format", "json"]))
    return {entry["name"]: entry["version"] for entry in listed if entry["name"] in names}


def steps_of(kind: str, python: Path, folder: Path) -> dict[str, Any]:
    """What becomes of each step with a config that this opanas exports: ``ok``, or the error."""
    from opanas_cli.detection.data.shapes import generate_shapes

    data, root = folder / "shapes", Path(__file__).parent.parent
    if not data.exists():
        generate_shapes(data, num_train=12, num_val=6)
    config = folder / kind / "winner.py"
    config.parent.mkdir()
    flags = ["--standalone"] if kind == "standalone" else []
    export = [sys.executable, "-m", "opanas_cli", "export", "opa-fpn", "--to", "mmdet-config", "--dataset", "shapes"]
    checked([*export, "-o", str(config), *flags, "--cfg-options", *NARROW, f"data_root={data}"], root)
    command = [str(python), "-c", PROGRAM, str(config), str(config.parent / "work")]
    process = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    lines = [line.split(maxsplit=2)[1:] for line in process.stdout.splitlines() if line.startswith("RESULT ")]
    found = dict(lines)
    return {step: found.get(step, f"not reached: {last_line(process)}") for step in STEPS}


def last_line(process: subprocess.CompletedProcess[str]) -> str:
    """What a program said last of its error."""
    return (process.stderr.strip().splitlines() or ["no message"])[-1]


def checked(command: list[str], folder: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """The output of a command; a failure ends the program with its message."""
    process = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if process.returncode:
        sys.exit(f"{' '.join(command[:4])} … failed: {process.stderr[-2000:]}")
    return process.stdout


if __name__ == "__main__":
    main()
