"""The paths and the neck written again from the equations: loops over edges, levels and pixels on one state dict.

Deformable convolution here is torchvision's; `loop_deform_conv2d` is the definition, pixel by pixel.
"""

from __future__ import annotations

import math

import torch
import torchvision
from torch.nn import functional as F


def loop_resize_nearest(level, size):
    rows = [math.floor(row * level.shape[2] / size[0]) for row in range(size[0])]
    columns = [math.floor(column * level.shape[3] / size[1]) for column in range(size[1])]
    return level[:, :, rows][:, :, :, columns]


def loop_max_pool(level):
    height, width = max(level.shape[2] // 2, 1), max(level.shape[3] // 2, 1)
    rows = [
        torch.stack([level[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].amax(dim=(2, 3)) for j in range(width)], dim=-1)
        for i in range(height)
    ]
    return torch.stack(rows, dim=-2)


def loop_deform_conv2d(input, offset, weight, bias, stride, padding):
    batch, _, height, width = input.shape
    out_channels, _, kernel_height, kernel_width = weight.shape
    output = input.new_zeros(batch, out_channels, *offset.shape[2:])

    def read(image, y, x):
        value = 0
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                if 0 <= row < height and 0 <= column < width:
                    value = value + (1 - abs(y - row)) * (1 - abs(x - column)) * image[:, row, column]
        return value

    for n in range(batch):
        for i in range(offset.shape[2]):
            for j in range(offset.shape[3]):
                for tap in range(kernel_height * kernel_width):
                    u, v = divmod(tap, kernel_width)
                    y = i * stride - padding + u + float(offset[n, 2 * tap, i, j])
                    x = j * stride - padding + v + float(offset[n, 2 * tap + 1, i, j])
                    output[n, :, i, j] += weight[:, :, u, v] @ (
                        read(input[n], y, x) + torch.zeros_like(input[n, :, 0, 0])
                    )
    return output if bias is None else output + bias[:, None, None]


def conv(state, name, level, stride=1, plain=False):
    """A 3×3 convolution by name, deformable where the state holds offsets for it and `plain` does not forbid."""
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    if plain or f"{name}.conv_offset.weight" not in state:
        return F.conv2d(level, weight, bias, stride, padding=1)
    offset = F.conv2d(level, state[f"{name}.conv_offset.weight"], state[f"{name}.conv_offset.bias"], stride, padding=1)
    return torchvision.ops.deform_conv2d(level, offset, weight, bias, stride=stride, padding=1)


def up(level, like):
    return loop_resize_nearest(level, like.shape[2:])


def down(level, like):
    return loop_resize_nearest(loop_max_pool(level), like.shape[2:])


def naive_path(path, state, prefix, p):
    """The path's output for pyramid `p` with the weights `state[prefix + ...]`."""
    last = len(p) - 1
    f = [None] * len(p)
    if path == "skip_connect":
        return p
    if path == "top_down":
        f[last] = conv(state, f"{prefix}convs.{last}", p[last])
        for i in range(last - 1, -1, -1):
            f[i] = conv(state, f"{prefix}convs.{i}", up(f[i + 1], p[i]) + p[i])
    if path == "bottom_up":
        f[0] = conv(state, f"{prefix}convs.0", p[0])
        for i in range(1, last + 1):
            f[i] = conv(state, f"{prefix}convs.{i}", down(f[i - 1], p[i]) + p[i])
    if path == "scale_equalizing":
        for i in range(last + 1):
            f[i] = conv(state, f"{prefix}from_same", p[i], plain=i == 0)
            if i < last:
                f[i] = f[i] + up(conv(state, f"{prefix}from_coarser", p[i + 1], plain=i == 0), p[i])
            if i > 0:
                f[i] = f[i] + up(conv(state, f"{prefix}from_finer", p[i - 1], stride=2), p[i])
            f[i] = f[i].clamp(min=0)
    if path == "fusing_splitting":
        m = len(p) // 2
        alpha_l, alpha_s = p[0], p[last]
        for i in range(1, m):
            alpha_l = down(alpha_l, p[i]) + p[i]
        for i in range(last - 1, m - 1, -1):
            alpha_s = up(alpha_s, p[i]) + p[i]
        other = 1 if f"{prefix}convs.1.weight" in state else 0
        f[m - 1] = conv(state, f"{prefix}convs.0", torch.cat([alpha_l, up(alpha_s, alpha_l)], dim=1))
        f[m] = conv(state, f"{prefix}convs.{other}", torch.cat([down(alpha_l, alpha_s), alpha_s], dim=1))
        for i in range(m - 2, -1, -1):
            f[i] = up(f[i + 1], p[i])
        for i in range(m + 1, last + 1):
            f[i] = down(f[i - 1], p[i])
    return f


def naive_input_pyramid(state, features, extra_level):
    pyramid = []
    for i, feature in enumerate(features):
        weight, bias = state[f"input_pyramid.laterals.{i}.weight"], state[f"input_pyramid.laterals.{i}.bias"]
        pyramid.append(F.conv2d(feature, weight, bias))
    if extra_level:
        pyramid.append(conv(state, "input_pyramid.extra_conv", pyramid[-1], stride=2))
    context = F.conv2d(pyramid[-1], state["input_pyramid.context.weight"], state["input_pyramid.context.bias"]).mean(
        dim=(2, 3), keepdim=True
    )
    return [*pyramid[:-1], pyramid[-1] + context]


def naive_neck(state, genotype, features, num_outs, extra_convs=False, importance=None):
    """Eq. 7 and 10 over all edges. `importance` maps (source, target) to γ."""
    extra_level = extra_convs and num_outs > len(features)
    nodes = {0: naive_input_pyramid(state, features, extra_level)}
    for target in range(1, genotype.num_nodes + 1):
        for edge, path in genotype.items():
            if edge.target != target or path == "none" or edge.source not in nodes:
                continue
            prefix = f"paths.{edge.source}_{edge.target}.{path}."
            gamma = 1 if importance is None else importance[tuple(edge)]
            carried = [gamma * level for level in naive_path(path, state, prefix, nodes[edge.source])]
            nodes[target] = (
                carried if target not in nodes else [a + b for a, b in zip(nodes[target], carried, strict=True)]
            )
    if genotype.space == "chain":
        outputs = nodes[genotype.num_nodes]
    else:
        outputs = [sum(nodes[node][i] for node in nodes if node > 0) for i in range(len(nodes[0]))]
    while len(outputs) < num_outs:
        if extra_convs:
            name = f"extra_outputs.layers.{len(outputs) - len(nodes[0])}"
            outputs = [*outputs, conv(state, name, outputs[-1], stride=2)]
        else:
            outputs = [*outputs, outputs[-1][:, :, ::2, ::2]]
    return outputs


def randomise(module, seed=0, std=0.2):
    """All parameters, offsets and importances too, normal and in float64."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, std, generator=generator)
    return module


def random_pyramid(channels, sizes, seed=0, batch=2):
    """Levels (batch, channels, *size) in float64; `channels` is one count or one for each level."""
    generator = torch.Generator().manual_seed(seed)
    counts = [channels] * len(sizes) if isinstance(channels, int) else channels
    return [
        torch.randn(batch, count, *size, generator=generator, dtype=torch.float64)
        for count, size in zip(counts, sizes, strict=True)
    ]
