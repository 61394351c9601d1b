"""The neck of a config: a super-net, one genotype, or any other."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config, ConfigDict

from opanas_cli.errors import InvalidConfigError, InvalidGenotypeError
from opanas_cli.formats import GenotypeRecord
from opanas_cli.formats.json_format import document_of
from opanas_cli.genotype import Genotype, SearchSpace, SpaceKind

SUPER_NET_OPTIONS = ("num_nodes", "space", "paths")
"""Settings of a super-net that the neck of one genotype does not have."""


OF_ONE_GENOTYPE = ("OPAFPN", "StandaloneOPAFPN")
"""The types of necks of one genotype."""


def neck_of(config: Config) -> Any:
    """The neck's settings of a config; raises InvalidConfigError if there is no neck."""
    neck = config.model.get("neck")
    if not isinstance(neck, dict) or "type" not in neck:
        what = "is a list of necks" if isinstance(neck, (list, tuple)) else "is missing"
        raise InvalidConfigError(
            f"{config.filename}: model.neck {what}; a search needs neck=dict(type='OPASuperNet', in_channels=…, "
            "out_channels=…, num_outs=…)"
        )
    return neck


def is_super_net(config: Config) -> bool:
    """Whether the neck of a config is a super-net; mmdet's necks may also be lists, or be missing."""
    neck = config.model.get("neck")
    return isinstance(neck, dict) and neck.get("type") == "OPASuperNet"


def is_ours(config: Config) -> bool:
    """Whether the neck of a config is made of information paths: a super-net, or that of one genotype."""
    neck = config.model.get("neck")
    return is_super_net(config) or (isinstance(neck, dict) and neck.get("type") in OF_ONE_GENOTYPE)


def super_net_neck(config: Config) -> Any:
    """The neck's settings of a super-net's config; raises InvalidConfigError if its neck is not a super-net."""
    neck = neck_of(config)
    if neck.type in OF_ONE_GENOTYPE:
        raise InvalidConfigError(
            f"{config.filename}: its neck is already that of one genotype; give the super-net's config instead, or "
            "leave out --genotype"
        )
    if neck.type != "OPASuperNet":
        raise InvalidConfigError(f"{config.filename}: model.neck.type must be 'OPASuperNet', but got {neck.type!r}")
    return neck


def search_space(config: Config) -> SearchSpace:
    """The space of the genotypes of a config's super-net.

    Raises InvalidConfigError if the neck is not a super-net, InvalidGenotypeError if there is no such space.
    """
    neck = super_net_neck(config)
    try:
        return SearchSpace.of(**{name: neck[name] for name in SUPER_NET_OPTIONS if name in neck})
    except InvalidGenotypeError as error:
        raise InvalidGenotypeError(f"{config.filename}: model.neck: {error}") from error


def with_sub_net(config: Config, genotype: Genotype, **options: Any) -> Config:
    """The config with the stand-alone neck of a genotype; what is not among `options` is as in the super-net."""
    changed = copy.deepcopy(config)
    changed.model.neck = sub_net_neck(neck_of(config), genotype, **options)
    return changed


def sub_net_neck(neck: Any, genotype: Genotype, **options: Any) -> ConfigDict:
    """The settings of the stand-alone neck of a genotype, made of those of a super-net's neck."""
    kept = {key: value for key, value in neck.items() if key not in SUPER_NET_OPTIONS}
    return ConfigDict({**kept, "type": "OPAFPN", "genotype": _as_setting(genotype), **options})


def _as_setting(genotype: Genotype) -> Any:
    """As path names if that is enough, else as the JSON document."""
    if genotype.space is SpaceKind.DENSE:
        return [str(path) for path in genotype.paths]
    return document_of(GenotypeRecord(genotype))
