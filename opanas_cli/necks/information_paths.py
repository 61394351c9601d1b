"""The torch modules of information paths."""

from __future__ import annotations

from pkgutil import resolve_name

from torch import nn

from opanas_cli.genotype import PathType
from opanas_cli.necks.convolution import PathOptions


def build_path(path: str, channels: int, num_levels: int, options: PathOptions) -> nn.Module:
    """A module from a list of `num_levels` tensors (B, channels, H_i, W_i), finest first, to one of the same shapes.

    The path's builder is called with the other three arguments. `skip_connect` has no builder: its output is the very
    same list. `none` is not built at all.

    Raises:
        InvalidGenotypeError: there is no such path.
        ValueError: the path is `none`, or its builder fails or does not match `is_parameterised`.
    """
    kind = PathType.parse(path)
    if kind is PathType.NONE:
        raise ValueError("expected a path that computes something, but got 'none'")
    if kind.builder is None:
        return nn.Identity()
    try:
        builder = resolve_name(kind.builder)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the information path '{path}' cannot be built by {kind.builder}: {error}") from error
    module: nn.Module = builder(channels, num_levels, options)
    if any(parameter.requires_grad for parameter in module.parameters()) != kind.is_parameterised:
        wrong = "has no parameters" if kind.is_parameterised else "has parameters"
        raise ValueError(f"the information path '{path}' {wrong}; correct is_parameterised of its PathType")
    return module
