"""Times one super-net step in three ways, and measures the memory that each takes.

    reference     K full passes of the detector, with torchvision's deformable convolution, which is mmcv's too
    full passes   K full passes, with our deformable convolution
    shared        the step as train-supernet takes it

All three take the same step: the update on the mean gradient of the same K fairly sampled sub-nets, on one generated
batch, with one model. That their gradients agree is checked first, in float64 on two images. They take turns and the
fastest run of each counts, so that other work on the machine disturbs little; --json has the medians too. Memory is
the most that a process of its own ever held, or what torch had allocated on the GPU.

    python benchmarks/step.py --config shapes --num-nodes 5 --batch-size 16
    python benchmarks/step.py --config coco --device cuda --precision tf32
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch
import torchvision
from measuring import PRECISIONS, computing_in, multiply_adds, now, peak_memory
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.stages import super_net_stage
from opanas_cli.detection.data.shapes import draw_image
from opanas_cli.detection.operators.kernels import widen
from opanas_cli.detection.processes.devices import select_device
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.training.mixed_precision import fit_precision
from opanas_cli.detection.training.super_net_detector import SuperNetDetector
from opanas_cli.genotype import Genotype
from opanas_cli.search.fair_sampling import fair_genotypes, step_generator

DEFAULTS = {"shapes": (3, 4, (128, 128)), "coco": (5, 16, (800, 500))}
"""Of each config: nodes, batch size and image size (width, height), as it is shipped."""

CHECKED_IMAGES = 2
TOLERANCE = 1e-6
"""Of a gradient in float64, relative to the largest of its tensor and of the step."""


@dataclass(frozen=True)
class Setting:
    """What is measured. `image_size` is (width, height)."""

    config: str
    num_nodes: int
    batch_size: int
    image_size: tuple[int, int]
    device: str
    precision: str = "float32"


def shared(model: SuperNetDetector, batch: Any, genotypes: Any, optimizer: OptimWrapper) -> None:
    """The gradients as training computes them."""
    model.accumulate_gradients(batch, genotypes, optimizer)


def full_passes(model: SuperNetDetector, batch: Any, genotypes: Any, optimizer: OptimWrapper) -> None:
    """The gradients by a forward and a backward pass of the whole detector for each sub-net."""
    for genotype in genotypes:
        with optimizer.optim_context(model), model.detector.neck.running(genotype):
            data = model.data_preprocessor(batch, True)
            losses = model.detector.loss(data["inputs"], data["data_samples"])
        optimizer.backward(model.detector.parse_losses(losses)[0] / len(genotypes))
    optimizer.backward(model.l1_weight * model.detector.neck.edge_l1())


def reference(model: SuperNetDetector, batch: Any, genotypes: Any, optimizer: OptimWrapper) -> None:
    """The full passes with torchvision's deformable convolution in place of ours."""
    with mock.patch("opanas_cli.necks.deformable.deform_conv2d", _librarys_deformable_convolution):
        full_passes(model, batch, genotypes, optimizer)


def _librarys_deformable_convolution(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0
) -> Tensor:
    """torchvision's; it takes no bfloat16, which is widened to float32 for it."""
    tensors = widen(*(tensor for tensor in (input, offset, weight, bias) if tensor is not None))
    return torchvision.ops.deform_conv2d(*tensors, stride=stride, padding=padding).to(input.dtype)


METHODS: dict[str, Callable[..., None]] = {"reference": reference, "full_passes": full_passes, "shared": shared}


class Step:
    """One training step, ready to be taken in any way; it moves no weight, its learning rate being 0."""

    def __init__(self, setting: Setting) -> None:
        self.device = select_device(setting.device)
        mixed = setting.precision == "bfloat16"
        overrides = [f"model.neck.num_nodes={setting.num_nodes}", "model.backbone.init_cfg=None"]
        stage = super_net_stage(load_config(setting.config, (*overrides, f"supernet.amp={mixed}")), seed=0)
        if mixed:
            stage.optim_wrapper.dtype = "bfloat16"
            fit_precision(stage, self.device)
        stage.optim_wrapper.optimizer.lr = 0.0
        torch.manual_seed(0)
        with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
            self.model = MODELS.build(stage.model)
            # mmengine tells of each weight that it initialises.
            MMLogger.get_current_instance().setLevel("ERROR")
            self.model.init_weights()
            self.model.to(self.device).train()
            self.optimizer = build_optim_wrapper(self.model, stage.optim_wrapper)
        _move_taps(self.model)
        self.batch = generated_batch(setting.batch_size, setting.image_size)
        self.genotypes: tuple[Genotype, ...] = fair_genotypes(
            self.model.detector.neck.search_space, step_generator(0, 0)
        )

    def take(self, method: str) -> float:
        """Take the step and return its seconds."""
        start = now(self.device)
        METHODS[method](self.model, self.batch, self.genotypes, self.optimizer)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return now(self.device) - start

    def check(self) -> dict[str, float]:
        """How far the gradients of each method are from the reference's, relative to the largest of their tensor."""
        batch = {name: values[:CHECKED_IMAGES] for name, values in self.batch.items()}
        self.model.double()
        gradients = {name: self._gradients(name, batch) for name in METHODS}
        self.model.float()
        expected = gradients.pop("reference")
        largest = max(float(gradient.abs().max()) for gradient in expected.values())
        return {
            name: max(_distance(got[key], expected[key], largest) if key in got else 1.0 for key in expected)
            for name, got in gradients.items()
        }

    def _gradients(self, method: str, batch: Any) -> dict[str, Tensor]:
        torch.manual_seed(1)  # The heads sample boxes at random.
        METHODS[method](self.model, batch, self.genotypes, self.optimizer)
        named = {name: value.grad for name, value in self.model.named_parameters() if value.grad is not None}
        self.optimizer.zero_grad()
        return named


def _distance(got: Tensor, expected: Tensor, largest: float) -> float:
    """Relative to the tensor's largest gradient, and of tensors that have next to none to the largest of all."""
    return float((got - expected).abs().max() / max(float(expected.abs().max()), 1e-6 * largest))


def _move_taps(model: SuperNetDetector) -> None:
    """Offsets as after some training: at the zeros they start with, sampling has no derivative to compare."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "conv_offset" in name:
                parameter.uniform_(-0.1, 0.1)


def generated_batch(count: int, size: tuple[int, int]) -> dict[str, list[Any]]:
    """Images of shapes, stretched to `size` (width, height), as a data loader gives them."""
    rng = np.random.default_rng(0)
    width, height = size
    batch: dict[str, list[Any]] = {"inputs": [], "data_samples": []}
    for _ in range(count):
        pixels, objects = draw_image(rng)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        batch["inputs"].append(F.interpolate(image, (height, width), mode="bilinear")[0].byte())
        stretch = torch.tensor([width / pixels.shape[1], height / pixels.shape[0]]).repeat(2)
        facts = {"img_shape": (height, width), "ori_shape": (height, width), "scale_factor": (1.0, 1.0)}
        sample = DetDataSample(metainfo=facts)
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([box for _, box in objects]) * stretch,
            labels=torch.tensor([label for label, _ in objects]),
        )
        batch["data_samples"].append(sample)
    return batch


def measure(setting: Setting, repeats: int) -> dict[str, Any]:
    """Seconds (fastest run and median) and peak memory of each method, and how many times faster the shared step is."""
    with computing_in(setting.precision):
        return _measure(setting, repeats)


def _measure(setting: Setting, repeats: int) -> dict[str, Any]:
    step = Step(setting)
    distances = step.check()
    if max(distances.values()) > TOLERANCE:
        raise SystemExit(f"the gradients disagree, by up to {distances}: nothing was timed")
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for repeat in range(repeats + 1):
        for name, samples in seconds.items():
            taken = step.take(name)
            if repeat > 0:  # The first one warms up.
                samples.append(taken)
    fastest = {name: min(values) for name, values in seconds.items()}
    memory = {
        name: _gpu_peak(step, name) if step.device.type == "cuda" else _process_peak(setting, name) for name in METHODS
    }
    return {
        "sub_nets": len(step.genotypes),
        "gradient_distance": distances,
        "seconds": fastest,
        "median_seconds": {name: median(values) for name, values in seconds.items()},
        "multiply_adds": multiply_adds(lambda: step.take("shared")),
        "peak_memory_mb": memory,
        "speedup_vs_reference": fastest["reference"] / fastest["shared"],
        "speedup_vs_full_passes": fastest["full_passes"] / fastest["shared"],
    }


def _gpu_peak(step: Step, method: str) -> float:
    with peak_memory(step.device) as peak:
        step.take(method)
    return peak["mb"]


def _process_peak(setting: Setting, method: str) -> float:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_of_this_process, setting, method).result()


def _peak_of_this_process(setting: Setting, method: str) -> float:
    """Megabytes after two steps, the second with all buffers warm. Linux alone keeps this."""
    step = Step(setting)
    for _ in range(2):
        step.take(method)
    # Not `ru_maxrss`, which starts at what the parent process held.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 / 1e6


def main() -> None:
    """Measure, and print a line for each method or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=DEFAULTS, default="shapes", help="whose super-net (default: shapes)")
    parser.add_argument("--num-nodes", type=int, help="of the super-net (default: the config's)")
    parser.add_argument("--batch-size", type=int, help="images in a step (default: the config's)")
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="(default: the config's)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:i (default: cpu)")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="(default: float32)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each method (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    num_nodes, batch_size, image_size = DEFAULTS[options.config]
    setting = Setting(
        options.config,
        num_nodes if options.num_nodes is None else options.num_nodes,
        batch_size if options.batch_size is None else options.batch_size,
        tuple(options.image_size or image_size),
        options.device,
        options.precision,
    )
    if min(options.repeats, setting.batch_size, setting.num_nodes) < 1 or min(setting.image_size) < 32:
        parser.error("--repeats, --batch-size and --num-nodes must be at least 1, --image-size at least 32")
    row = measure(setting, options.repeats)
    facts = {**vars(setting), "threads": torch.get_num_threads(), "torch": torch.__version__}
    if options.json:
        print(json.dumps({"version": 1, **facts, **row}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"one step of {row['sub_nets']} sub-nets, {row['multiply_adds'] / 1e9:.1f}G multiply-adds if shared")
    for name in METHODS:
        times = row["seconds"][name] / row["seconds"]["shared"]
        memory = row["peak_memory_mb"][name]
        print(f"  {name.replace('_', ' '):12} {row['seconds'][name]:8.3f} s {memory:8.0f} MB {times:6.2f} × shared")


if __name__ == "__main__":
    main()
