"""Two gloo processes, each with half of every minibatch, and one process with the joined batch: the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import grad, jvp, vmap

from core import Bilevel, parallel, solvers
from core.networks.classifiers import Network, Parameters
from core.networks.wide_resnet import BatchNorm, here, wide_resnet
from core.optimizers import SparseAdam
from core.products import (
    linearize,
    lower_gradient,
    lower_gradients,
    lower_tangents,
    penalty_gradients,
    upper_gradient,
    upper_gradients,
)
from core.trees import Tree, leaves, scaled, tree_map
from pipelines.denoising.problem import Batch, denoising, importances
from tests.core.checks import assert_identical, assert_near

WORKERS, ROWS, EXAMPLES = 2, 8, 20
TOLERANCE = 1e-13  # of gradients and products; 3e-15 is reached, asked for is 1e-6
AFTER_STEPS = 1e-10  # Adam divides small gradients by themselves; 2e-12 is reached
WRONG = 1e-4  # a wrong reduction is at least so far off


def small() -> Network:
    def block(inside: int, outside: int) -> tuple[nn.Module, ...]:
        return nn.Conv2d(inside, outside, 3, bias=False), BatchNorm(outside), nn.ReLU()

    with torch.device("meta"):
        return Network(nn.Sequential(*block(1, 4), *block(4, 6), nn.Flatten(), nn.Linear(6 * 16, 10)), (1, 8, 8))


NETWORKS: dict[str, Callable[[], Network]] = {"small": small, "wide": lambda: wide_resnet(10, 1, (1, 8, 8))}


def at(name: str, clean: int = ROWS) -> tuple[Network, Tensor, Parameters, Batch]:
    """A network and a point; importances near 0.9 for the first worker's rows, near 0.2 for the second's."""
    network, draws = NETWORKS[name](), torch.Generator().manual_seed(5)

    def images(count: int) -> Tensor:
        return torch.randn(count, 1, 8, 8, generator=draws, dtype=torch.float64)

    v = {key: leaf + 0.1 * torch.randn(leaf.shape, generator=draws, dtype=torch.float64)
         for key, leaf in network.initial(draws, torch.float64).items()}  # fmt: skip
    index = torch.randperm(EXAMPLES, generator=draws)[:ROWS]
    u = 0.1 * torch.randn(EXAMPLES, generator=draws, dtype=torch.float64)
    u[index[: ROWS // 2]] += 1.0
    u[index[ROWS // 2 :]] -= 0.7
    labels = torch.arange(ROWS + clean) % 10
    return network, u, v, Batch(images(ROWS), labels[:ROWS], index, images(clean), labels[ROWS:])


def own(batch: Batch) -> Batch:
    """The rows of this worker alone."""
    return Batch(*(leaf[parallel.rows(len(leaf))] for leaf in batch))


def by_shares(network: Network) -> Bilevel:
    """The denoising problem where a worker is handed its own rows only."""
    whole = parallel.data_parallel(network).whole

    def upper(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        losses = F.cross_entropy(whole.logits(parallel.spread(v), batch.clean_images), batch.clean_labels, reduction="none")
        return parallel.weighted_mean(torch.ones_like(losses), losses)

    def lower(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        weights = importances(parallel.spread(u)[batch.index])
        losses = F.cross_entropy(whole.logits(parallel.spread(v), batch.images), batch.labels, reduction="none")
        return parallel.weighted_mean(weights, losses)

    return Bilevel(upper, lower)


def like(tree: Tree, seed: int) -> Tree:
    draws = torch.Generator().manual_seed(seed)
    return tree_map(lambda leaf: torch.randn(leaf.shape, generator=draws, dtype=leaf.dtype), tree)


def products(problem: Bilevel, u: Tensor, v: Parameters, batch: Batch) -> dict[str, Any]:
    """All that `core.products` makes of a problem at a point."""
    weights: dict[str, Any] = {"gamma": 0.7, "nu": scaled(0.1, like(v, 1)), "lam": 0.3}
    q, point = like(v, 2), linearize(problem, u, v, batch)
    two = tree_map(lambda leaf: torch.stack([leaf, 2 * leaf.flip(0)]), (like(u, 3), q))
    return {
        "f": problem.upper(u, v, batch),
        "g": problem.lower(u, v, batch),
        "gradients of f": upper_gradients(problem, u, v, batch)[1],
        "gradients of g": lower_gradients(problem, u, v, batch),
        "linearised": point.lower_gradient,
        "Hessian product": point.hessian(q),
        "cross product": point.cross(q),
        "batched products": lower_tangents(problem, u, v, batch, *two),
        "forward over reverse": jvp(lambda v_: grad(problem.lower, argnums=1)(u, v_, batch), (v,), (q,))[1],
        **{f"penalty in {wrt}": penalty_gradients(problem, u, v, batch, wrt=wrt, **weights)[:3] for wrt in ("u", "v", "uv")},
    }


def steps(problem: Bilevel, name: str, u: Tensor, v: Parameters, batch: Batch, count: int = 2) -> Any:
    """The state after some steps of a solver."""
    # so large a tolerance is met at every step, and the multiplier moves
    more: dict[str, Any] = {"epsilon_0": 1e6, "lambda_0": 0.1} if name == "penalty" else {}
    sizes = {"lower_steps": 2, "upper_step_size": 0.1, "lower_step_size": 0.01}
    solver = solvers.make(name, problem, upper_optimizer=SparseAdam(), **sizes, **more)
    state = solver.init(u, v)
    for _ in range(count):
        state, _ = solver.step(state, batch)
    return state


STEPS = (("small", "penalty"), ("small", "approxgrad"), ("wide", "penalty"))


def right(name: str) -> dict[str, Any]:
    """What a worker comes to, with the problem made in both ways."""
    network, u, v, batch = at(name)
    joined = denoising(parallel.data_parallel(network))
    return {
        "network": products(joined, u, v, batch),
        "shares": products(by_shares(network), u, v, own(batch)) if name == "small" else {},
        "steps": {solver: steps(joined, solver, u, v, batch) for one, solver in STEPS if one == name},
    }


def with_moments(network: Network, reduce: Callable[[Tensor], Tensor]) -> Bilevel:
    """The denoising problem with another reduction in batch norm."""
    joined = parallel.data_parallel(network)
    for layer in joined.module.modules():
        if isinstance(layer, BatchNorm):
            layer.reduce = reduce
    return denoising(joined)


def wrong() -> dict[str, Any]:
    """Reductions that one might write instead; of each what shows that it is wrong."""
    network, u, v, batch = at("small")
    alone = denoising(parallel.data_parallel(network).whole)
    equal = torch.zeros_like(u)
    weights: dict[str, Any] = {"gamma": 0.7, "nu": scaled(0.0, v), "lam": 0.0, "wrt": "v"}

    def averaged(tree: Tree) -> Tree:
        return scaled(1 / WORKERS, parallel.total(tree))

    def mean_of_means(u: Tensor, v: Parameters, batch: Batch) -> Tensor:
        value: Tensor = averaged(alone.lower(parallel.spread(u), parallel.spread(v), batch))
        return value

    one_each = with_moments(network, here)
    constant = with_moments(network, lambda own: parallel.mean(own.detach()) + 0 * own)
    return {
        "moments of each worker": one_each.lower(u, v, batch),
        "moments without a derivative, value": constant.lower(u, v, batch),
        "moments without a derivative": lower_gradient(constant, u, v, batch),
        "a normaliser of each worker": mean_of_means(u, v, own(batch)),
        "averaged after the product, gradient": averaged(lower_gradient(alone, equal, v, own(batch))),
        "averaged after the product": averaged(penalty_gradients(alone, equal, v, own(batch), **weights).lower),
    }


def work(rank: int, folder: str) -> None:
    """One of the two processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORKERS)
    network, u, v, batch = at("small", clean=7)
    found = {name: right(name) for name in NETWORKS} | {"wrong": wrong()}
    found["undivided"] = upper_gradients(denoising(parallel.data_parallel(network)), u, v, batch)[1]
    try:
        parallel.rows(7)
    except ValueError as error:
        found["refused"] = str(error)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What each of the two workers came to."""
    folder = tmp_path_factory.mktemp("parallel")
    mp.spawn(work, (str(folder),), nprocs=WORKERS)
    yield [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(WORKERS)]


@pytest.mark.parametrize(("name", "way"), [("small", "network"), ("small", "shares"), ("wide", "network")])
def test_gradients_and_products_are_those_of_the_joined_batch(found: list[Any], name: str, way: str) -> None:
    network, u, v, batch = at(name)
    expected = products(denoising(network), u, v, batch)
    for key, value in expected.items():
        assert_near(found[0][name][way][key], value, TOLERANCE)


@pytest.mark.parametrize(("name", "solver"), STEPS)
def test_steps_of_solvers_are_those_of_the_joined_batch(found: list[Any], name: str, solver: str) -> None:
    network, u, v, batch = at(name)
    expected = steps(denoising(network), solver, u, v, batch)
    assert_near(found[0][name]["steps"][solver], expected, AFTER_STEPS)
    if solver == "penalty":  # u, v and the multiplier have moved
        assert int(expected.rounds) == 2
        assert max(float(leaf.abs().max()) for leaf in leaves(expected.nu)) > 1e-3


def test_the_workers_hold_the_same_bits_and_words(found: list[Any]) -> None:
    assert found[0].pop("refused") == found[1].pop("refused") == "7 rows cannot be shared equally among 2 workers"
    assert_identical(found[0], found[1])


def far(actual: Tree, expected: Tree) -> bool:
    """Whether some leaf is off by more than `WRONG` of its size."""
    pairs = zip(leaves(actual), leaves(expected), strict=True)
    return any(float((a - b).abs().max()) > WRONG * float(b.abs().max()) for a, b in pairs)


@pytest.mark.parametrize("what", ["moments of each worker", "a normaliser of each worker"])
def test_a_sum_of_each_worker_gives_another_cost(found: list[Any], what: str) -> None:
    network, u, v, batch = at("small")
    assert far(found[0]["wrong"][what], denoising(network).lower(u, v, batch))


def test_moments_without_a_derivative_give_another_gradient(found: list[Any]) -> None:
    network, u, v, batch = at("small")
    problem, what = denoising(network), "moments without a derivative"
    assert_near(found[0]["wrong"][f"{what}, value"], problem.lower(u, v, batch), TOLERANCE)
    assert far(found[0]["wrong"][what], lower_gradient(problem, u, v, batch))


def test_averaging_after_the_product_is_right_for_gradients_alone(found: list[Any]) -> None:
    """At equal importances the workers' gradients have the joined one for their mean; products of each with its own w
    have not."""
    network, u, v, batch = at("small")
    problem, u, what = denoising(network), torch.zeros_like(u), "averaged after the product"
    assert_near(found[0]["wrong"][f"{what}, gradient"], lower_gradient(problem, u, v, batch), TOLERANCE)
    expected = penalty_gradients(problem, u, v, batch, gamma=0.7, nu=scaled(0.0, v), lam=0.0, wrt="v").lower
    assert far(found[0]["wrong"][what], expected)


def test_a_batch_that_the_workers_do_not_divide(found: list[Any]) -> None:
    network, u, v, batch = at("small", clean=7)
    assert_near(found[0]["undivided"], upper_gradients(denoising(network), u, v, batch)[1], TOLERANCE)


def test_one_process_is_left_as_it_is() -> None:
    network, u, v, batch = at("small")
    problem = denoising(network)
    assert_identical(products(denoising(parallel.data_parallel(network)), u, v, batch), products(problem, u, v, batch))
    assert_identical(upper_gradient(by_shares(network), u, v, own(batch)), torch.zeros_like(u))
    assert parallel.workers() == 1
    assert all(layer.reduce is here for layer in network.module.modules() if isinstance(layer, BatchNorm))


def test_a_start_is_that_of_the_network() -> None:
    network = wide_resnet(10, 1)
    starts = [one.initial(torch.Generator().manual_seed(0)) for one in (network, parallel.data_parallel(network))]
    assert_identical(*starts)


def test_batch_norm_of_torch_is_refused() -> None:
    with torch.device("meta"):
        network = Network(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), (1, 8, 8))
    with pytest.raises(ValueError, match=r"1 is a BatchNorm2d: use core\.networks\.wide_resnet\.BatchNorm"):
        parallel.data_parallel(network)


def test_maps_over_rows_need_no_group() -> None:
    assert torch.equal(vmap(parallel.mean)(torch.eye(3)), torch.eye(3))
