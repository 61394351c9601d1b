"""What settings of a search fit a budget of time: sums of images, epochs and candidates by measured seconds.

The limits below which nothing goes are those of docs/evidence.md.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TypeVar

from opanas_cli.errors import UsageError
from opanas_cli.search.rounds import epochs_of, rounds_of
from opanas_cli.stage_settings import SMALLEST_SIDE, RetrainSection, SearchSection, SuperNetSection, TrainingSection

Section = TypeVar("Section", bound=TrainingSection)

STEPS = 1400
"""Steps of a training: with so many super-nets ranked (Kendall τ of 0.46 to 0.66), with 174 one did not."""

CANDIDATES, POPULATION = 48, 12
"""The least of a search and of its generations: of what evolution gained in 200 candidates, a third it had by 48."""

IMAGES, IMAGES_OF_A_CLASS = 200, 10
"""The most images that candidates are evaluated on: 600 ranked no better than 60 of eight classes."""

SCALES = (1.0, 0.8, 0.65, 0.5)
"""The parts of the base's width and height that images are shrunk to, as a last resort."""

SIDE_STEP = 16
RESERVE = 0.1
"""The part of a budget that is left over: half a minute measures no better."""

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """The seconds in `text`: digits, decimals allowed, and a unit s, m, h or d. Raises UsageError if it is not one."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(s|m|min|h|d)", text.strip(), re.ASCII)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds < math.inf:
        raise UsageError(f"expected a positive number with a unit s, m, h or d, e.g. 8h, but got {text!r:.60}")
    return seconds


@dataclass(frozen=True)
class Images:
    """How many images each stage has: all training images but the held out ones, the held out, all, and the test's."""

    supernet: int
    search: int
    retrain: int
    test: int
    classes: int


@dataclass(frozen=True)
class Pace:
    """Seconds for one image, at the base's image sizes.

    Attributes:
        supernet: of a super-net's training.
        search: of the evaluation of one candidate.
        retrain: of a training alone.
        half: the part of the seconds that images of half the width and height take.
    """

    supernet: float
    search: float
    retrain: float
    half: float = 0.25

    def at(self, scale: float) -> Pace:
        """The pace at a part of the width and height: what seconds share with the pixels grows with them."""
        part = self.half + (1 - self.half) * (scale**2 - 0.25) / 0.75
        return replace(self, supernet=self.supernet * part, search=self.search * part, retrain=self.retrain * part)


@dataclass(frozen=True)
class Sum:
    """The seconds of a stage, and the factors that make them."""

    stage: str
    factors: str
    seconds: float


@dataclass(frozen=True)
class Plan:
    """The settings of all stages, for so many images of a part of the base's width and height."""

    images: Images
    supernet: SuperNetSection
    search: SearchSection
    retrain: RetrainSection
    scale: float = 1.0

    @property
    def trained_images(self) -> int:
        """Those that the super-net is trained on, about."""
        return max(1, round(self.images.supernet * self.supernet.data_fraction))

    @property
    def searched_images(self) -> int:
        """Those that a candidate is evaluated on."""
        return min(self.images.search, self.search.max_images or self.images.search)

    @property
    def candidates(self) -> int:
        """Those of the whole search."""
        return self.search.population * (1 + self.search.generations)

    def sums(self, pace: Pace) -> list[Sum]:
        """What each stage takes; `pace` is measured at the base's image sizes."""
        now = pace.at(self.scale)
        generations = f"{self.search.population} × {1 + self.search.generations} candidates"
        return [
            _training("train-supernet", self.supernet, self.trained_images, now.supernet),
            *self._watching(now.search),
            Sum(
                "evolve",
                f"{generations} × {self.searched_images} images × {now.search:.3g} s",
                self.candidates * self.searched_images * now.search,
            ),
            *self._finalists(now.retrain),
            _training("retrain", self.retrain, self.images.retrain, now.retrain),
            # At most: a training goes through each image backwards too.
            Sum("test", f"{self.images.test} images × {now.retrain:.3g} s", self.images.test * now.retrain),
        ]

    def _watching(self, seconds: float) -> list[Sum]:
        """What the evaluations of sub-nets take while the super-net is trained, if there are any."""
        interval = self.supernet.watch_interval
        if not interval:
            return []
        times, sub_nets = math.ceil(self.supernet.epochs / interval), self.supernet.watch_sub_nets
        factors = f"{times} times × {sub_nets} sub-nets × {self.searched_images} images × {seconds:.3g} s"
        return [Sum("watching", factors, times * sub_nets * self.searched_images * seconds)]

    def _finalists(self, seconds: float) -> list[Sum]:
        """What the finalists take if there are several: their trainings, and a test after each round of a training."""
        rounds = rounds_of(self.search.finalists, self.retrain.epochs)
        if not rounds:
            return []
        alone = replace(self.retrain, epochs=epochs_of(rounds))
        trained = _training("finalists", alone, self.images.supernet, seconds)
        tests = sum(one.networks for one in rounds)
        tested = f" + {tests} tests × {self.images.search} images × {seconds:.3g} s"
        took = trained.seconds + tests * self.images.search * seconds
        return [Sum(trained.stage, trained.factors + tested, took)]

    def seconds(self, pace: Pace) -> float:
        """What all stages take together."""
        return sum(one.seconds for one in self.sums(pace))


def _training(stage: str, section: TrainingSection, images: int, seconds: float) -> Sum:
    """The sum of a training, in which an image takes so many seconds; the last batch of an epoch counts as full."""
    steps, step = steps_of(images, section), section.batch_size * seconds
    return Sum(stage, f"{section.epochs} epochs × {steps} steps × {step:.3g} s", section.epochs * steps * step)


def steps_of(images: int, section: TrainingSection) -> int:
    """The steps of an epoch."""
    return math.ceil(images / section.batch_size)


def trained_enough(base: Plan) -> Plan:
    """The plan with as many epochs as `STEPS` take: a small data set has few steps in each."""
    return replace(
        base,
        supernet=_trained_enough(base.supernet, base.trained_images),
        retrain=_trained_enough(base.retrain, base.images.retrain),
    )


def fitted(base: Plan, pace: Pace, seconds: float) -> Plan:
    """The best plan that takes at most so many seconds, or the shortest one if none does.

    First the search has fewer candidates, then the super-net fewer images, but no fewer steps than `STEPS`, then there
    are fewer finalists, and at last images are smaller, if each training has one size of them; epochs are never fewer.
    Candidates are evaluated on no more images than ranking takes.
    """
    most = max(IMAGES, IMAGES_OF_A_CLASS * base.images.classes)
    limit = min(base.searched_images, most)
    base = replace(base, search=replace(base.search, max_images=limit if limit < base.images.search else None))
    least = base
    by_scale = base.supernet.image_scale and base.retrain.image_scale and not base.retrain.train_scales
    for scale in SCALES if by_scale else SCALES[:1]:
        least = _least(_scaled(base, scale))
        if least.seconds(pace) <= seconds:
            return _filled(least, base, pace, seconds)
    return least


def _least(base: Plan) -> Plan:
    """The plan with the fewest images that take `STEPS` in its epochs, the fewest candidates and a single finalist."""
    enough = math.ceil(STEPS / base.supernet.epochs) * base.supernet.batch_size / base.images.supernet
    fraction = min(base.supernet.data_fraction, math.ceil(1000 * enough) / 1000)
    supernet = replace(base.supernet, data_fraction=fraction)
    search = replace(_with_candidates(base.search, CANDIDATES), finalists=1)
    return trained_enough(replace(base, supernet=supernet, search=search))


def _filled(least: Plan, base: Plan, pace: Pace, seconds: float) -> Plan:
    """The plan with as many more finalists, then images, and then candidates, as fit; at most those of the base."""
    least = _with_finalists(least, base.search.finalists, pace, seconds)
    now, supernet = pace.at(least.scale), least.supernet
    left = seconds - least.seconds(pace)
    steps = steps_of(least.trained_images, supernet)
    steps += math.floor(left / (supernet.epochs * supernet.batch_size * now.supernet))
    fraction = math.floor(1000 * steps * supernet.batch_size / base.images.supernet) / 1000
    fraction = min(base.supernet.data_fraction, max(supernet.data_fraction, fraction))
    plan = replace(least, supernet=replace(supernet, data_fraction=fraction))
    left = seconds - plan.seconds(pace)
    more = math.floor(left / (plan.searched_images * now.search))
    search = replace(base.search, finalists=plan.search.finalists)
    return replace(plan, search=_with_candidates(search, least.candidates + more))


def _with_finalists(plan: Plan, most: int, pace: Pace, seconds: float) -> Plan:
    """The plan with as many finalists as fit, of `most`, half of them, a quarter, and so on."""
    more = replace(plan, search=replace(plan.search, finalists=most))
    if most == 1 or more.seconds(pace) <= seconds:
        return more
    return _with_finalists(plan, math.ceil(most / 2), pace, seconds)


def _trained_enough(section: Section, images: int) -> Section:
    """The section with the epochs that `STEPS` take, if it has fewer; the milestones move in proportion."""
    epochs = max(section.epochs, math.ceil(STEPS / steps_of(images, section)))
    milestones = section.milestones and tuple(round(epochs * one / section.epochs) for one in section.milestones)
    return replace(section, epochs=epochs, milestones=milestones)


def _with_candidates(section: SearchSection, candidates: int) -> SearchSection:
    """The section with at most so many candidates, in as many generations as it has, or in larger ones."""
    candidates = min(candidates, section.population * (1 + section.generations))
    population = min(section.population, max(POPULATION, candidates // (1 + section.generations)))
    generations = min(section.generations, max(0, candidates // population - 1))
    return replace(
        section, population=population, generations=generations, top_k=min(section.top_k, max(2, population // 3))
    )


def _scaled(plan: Plan, scale: float) -> Plan:
    """The plan with smaller images, their sides rounded to multiples of 16."""

    def side(pixels: int) -> int:
        return max(SMALLEST_SIDE, SIDE_STEP * round(pixels * scale / SIDE_STEP))

    def smaller(section: Section) -> Section:
        size = section.image_scale
        return replace(section, image_scale=size and (side(size[0]), side(size[1])))

    if scale == 1.0:
        return plan
    return replace(plan, supernet=smaller(plan.supernet), retrain=smaller(plan.retrain), scale=scale)
