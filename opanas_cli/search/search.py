"""The search: a strategy proposes candidates, an evaluator measures them, and a history records them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opanas_cli.errors import InvalidInputError, OpanasError
from opanas_cli.genotype import Genotype
from opanas_cli.search.candidate import Candidate, Proposal, fittest, pareto_front
from opanas_cli.search.cost import Constraints, Cost
from opanas_cli.search.evaluator import Evaluator, defined
from opanas_cli.search.history import History
from opanas_cli.search.strategies.admission import Admission
from opanas_cli.search.strategies.strategy import Strategy


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    `best` is the fittest candidate, `population` the fittest of all generations, best first, `front` those that no
    other beats in both fitness and the cost that the settings name, cheapest first, `evaluated` all of them in order.
    `exhausted` means that the space ran out of new candidates before the budget was spent.
    """

    best: Candidate
    population: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    evaluated: tuple[Candidate, ...]
    exhausted: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """The fitness of one more candidate is known; `total` is the most that the search will evaluate.

    `resumed` means that the history knew it already.
    """

    candidate: Candidate
    best: Candidate
    total: int
    resumed: bool


def run_search(
    strategy: Strategy,
    evaluator: Evaluator,
    cost_of: Callable[[Genotype], Cost],
    constraints: Constraints,
    history: History,
    *,
    metric: str = "AP",
    batch_size: int = 1,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> SearchResult:
    """Search for the genotype of greatest `metric` within `constraints`.

    A search is resumed by repeating it: a strategy built anew from its seed proposes what it proposed before, and
    candidates that the history holds are not evaluated again. `cost_of` is called once for each genotype drawn, pruned.
    The evaluator gets `batch_size` genotypes of a generation at once, and after a crash the same ones again where the
    history does not hold all of them: what it computes for one may depend, in the last digits, on the others.

    Raises:
        InfeasibleError: no genotype within the constraints was drawn.
        InvalidInputError: the history is of another search, or the metric is not defined on the images.
        OpanasError: the strategy fails or proposes nothing.
    """
    admission = Admission(cost_of, constraints)
    evaluated: list[Candidate] = []
    best: tuple[Candidate, ...] = ()
    with _strategy_errors(strategy):
        budget, against = strategy.settings.budget, strategy.settings.against
    while costed := _asked(strategy, admission):
        generation: list[Candidate] = []
        for candidate, resumed in _evaluated(costed, len(evaluated), evaluator, history, metric, batch_size):
            generation.append(candidate)
            best = fittest([*best, candidate], 1)
            on_progress(Progress(candidate, best[0], budget, resumed))
        with _strategy_errors(strategy):
            strategy.tell(generation)
        evaluated += generation
    if not best:
        raise OpanasError(f"the strategy {type(strategy).__name__} proposed nothing; choose another --strategy")
    with _strategy_errors(strategy):
        population = strategy.population
    front = pareto_front(evaluated, against)
    return SearchResult(best[0], population, front, tuple(evaluated), len(evaluated) < budget)


def _asked(strategy: Strategy, admission: Admission) -> list[tuple[Proposal, Cost]]:
    """The next proposals of a strategy, with what they cost."""
    with _strategy_errors(strategy):
        return [(proposal, admission.cost(proposal.genotype)) for proposal in strategy.ask(admission)]


@contextmanager
def _strategy_errors(strategy: Strategy) -> Iterator[None]:
    """While the block runs, any error is an OpanasError that names the strategy, which may be a plug-in."""
    try:
        yield
    except OpanasError:
        raise
    except Exception as error:
        reason = f"{error} ({type(error).__name__}; use --debug for the traceback)"
        raise OpanasError(f"the strategy {type(strategy).__name__} failed: {reason}") from error


def _evaluated(
    proposals: Sequence[tuple[Proposal, Cost]],
    first: int,
    evaluator: Evaluator,
    history: History,
    metric: str,
    batch_size: int,
) -> Iterator[tuple[Candidate, bool]]:
    """Candidates `first`, `first` + 1, … of a search, and whether each was taken from the history."""
    known = history.recorded[first : first + len(proposals)]
    for candidate, (proposal, cost) in zip(known, proposals, strict=False):
        if (candidate.proposal, candidate.cost) != (proposal, cost):
            raise InvalidInputError(
                f"candidate {candidate.index} of the history does not match these settings: another version of opanas "
                "or numpy wrote it, or it was edited; start again in another --work-dir"
            )
        yield candidate, True
    for start in range(0, len(proposals), batch_size):
        batch = proposals[start : start + batch_size]
        num_known = len(known[start : start + batch_size])
        if num_known == len(batch):
            continue
        results = evaluator.evaluate([proposal.genotype for proposal, _ in batch])
        if len(results) != len(batch):
            raise OpanasError(f"the evaluator was given {len(batch)} genotypes, but got back {len(results)} results")
        for (proposal, cost), found in list(zip(batch, results, strict=True))[num_known:]:
            index, metrics = len(history.recorded), defined(found.metrics)
            candidate = Candidate(
                index, proposal, cost, _fitness(metrics, metric, index), metrics, float(found.image_share)
            )
            history.append(candidate)
            yield candidate, False


def _fitness(metrics: Mapping[str, float], metric: str, index: int) -> float:
    if metric not in metrics:
        raise InvalidInputError(
            f"candidate {index}: {metric} is not defined, only {', '.join(metrics) or 'nothing'}: the images it was "
            "evaluated on have no object of that kind; choose another search.metric, or evaluate on more images"
        )
    return metrics[metric]
