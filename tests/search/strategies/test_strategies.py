"""Evolution and random search on formulas instead of networks."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from conftest import ToyEvaluator, toy_cost
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import InfeasibleError, OpanasError, UsageError
from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.genotype.liveness import output_nodes, prune
from opanas_cli.search import (
    STRATEGIES,
    Candidate,
    Constraints,
    Cost,
    Evolution,
    History,
    Proposal,
    RandomSearch,
    StrategySettings,
    run_search,
)
from opanas_cli.search.evaluator import Evaluation

SMALL = StrategySettings(population=12, generations=4, top_k=4)


@pytest.fixture
def search(evaluator, cost_of):
    def run(strategy, constraints=Constraints(), **options):  # noqa: B008 - immutable
        return run_search(strategy, evaluator, cost_of, constraints, History(), **options)

    return run


@pytest.mark.parametrize("seed", range(5))
def test_evolution_finds_the_best_of_an_enumerated_space(search, evaluator, seed):
    space = SearchSpace(2)
    optimum = max(evaluator.fitness(genotype) for genotype in space if output_nodes(genotype))

    result = search(Evolution(space, StrategySettings(population=10, generations=10, top_k=5), seed))

    assert result.best.fitness == optimum
    assert len(evaluator.asked) == 110


@pytest.mark.parametrize("name", STRATEGIES.built_in)
def test_the_papers_budget_is_spent_and_nothing_is_evaluated_twice(search, evaluator, name):
    result = search(STRATEGIES.all[name](SearchSpace(3), StrategySettings(), 0))

    pruned = [prune(genotype) for genotype in evaluator.asked]
    assert len(set(pruned)) == len(pruned) == 50 * 13
    assert not result.exhausted
    assert len(result.population) == 10
    assert result.population[0] == result.best


@pytest.mark.parametrize("name", STRATEGIES.built_in)
def test_an_exhausted_space_ends_the_search_with_all_of_it_evaluated(search, evaluator, name):
    space = SearchSpace(2)

    result = search(STRATEGIES.all[name](space, StrategySettings(), 0))

    distinct = {prune(genotype) for genotype in space if output_nodes(genotype)}
    assert {prune(genotype) for genotype in evaluator.asked} == distinct
    assert len(evaluator.asked) == len(distinct) == 185
    assert result.exhausted


def test_a_space_of_one_genotype_can_be_searched(search):
    result = search(Evolution(SearchSpace(1, paths=(next(iter(SearchSpace().paths)),)), SMALL, 0))

    assert len(result.evaluated) == 1
    assert result.best.genotype == Genotype.of(["top_down"])
    assert result.exhausted


@pytest.mark.parametrize("name", STRATEGIES.built_in)
@pytest.mark.parametrize(
    ("population", "generations", "num_nodes"), [(1, 0, 1), (1, 6, 1), (1, 6, 3), (2, 5, 1), (7, 0, 3)]
)
def test_the_smallest_searches_end_with_what_there_is(search, evaluator, name, population, generations, num_nodes):
    space = SearchSpace(num_nodes)

    result = search(STRATEGIES.all[name](space, StrategySettings(population, generations, 1), 0))

    assert len(result.evaluated) == min(population * (generations + 1), 5 if num_nodes == 1 else 46440)
    assert len({prune(candidate.genotype) for candidate in result.evaluated}) == len(result.evaluated)
    assert result.best.fitness == max(evaluator.fitness(candidate.genotype) for candidate in result.evaluated)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(STRATEGIES.built_in)), st.integers(2, 4), st.integers(1, 4))
def test_children_are_made_of_their_parents_and_keep_the_limits(seed, name, num_nodes, heaviest):
    space, limit = SearchSpace(num_nodes), Constraints(max_macs=100_000_000_000 + heaviest * 1_000_000_000)

    evaluated = run_search(
        STRATEGIES.all[name](space, StrategySettings(6, 3, 3), seed), ToyEvaluator(), toy_cost, limit, History()
    ).evaluated

    for candidate in evaluated:
        child, parents = candidate.genotype, [evaluated[parent].genotype for parent in candidate.proposal.parents]
        assert all(parent < candidate.index for parent in candidate.proposal.parents)
        assert len(parents) == {"random": 0, "mutation": 1, "crossover": 2}[candidate.proposal.origin]
        assert child in space and output_nodes(child)
        assert sum(path.is_parameterised for path in prune(child).paths) <= heaviest
        if candidate.proposal.origin == "crossover":
            assert all(path in paths for path, *paths in zip(child.paths, *(p.paths for p in parents), strict=True))
        if candidate.proposal.origin == "mutation":
            assert child != parents[0]
    assert len({prune(candidate.genotype) for candidate in evaluated}) == len(evaluated)


def test_generations_breed_half_by_crossover_half_by_mutation_from_the_fittest(search):
    result = search(Evolution(SearchSpace(), SMALL, 0))

    for generation in range(1, 5):
        earlier = [candidate for candidate in result.evaluated if candidate.proposal.generation < generation]
        fittest = {c.index for c in sorted(earlier, key=lambda c: -c.fitness)[:4]}
        born = [c.proposal for c in result.evaluated if c.proposal.generation == generation]
        assert Counter(proposal.origin for proposal in born) == {"crossover": 6, "mutation": 6}
        for proposal in born:
            assert set(proposal.parents) <= fittest
            assert len(set(proposal.parents)) == (2 if proposal.origin == "crossover" else 1)


def test_a_single_parent_breeds_by_mutation(search):
    result = search(Evolution(SearchSpace(), StrategySettings(population=4, generations=2, top_k=1), 0))

    assert {c.proposal.origin for c in result.evaluated if c.proposal.generation} == {"mutation"}


def test_where_the_fittest_have_no_new_child_random_genotypes_fill_up(search):
    result = search(Evolution(SearchSpace(3), StrategySettings(8, 2, 2, mutation_prob=0.0), 0))

    later = Counter(c.proposal.origin for c in result.evaluated if c.proposal.generation)
    assert later["mutation"] == 0
    assert later["random"] >= 8
    assert len(result.evaluated) == 24


def test_the_population_is_the_fittest_of_all_generations_first_evaluated_first(cost_of):
    class Steps:
        def evaluate(self, genotypes):
            return [Evaluation({"AP": len(set(genotype.paths)) / 10}) for genotype in genotypes]

    result = run_search(RandomSearch(SearchSpace(), SMALL, 0), Steps(), cost_of, Constraints(), History())

    expected = sorted(result.evaluated, key=lambda c: (-c.fitness, c.index))
    assert result.population == tuple(expected[:4])
    assert result.best == expected[0]
    assert expected[0].fitness == expected[1].fitness


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(STRATEGIES.built_in)), st.integers(1, 7))
def test_the_same_seed_gives_the_same_search_at_any_batch_size(seed, name, batch_size):
    def history(size):
        record = History()
        strategy = STRATEGIES.all[name](SearchSpace(3), StrategySettings(5, 2, 3), seed)
        run_search(strategy, Hashed(), lambda g: Cost(1, 1), Constraints(), record, batch_size=size)
        return record.recorded

    assert history(1) == history(batch_size)


def test_other_seeds_give_other_searches(search):
    first, second = (search(Evolution(SearchSpace(), SMALL, seed)) for seed in (0, 1))

    assert {c.genotype for c in first.evaluated}.isdisjoint(c.genotype for c in second.evaluated)


def test_all_strategies_begin_with_the_same_random_generation(search):
    results = [search(STRATEGIES.all[name](SearchSpace(), SMALL, 0)) for name in STRATEGIES.built_in]

    assert len({tuple(c.genotype for c in result.evaluated[:12]) for result in results}) == 1


def test_batches_are_full_but_never_over_a_generation(search, evaluator):
    search(Evolution(SearchSpace(), SMALL, 0), batch_size=5)

    assert evaluator.batch_sizes == [5, 5, 2] * 5


@pytest.mark.parametrize("name", STRATEGIES.built_in)
def test_only_candidates_within_the_constraints_are_evaluated(search, evaluator, cost_of, name):
    limit = Constraints(max_macs=107_000_000_000, max_params=36_500_000)

    result = search(STRATEGIES.all[name](SearchSpace(), SMALL, 0), limit)

    assert len(result.evaluated) == len(evaluator.asked) == 60
    assert all(limit.satisfied(cost_of(prune(genotype))) for genotype in evaluator.asked)
    assert all(candidate.cost == cost_of(prune(candidate.genotype)) for candidate in result.evaluated)


def test_constraints_that_nothing_meets_tell_the_smallest_cost(search, evaluator):
    with pytest.raises(InfeasibleError) as error:
        search(Evolution(SearchSpace(2), SMALL, 0), Constraints(max_macs=99_900_000_000))

    assert error.value.exit_code == 5
    assert "no genotype with at most 99.9G MACs in 10,000 draws" in str(error.value)
    assert "the smallest seen were 100G MACs and 30M parameters" in str(error.value)
    assert not evaluator.asked


def test_a_strategy_that_goes_past_the_admission_is_told(search):
    class Careless(RandomSearch):
        def ask(self, admission):
            return [Proposal(Genotype.of(["top_down"]))]

    with pytest.raises(OpanasError, match=r"did not draw with admission\.first_new"):
        search(Careless(SearchSpace(1), SMALL, 0))


def test_the_cost_of_a_pruned_genotype_is_asked_once(evaluator, cost_of):
    asked = []

    def counted(genotype):
        asked.append(genotype)
        return cost_of(genotype)

    run_search(RandomSearch(SearchSpace(2), StrategySettings(), 0), evaluator, counted, Constraints(), History())

    assert len(asked) == len(set(asked)) == 185


def test_metrics_stay_unrounded_and_undefined_ones_are_left_out(search, evaluator):
    best = search(Evolution(SearchSpace(), SMALL, 0)).best

    assert best.metrics == {"AP": evaluator.fitness(best.genotype), "seen": 1.0}
    assert best.fitness == best.metrics["AP"]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([{"AP": math.nan}], "candidate 0: AP is not defined, only nothing"),
        ([{"AP": math.inf, "AP50": 0.5}], "candidate 0: AP is not defined, only AP50: .* choose another search.metric"),
        ([{"AP50": 0.5, "AR": 0.1}], "candidate 0: AP is not defined, only AP50, AR"),
        ([], "given 1 genotypes, but got back 0"),
    ],
)
def test_a_fitness_that_is_none_is_an_error_and_not_recorded(cost_of, metrics, message):
    class Broken:
        def evaluate(self, genotypes):
            return list(map(Evaluation, metrics))

    history = History()
    with pytest.raises(OpanasError, match=message):
        run_search(Evolution(SearchSpace(), SMALL, 0), Broken(), cost_of, Constraints(), history)
    assert not history.recorded


def test_a_candidate_has_finite_figures_only():
    for fitness, other in ((math.nan, 0.5), (0.5, math.inf)):
        with pytest.raises(ValueError, match="must be finite numbers"):
            Candidate(0, Proposal(Genotype.of(["top_down"])), Cost(1, 1), fitness, {"AP": other})


def test_progress_tells_every_candidate_the_best_and_the_total(search):
    told = []

    result = search(Evolution(SearchSpace(), SMALL, 0), on_progress=told.append)

    assert [progress.candidate for progress in told] == list(result.evaluated)
    assert [p.best.fitness for p in told] == [max(c.fitness for c in result.evaluated[: i + 1]) for i in range(60)]
    assert {progress.total for progress in told} == {60}
    assert not any(progress.resumed for progress in told)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("population", 0),
        ("generations", -1),
        ("top_k", 0),
        ("mutation_prob", 1.1),
        ("mutation_prob", -0.1),
    ],
)
def test_settings_without_sense_are_refused(setting, value):
    with pytest.raises(UsageError, match=f"{setting} .*but got {value}"):
        StrategySettings(**{setting: value})


def test_the_defaults_are_the_papers():
    assert StrategySettings() == StrategySettings(population=50, generations=12, top_k=10, mutation_prob=0.1)


class Hashed:
    """A fitness without structure."""

    def evaluate(self, genotypes):
        pruned = map(prune, genotypes)
        return [Evaluation({"AP": sum(i * len(path) for i, path in enumerate(g.paths)) % 97 / 97}) for g in pruned]


class Idle(RandomSearch):
    def ask(self, admission):
        return []


class Failing(RandomSearch):
    def ask(self, admission):
        raise ValueError("no idea")


class Confused(RandomSearch):
    def ask(self, admission):
        return [1, 2]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Idle, "the strategy Idle proposed nothing"),
        (Failing, r"the strategy Failing failed: no idea \(ValueError"),
        (Confused, "the strategy Confused failed: 'int' object has no attribute 'genotype'"),
    ],
)
def test_a_strategy_that_fails_is_named(search, kind, message):
    with pytest.raises(OpanasError, match=message):
        search(kind(SearchSpace(), SMALL, 0))
