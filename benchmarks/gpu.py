"""What to measure on a machine with one NVIDIA GPU, at the setting of the paper, part by part.

    roofline    products of matrices (TFLOP/s) and copies (GB/s): the most that the card can do
    tests       pytest -m gpu
    step        a super-net step: shared, and as K full passes (step.py)
    evaluation  a population in one pass, and by mmdet's test loop for each candidate (evaluate.py)
    frames      frames per second of OPA-FPN, and of an FPN of 256 channels
    latency     the error of the latency table (latency.py)
    profile     where the time of a step and of an evaluation goes: kernels and host

Each part writes PART.json to the folder of results, whole or not at all, and is not run again if it is there. A part
ends within --minutes; what fails, or needs too much memory or time, is a row with an error. Weights are as they are
drawn. The table at the end sets multiply-adds against the roofline, and projects the hours of the paper's search on
COCO from the step and the evaluation.

    python benchmarks/gpu.py --results runs/gpu
    python benchmarks/gpu.py --results runs/gpu --part step profile --again
    python benchmarks/gpu.py --results runs/try --device cpu --tiny
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from evaluate import PROJECTED_CANDIDATES, PROJECTED_IMAGES
from gpu_parts import PARTS, TINY, Row, Run, Sizes
from measuring import OutOfTimeError, computing_in, free, limited_to

from opanas_cli.atomic import write_atomically
from opanas_cli.detection.processes.devices import select_device
from opanas_cli.errors import OpanasError

EPOCHS, COCO_IMAGES, FRACTION = 12, 118_287, 5
"""The paper trains the super-net for so long on a fifth of COCO's images (section 4.1.2)."""


def rows_of(part: str, run: Run, minutes: float) -> list[Row]:
    """All rows of a part. What fails is a row with an error."""
    measure, precisions = PARTS[part]
    if run.device.type == "cpu":  # It has no TF32.
        precisions = tuple(dict.fromkeys("float32" if name == "tf32" else name for name in precisions))
    rows: list[Row] = []
    try:
        with limited_to(60 * minutes):
            for precision in precisions:
                free(run.device)
                try:
                    with computing_in(precision):
                        found = measure(run, precision)
                except (Exception, SystemExit) as error:
                    found = [{"case": "", "error": f"{type(error).__name__}: {error}".partition("\n")[0]}]
                rows += [{"precision": precision, **row} for row in found]
    except OutOfTimeError:
        rows.append({"precision": precision, "case": "", "error": "out of time"})
    return rows


def projections(documents: dict[str, Any]) -> list[Row]:
    """The hours of the paper's search on COCO, from the seconds of a step and of an evaluation, by which arithmetic."""
    found = {part: documents.get(part, {"rows": []})["rows"] for part in ("step", "evaluation")}
    passes = {row["precision"]: row for row in found["evaluation"] if row["case"] == "ours"}
    rows = []
    for one in (row for row in found["step"] if row["case"] == "shared"):
        # Candidates are not evaluated in mixed precision.
        other = passes.get(one["precision"]) or passes.get("tf32") or passes.get("float32")
        if other is None:
            continue
        pair = other["seconds"] / other["candidates"] / other["images"]
        hours = EPOCHS * COCO_IMAGES / FRACTION / one["batch_size"] * one["seconds"] / 3600
        others = PROJECTED_CANDIDATES * PROJECTED_IMAGES * pair / 3600
        steps = f"{EPOCHS} × {COCO_IMAGES} / {FRACTION} / {one['batch_size']} steps × {one['seconds']:.4g} s"
        pairs = f"{PROJECTED_CANDIDATES} × {PROJECTED_IMAGES} × {1000 * pair:.4g} ms ({other['precision']})"
        arithmetic = f"{steps} = {hours:.4g} h, {pairs} = {others:.4g} h"
        facts = {"case": "COCO search", "precision": one["precision"]}
        rows.append({**facts, "gpu_hours": hours + others, "arithmetic": arithmetic})
    return rows


def with_roofline(documents: dict[str, Any]) -> dict[str, list[Row]]:
    """The rows of each part, with TFLOP/s and their share of the roofline where multiply-adds are known."""
    parts: dict[str, list[Row]] = {part: [dict(row) for row in found["rows"]] for part, found in documents.items()}
    peaks = {row["precision"]: row["tflops"] for row in parts.get("roofline", []) if "tflops" in row}
    for row in (row for rows in parts.values() for row in rows if "multiply_adds" in row):
        row["tflops"] = 2 * row["multiply_adds"] / row["seconds"] / 1e12
        if row["precision"] in peaks:
            row["share_of_roofline"] = row["tflops"] / peaks[row["precision"]]
    return {**parts, "projection": projections(documents)}


def show(parts: dict[str, list[Row]]) -> None:
    """A line for each row."""
    for part, row in ((part, row) for part, rows in parts.items() for row in rows):
        figures = [
            f"{name.replace('_', ' ')} {f'{value:.4g}' if isinstance(value, float) else value}"
            for name, value in row.items()
            if name not in ("case", "precision")
        ]
        print(f"{part:<11}{row['precision']:<9} {row['case']:<20} {', '.join(figures)}")


def kept(options: argparse.Namespace, conditions: Row) -> dict[str, Any]:
    """The results that are in the folder and stay, by their part."""
    stay = [part for part in PARTS if not (options.again and part in options.part)]
    files = {part: options.results / f"{part}.json" for part in stay}
    documents = {part: json.loads(file.read_text()) for part, file in files.items() if file.exists()}
    for part, document in documents.items():
        if document["conditions"] != conditions:
            raise SystemExit(
                f"{files[part]}: was measured under {document['conditions']}, but now they are {conditions}; name "
                "another folder for --results"
            )
    return documents


def main() -> None:
    """Measure what is missing, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("runs/gpu"), help="a folder (default: runs/gpu)")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="(default: all of them)")
    parser.add_argument("--again", action="store_true", help="measure parts that have a result again")
    parser.add_argument("--minutes", type=float, default=8, help="that a part may take (default: 8)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:i or cpu (default: cuda)")
    parser.add_argument("--tiny", action="store_true", help="try the program, at sizes whose figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    try:
        device = select_device(options.device)
    except OpanasError as error:
        parser.error(str(error))
    if options.minutes <= 0:
        parser.error("--minutes must be more than 0")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    conditions = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "tiny": options.tiny}
    documents = kept(options, conditions)
    options.results.mkdir(parents=True, exist_ok=True)
    run = Run(TINY if options.tiny else Sizes(), device, options.results)
    for part in (part for part in options.part if part not in documents):
        print(f"{part}: {options.minutes:g} minutes at most", file=sys.stderr, flush=True)
        start = time.perf_counter()
        rows = rows_of(part, run, options.minutes)
        seconds = round(time.perf_counter() - start, 1)
        documents[part] = {"version": 1, "part": part, "conditions": conditions, "seconds": seconds, "rows": rows}
        write_atomically(options.results / f"{part}.json", json.dumps(documents[part], indent=1) + "\n")
    parts = with_roofline({part: documents[part] for part in PARTS if part in documents})
    if options.json:
        print(json.dumps({"version": 1, **conditions, "parts": parts}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in conditions.items()))
    show(parts)


if __name__ == "__main__":
    main()
