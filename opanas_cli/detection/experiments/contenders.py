"""The networks that a comparison trains, all at the MACs of one genotype's detector."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config

from opanas_cli.detection.configs.baseline_necks import BASELINES
from opanas_cli.detection.configs.necks import search_space, with_sub_net
from opanas_cli.detection.configs.stages import retrain_stage
from opanas_cli.detection.costs.profiling import CostModel, detector_cost
from opanas_cli.detection.costs.widths import TOLERANCE, at_macs, of_width, width_step
from opanas_cli.detection.training.networks import baseline_config, sub_net_config
from opanas_cli.errors import InfeasibleError, InvalidConfigError, UsageError
from opanas_cli.formats import resolve_genotype
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.architecture import Architecture
from opanas_cli.genotype.liveness import prune
from opanas_cli.search.strategies.operators import sample

RANDOM = re.compile(r"random(?::([1-9]\d{0,3}))?")
RANDOM_MEAN = "random"
"""What the mean of the random genotypes is called."""
MAX_DRAWS = 10_000


@dataclass(frozen=True)
class Contender:
    """A network: its name, the config that trains it, and its genotype in one line unless it is a baseline.

    `drawn` if the genotype is a random one.
    """

    name: str
    config: Config
    genotype: str | None
    drawn: bool = False


def contenders(config: Config, genotype: Genotype, name: str, against: Sequence[str], seed: int) -> list[Contender]:
    """The detector of a genotype and those that it is compared with, each within 5 % of its MACs.

    Args:
        config: of the super-net. Its width is the genotype's; other necks and genotypes get the width that fits.
        name: what the genotype is called.
        against: names of `BASELINES`; ``random`` or ``random:N`` for N random genotypes of the space, at the config's
            width; genotypes by name or file.
        seed: of the random ones.

    Raises:
        UsageError, InvalidGenotypeError, InvalidConfigError: as `check_contenders`.
        InfeasibleError: no width, or no random genotype, comes within 5 %.
    """
    check_contenders(config, name, against)
    found = [Contender(name, sub_net_config(config, genotype), line_of(genotype))]
    for text in against:
        if text in BASELINES:
            found.append(Contender(text, baseline_config(config, genotype, text), None))
        elif count := RANDOM.fullmatch(text):
            found += _random(config, genotype, int(count[1] or 1), seed)
        else:
            found.append(_other(config, genotype, text))
    return found


def check_contenders(config: Config, name: str, against: Sequence[str]) -> None:
    """Refuse what `contenders` cannot compare, before hours are spent on the genotype of this name.

    Raises:
        UsageError, InvalidGenotypeError: one is no network, or two have one name.
        InvalidConfigError: training begins with the weights of a detector, which fit those of one width only.
    """
    if config.get("load_from"):
        raise InvalidConfigError(
            f"{config.filename}: load_from: fits the heads of some of the networks only, so that they would not be "
            "compared alike; load the backbone alone, by model.backbone.init_cfg"
        )
    names = [name]
    for text in against:
        if count := RANDOM.fullmatch(text):
            names += [RANDOM_MEAN, *map(_random_name, range(1, int(count[1] or 1) + 1))]
        elif text in BASELINES:
            names.append(text)
        else:
            _genotype(text)
            names.append(name_of(text))
    if twice := next((one for one in names if names.count(one) > 1), None):
        raise UsageError(f"--against: two networks are called '{twice}'; rename a file, or leave one out")


def name_of(genotype: str) -> str:
    """What a genotype given by name or file is called: its file's name in letters, digits, dots, ``_`` and ``-``."""
    return re.sub(r"[^\w.-]", "_", Path(genotype).stem)[:60]


def _random_name(number: int) -> str:
    return f"{RANDOM_MEAN}-{number}"


def _random(config: Config, genotype: Genotype, count: int, seed: int) -> list[Contender]:
    """Random genotypes that differ from each other and from `genotype`, as networks."""
    space, rng, cost_of = search_space(config), np.random.default_rng(seed), CostModel(config)
    macs = cost_of(genotype).macs
    known = {Architecture(genotype)}
    found: list[Contender] = []
    for _ in range(MAX_DRAWS):
        if len(found) == count:
            return found
        drawn = prune(sample(space, rng))
        if abs(cost_of(drawn).macs - macs) <= TOLERANCE * macs and Architecture(drawn) not in known:
            known.add(Architecture(drawn))
            name = _random_name(len(found) + 1)
            found.append(Contender(name, sub_net_config(config, drawn), line_of(drawn), drawn=True))
    raise InfeasibleError(
        f"--against random:{count}: of {MAX_DRAWS:,} random genotypes {len(found)} differ and come within 5 % of "
        f"{macs:,} MACs; ask for fewer"
    )


def _other(config: Config, genotype: Genotype, text: str) -> Contender:
    """A genotype given by name or file, at the width that fits."""
    other, name = _genotype(text), name_of(text)
    macs = detector_cost(with_sub_net(config, genotype)).macs
    matched = at_macs(
        macs,
        lambda width: with_sub_net(of_width(config, width), other, edge_importance=False),
        name,
        width_step(config),
    )
    return Contender(name, retrain_stage(matched), line_of(other))


def _genotype(text: str) -> Genotype:
    if not text or text.startswith("random:"):
        raise UsageError(f"--against: '{text}' is no network; give random:N with N from 1 to 9999, or a name or file")
    return resolve_genotype(text)
