"""The torch modules of information paths."""

from __future__ import annotations

from pkgutil import resolve_name

from torch import nn

from opanas_cli.genotype import PathType
from opanas_cli.necks.convolution import PathOptions


def build_path(path: str, channels: int, num_levels: int, options: PathOptions) -> nn.Module:
    """A module from a list of `num_levels` tensors (B, channels, H_i, W_i), finest first, to one of the same shapes.

    The path's builder is called with the three other arguments. `skip_connect` has none, it hands the very same list
    on; `none` is no module, it is an edge that is not built.

    Raises:
        InvalidGenotypeError: there is no such path.
        ValueError: the path is `none`, or what its builder leads to is not what the path's table promises.
    """
    kind = PathType.parse(path)
    if kind is PathType.NONE:
        raise ValueError("a path that computes something is needed, but got 'none'")
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
