"""Random integers as functions of (seed, counter)."""

from __future__ import annotations

import pytest
import torch
from torch.func import vmap

from core.counter_random import integers, seed_tensor, threefry


def word(value: int) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.int64)


@pytest.mark.parametrize(
    ("key", "count", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_answers(key: tuple[int, int], count: tuple[int, int], expected: object) -> None:
    """The known answers of the authors' Random123 for Threefry-2x32 of 20 rounds."""
    x, y = threefry((word(key[0]), word(key[1])), (word(count[0]), word(count[1])))
    assert (x.item(), y.item()) == expected


@pytest.mark.parametrize("high", [2, 3, 7, 10])
@pytest.mark.parametrize("seed", [0, 1, -5, 2**40 + 3])
def test_integers_are_uniform(seed: int, high: int) -> None:
    """Pearson's statistic stays below its mean plus five standard deviations."""
    count = 20000
    found = integers(word(seed), torch.arange(count), high)
    observed = torch.bincount(found, minlength=high).double()
    assert len(observed) == high
    statistic = ((observed - count / high) ** 2 / (count / high)).sum().item()
    assert statistic < (high - 1) + 5 * (2 * (high - 1)) ** 0.5


def test_neighbours_in_counter_seed_and_stream_are_uncorrelated() -> None:
    count, high = 20000, 1000
    ticks = torch.arange(count)
    one = integers(word(0), ticks, high).double()
    for other in (
        integers(word(0), ticks + 1, high),
        integers(word(1), ticks, high),
        integers(word(2**32), ticks, high),
        integers(word(0), ticks, high, stream=1),
    ):
        correlation = torch.corrcoef(torch.stack([one, other.double()]))[0, 1].abs().item()
        assert correlation < 5 / count**0.5
        assert (one == other).double().mean().item() < 5 / high


def test_rows_of_a_batch_are_the_draws_alone() -> None:
    seeds, ticks = torch.tensor([3, 4, 5]), torch.tensor([0, 7, 7])
    together = vmap(lambda seed, tick: integers(seed, tick, 100))(seeds, ticks)
    alone = [integers(seed, tick, 100).item() for seed, tick in zip(seeds, ticks, strict=True)]
    assert together.tolist() == alone


def test_a_draw_is_of_its_seed_and_counter_alone() -> None:
    seed = seed_tensor(11, torch.zeros(2))
    assert seed.dtype == torch.int64
    before = integers(seed, torch.arange(50), 10)
    torch.manual_seed(1)
    assert torch.equal(integers(seed, torch.arange(50), 10), before)
    assert before.min() >= 0
    assert before.max() < 10
    assert integers(seed, torch.arange(50), 1).unique().tolist() == [0]


@pytest.mark.parametrize("high", [0, 2**31])
def test_a_range_that_cannot_be_drawn_is_refused(high: int) -> None:
    with pytest.raises(ValueError, match="high is from 1"):
        integers(word(0), word(0), high)
