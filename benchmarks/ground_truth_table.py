"""What the table of the ground truth tells: the noise of one training, the ceiling that it sets, and ranks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from opanas_cli.statistics.estimate import Estimate, bootstrapped
from opanas_cli.statistics.noise import kendall_ceiling, noise, spread
from opanas_cli.statistics.rank_correlation import kendall, kendall_at_equal_cost

NAMED = {"FPN": "td|none,none", "PANet": "td|none,bu"}
"""Necks of the literature in the space; here both nodes of PANet reach the output."""
SHOWN = 5

Row = Mapping[str, Any]


def groups_of(rows: Sequence[Row]) -> dict[str, list[float]]:
    """The AP of each genotype by each of its seeds."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["seed"]):
        found[row["genotype"]].append(row["AP"])
    return dict(found)


def means_of(rows: Sequence[Row]) -> dict[str, float]:
    """The mean AP of each genotype over its seeds."""
    return {genotype: float(np.mean(values)) for genotype, values in groups_of(rows).items()}


def split_by_seed(rows: Sequence[Row], seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """The AP of each genotype by one seed, and its mean AP by the others."""
    own = [row for row in rows if row["seed"] == seed]
    others = [row for row in rows if row["seed"] != seed]
    return means_of(own), means_of(others)


def report_of(rows: Sequence[Row]) -> dict[str, Any]:
    """All that the rows tell, JSON-able. What needs two seeds or three genotypes is None without them."""
    means = means_of(rows)
    ranked = sorted(means, key=means.__getitem__, reverse=True)
    macs = {row["genotype"]: row["macs"] for row in rows}
    repeated = [group for group in groups_of(rows).values() if len(group) > 1]
    paired = len(repeated) > 2
    seeds = [[group[place] for group in repeated] for place in (0, 1)]
    return {
        "trainings": len(rows),
        "genotypes": len(ranked),
        "repeated": len(repeated),
        **{f"mean_{name}": float(np.mean([row[name] for row in rows])) for name in ("seconds", "cpu_seconds") if rows},
        "noise": noise(repeated) if paired else None,
        "spread": spread(repeated) if paired else None,
        "tau_between_seeds": bootstrapped(kendall, seeds).document() if paired else None,
        "tau_ceiling": kendall_ceiling(repeated).document() if paired else None,
        "tau_of_macs": ranking({line: macs[line] for line in ranked}, means) if len(ranked) > 2 else None,
        "ranks": {
            name: {"genotype": line, "rank": ranked.index(line) + 1, "AP": means[line]}
            for name, line in NAMED.items()
            if line in means
        },
        "best": {line: means[line] for line in ranked[:SHOWN]},
        "worst": {line: means[line] for line in ranked[-SHOWN:]},
    }


def ranking(predicted: Mapping[str, float], means: Mapping[str, float]) -> dict[str, float | None]:
    """Kendall's τ of what is predicted of genotypes and their AP, over those that have both."""
    lines = [line for line in means if line in predicted]
    return bootstrapped(kendall, [[one[line] for line in lines] for one in (predicted, means)]).document()


def report_of_super_net(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    """How a super-net, a row of `rankings.py`, ranks the genotypes of the table: on its held-out images, and on many.

    `regret` is what its best, and the best of its best five, lack to the best of all. `shift` is by how many places the
    networks with a path are ranked too high on average: on any edge, and on each edge in flat order.
    """
    means = means_of(rows)
    macs = {one["genotype"]: one["macs"] for one in rows}
    lines = [line for line in means if line in row["AP"]]
    chosen = sorted(lines, key=lambda line: -row["AP"][line])
    columns = [[one[line] for line in lines] for one in (row["AP"], means, macs)]
    places = rankdata(columns[0]) - rankdata(columns[1])
    paths = [re.findall(r"\w+", line) for line in lines]
    return {
        **{name: row[name] for name in ("setting", "seed", "steps", "train_cpu_seconds")},
        "genotypes": len(lines),
        "tau": ranking(row["AP"], means),
        "tau_on_many_images": ranking(row["AP_many"], means) if row["AP_many"] else None,
        "tau_at_equal_macs": bootstrapped(kendall_at_equal_cost, columns).document(),
        "tau_of_macs": ranking({line: macs[line] for line in lines}, means),
        "regret": {count: max(means.values()) - max(means[line] for line in chosen[:count]) for count in (1, 5)},
        "shift": {path: shifts_of(path, paths, places) for path in sorted({path for own in paths for path in own})},
    }


def shifts_of(path: str, paths: Sequence[Sequence[str]], places: Sequence[float]) -> list[float | None]:
    """The means of the places of the networks with a path on any edge, and on each; None if there are none."""
    having: list[list[bool]] = [[path in own for own in paths]]
    having += [[own[edge] == path for own in paths] for edge in range(len(paths[0]))]
    return [float(np.mean(np.compress(mask, places))) if any(mask) else None for mask in having]


def print_report(report: dict[str, Any]) -> None:
    """A report as a page of text."""
    print(f"{report['trainings']} trainings of {report['genotypes']} genotypes, {report['repeated']} of them repeated")
    if report["trainings"]:
        print(f"one training: {report['mean_seconds']:.1f} s, {report['mean_cpu_seconds']:.1f} s of processor time")
    if report["noise"] is not None:
        print(f"AP: sd between seeds {report['noise']:.4f}, between genotypes {report['spread']:.4f}")
    for name in ("tau_between_seeds", "tau_ceiling", "tau_of_macs"):
        if report[name] is not None:
            print(f"{name.replace('_', ' '):18} {Estimate.of(report[name])}")
    for name, found in report["ranks"].items():
        print(f"{name:6} {found['genotype']:16} AP {found['AP']:.3f}, rank {found['rank']} of {report['genotypes']}")
    for name in ("best", "worst"):
        print(name + "".join(f"\n  {line:16} {ap:.3f}" for line, ap in report[name].items()))


def print_super_net(report: dict[str, Any]) -> None:
    """A report of a super-net as lines of text."""
    print(f"{report['setting']}, seed {report['seed']}: {report['genotypes']} genotypes, {report['steps']} steps")
    for name in ("tau", "tau_on_many_images", "tau_at_equal_macs", "tau_of_macs"):
        if report[name] is not None:
            print(f"  {name.replace('_', ' '):20} {Estimate.of(report[name])}")
    print("  regret of the best {:.3f}, of the best five {:.3f}".format(*report["regret"].values()))
    print("  ranked too high by, on any edge and on each")
    for path, shifts in report["shift"].items():
        print(f"    {path:5}" + "".join("     –" if shift is None else f"{shift:+6.0f}" for shift in shifts))
