"""What is drawn for an image depends on its place in the run alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmengine.dataset import DefaultSampler
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from opanas_cli.detection.data import sample_seeds
from opanas_cli.detection.data.sample_seeds import seeded_loader


class Noisy:
    """A data set whose samples are an index and three random numbers."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.offset = 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[int, float, float, float]:
        return index + self.offset, random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    def get_data_info(self, index: int) -> dict[str, int]:
        return {"width": 2 if index % 3 else 1, "height": 1 + index % 2}


def loader_of(workers: int = 0, kind: str = "default", seed: int = 7) -> DataLoader:
    dataset = Noisy(11)
    sampler = RandomSampler(dataset) if kind == "random" else DefaultSampler(dataset, shuffle=True, seed=3)
    batches = (AspectRatioBatchSampler if kind == "aspect" else BatchSampler)(sampler, 3, False)
    return seeded_loader(DataLoader(dataset, batch_sampler=batches, num_workers=workers, collate_fn=list), seed)


def epoch(loader: DataLoader, number: int, first: int = 0) -> list[Any]:
    loader.batch_sampler.begin(number, first)
    return list(loader)


@pytest.fixture(autouse=True)
def _states() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


@pytest.mark.parametrize("kind", ["default", "aspect", "random"])
def test_an_epoch_can_begin_at_any_batch(kind: str) -> None:
    loader = loader_of(kind=kind)
    whole = epoch(loader, 2)
    assert len(whole) == len(loader) == 4
    assert sorted(sample[0] for batch in whole for sample in batch) == list(range(11))
    for first in range(5):
        torch.rand(3)
        random.random()
        assert epoch(loader_of(kind=kind), 2, first) == whole[first:]


def test_workers_draw_what_the_main_process_draws() -> None:
    alone = loader_of()
    with_workers = loader_of(workers=2)
    for number, first in ((0, 0), (1, 2)):
        assert epoch(with_workers, number, first) == epoch(alone, number, first)


def test_epochs_places_seeds_and_processes_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = [sample[1:] for number in (0, 1) for batch in epoch(loader_of(), number) for sample in batch]
    assert len(set(draws)) == 22
    other = [sample[1:] for batch in epoch(loader_of(seed=8), 0) for sample in batch]
    monkeypatch.setattr(sample_seeds, "get_rank", lambda: 1)
    rank = [sample[1:] for batch in epoch(loader_of(), 0) for sample in batch]
    assert len({*draws, *other, *rank}) == 44


def test_loading_leaves_the_generators_alone() -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    epoch(loader_of(kind="random"), 0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # noqa: NPY002


def test_hooks_find_sampler_and_data_set_where_they_look() -> None:
    loader = loader_of()
    assert isinstance(loader.batch_sampler.sampler, DefaultSampler)
    assert loader.batch_sampler.batch_size == 3
    loader.batch_sampler.begin(5, 0)
    assert loader.batch_sampler.sampler.epoch == 5
    loader.dataset.offset = 100
    assert min(sample[0] for batch in loader for sample in batch) == 100
    with pytest.raises(AttributeError):
        loader.dataset.no_such_thing  # noqa: B018


def test_an_unpickled_data_set_is_whole() -> None:
    import pickle

    dataset = sample_seeds.SeededSamples(SimpleNamespace(metainfo={"classes": ("a",)}))
    assert pickle.loads(pickle.dumps(dataset)).metainfo == {"classes": ("a",)}
