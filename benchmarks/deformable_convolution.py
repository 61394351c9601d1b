"""Times our deformable convolution against torchvision's, forward and backward, in one run.

Prints a table, or with --json one document. The operators take turns and the fastest run of each counts, so
that other work on the machine disturbs little.

    python benchmarks/deformable_convolution.py --device cpu --repeats 20
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F

from opanas_cli.necks.deformable import deform_conv2d

SIZES = [(8, 32, 16, 16), (8, 32, 8, 8), (1, 112, 40, 40), (2, 112, 64, 64), (1, 256, 50, 50)]
"""(B, C, H, W): levels of a small super-net, of OPA-FPN@112 and of a neck @256."""

OPERATORS: dict[str, Callable[..., Tensor]] = {
    "ours": lambda input, offset, weight, bias: deform_conv2d(input, offset, weight, bias, padding=1),
    "torchvision": lambda *arguments: torchvision.ops.deform_conv2d(*arguments, padding=1),
    "plain": lambda input, offset, weight, bias: F.conv2d(input, weight, bias, padding=1),
}


def measure(size: tuple[int, int, int, int], device: torch.device, repeats: int, seed: int) -> dict[str, Any]:
    """Milliseconds of each operator for one input size (fastest run), and how far ours is from torchvision's."""
    batch, channels, height, width = size
    generator = torch.Generator().manual_seed(seed)
    shapes = [size, (batch, 18, height, width), (channels, channels, 3, 3), (channels,)]
    arguments = [torch.randn(shape, generator=generator).to(device).requires_grad_() for shape in shapes]
    gradient = torch.randn(size, generator=generator).to(device)
    forward_ms: dict[str, list[float]] = {name: [] for name in OPERATORS}
    backward_ms: dict[str, list[float]] = {name: [] for name in OPERATORS}
    results: dict[str, list[Tensor]] = {}
    for repeat in range(repeats + 1):
        for name, operator in OPERATORS.items():
            start = _now(device)
            output = operator(*arguments)
            middle = _now(device)
            gradients = torch.autograd.grad(output, arguments, gradient, allow_unused=True)
            end = _now(device)
            results[name] = [output.detach(), *gradients]
            if repeat > 0:  # The first one warms up.
                forward_ms[name].append(1000 * (middle - start))
                backward_ms[name].append(1000 * (end - middle))
    row: dict[str, Any] = {"size": list(size)}
    for direction, samples in (("forward", forward_ms), ("backward", backward_ms)):
        fastest = {name: min(values) for name, values in samples.items()}
        row[direction] = {f"{name}_ms": value for name, value in fastest.items()}
        row[direction]["times_faster"] = fastest["torchvision"] / fastest["ours"]
    row["max_relative_difference"] = max(map(_relative_difference, results["ours"], results["torchvision"]))
    return row


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _relative_difference(left: Tensor, right: Tensor) -> float:
    return ((left - right).abs().max() / right.abs().max()).item()


def print_table(rows: list[dict[str, Any]]) -> None:
    """One line a size: milliseconds of ours, torchvision's and the plain convolution, and torchvision's over ours."""
    print(f"{'':18} {'forward, ms':>35} {'backward, ms':>40}")
    names = f"{'ours':>9}{'torchvision':>13}{'plain':>8}{'ratio':>8}"
    print(f"{'input (B, C, H, W)':18}{names}  {names}  {'difference':>12}")
    for row in rows:
        line = f"{', '.join(map(str, row['size'])):18}"
        for direction in ("forward", "backward"):
            part = row[direction]
            line += f"{part['ours_ms']:9.2f}{part['torchvision_ms']:13.2f}{part['plain_ms']:8.2f}"
            line += f"{part['times_faster']:7.1f}×  "
        print(f"{line}{row['max_relative_difference']:12.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:i (default: cpu)")
    parser.add_argument("--repeats", type=int, default=10, help="timed runs of each operator (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of inputs and offsets (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, but got {options.repeats}")
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: this machine has no CUDA device; use --device cpu")
    rows = [measure(size, device, options.repeats, options.seed) for size in SIZES]
    if options.json:
        versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
        print(json.dumps({"device": str(device), "threads": torch.get_num_threads(), **versions, "rows": rows}))
    else:
        print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32")
        print_table(rows)


if __name__ == "__main__":
    main()
