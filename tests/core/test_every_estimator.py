"""What every estimator of df/du keeps to: trees, batches, rows, dtypes, oracle calls, and how it is found by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.func import vmap

from core import hypergradient
from core.hypergradients import names
from core.products import counting
from tests.core.checks import assert_identical, assert_near
from tests.core.everything import SETTINGS
from tests.core.quadratics import U, V, normal, on_trees, points, quadratic, u_flat, u_tree, v_tree

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()

def test_all_names_are_here() -> None:
    assert list(SETTINGS) == names()


@pytest.mark.parametrize("method", [method for method in SETTINGS if method != "exact"])
def test_trees_give_what_flat_vectors_give(method: str) -> None:
    u, v = points()
    flat = hypergradient(PROBLEM, u, v, method=method, **SETTINGS[method])
    tree = hypergradient(on_trees(PROBLEM), u_tree(u), v_tree(v), method=method, **SETTINGS[method])
    assert_near(tree, u_tree(flat), 1e-12)
    assert_near(u_flat(tree), flat, 1e-12)


@pytest.mark.parametrize("method", SETTINGS)
def test_the_batch_reaches_the_costs(method: str) -> None:
    u, v = points()
    batch = normal(V, seed=33)
    shifted = hypergradient(QUADRATIC.shifted(batch).problem(), u, v, method=method, **SETTINGS[method])
    found = hypergradient(PROBLEM, u, v, batch, method=method, **SETTINGS[method])
    # one-step and the implicit ones see g by its second derivatives alone, which the batch leaves as they are
    moves = method in ("forward", "reverse", "truncated")
    assert_near(found, shifted)
    without = hypergradient(PROBLEM, u, v, method=method, **SETTINGS[method])
    assert ((found - without).abs().max() > 1e-3) == moves


@pytest.mark.parametrize("method", SETTINGS)
def test_a_batch_that_changes_second_derivatives_reaches_them(method: str) -> None:
    """A batch that scales f and g alike is a problem of those costs."""
    scale = torch.tensor(1.3, dtype=torch.float64)

    def scaled(cost: Any) -> Any:
        return lambda u, v, batch: cost(u, v, None) * (1 if batch is None else batch)

    u, v = points()
    problem = type(PROBLEM)(scaled(PROBLEM.upper), scaled(PROBLEM.lower))
    fixed = type(PROBLEM)(lambda u, v, b: problem.upper(u, v, scale), lambda u, v, b: problem.lower(u, v, scale))
    found = hypergradient(problem, u, v, scale, method=method, **SETTINGS[method])
    assert_near(found, hypergradient(fixed, u, v, method=method, **SETTINGS[method]), 1e-13)
    assert (found - hypergradient(problem, u, v, method=method, **SETTINGS[method])).abs().max() > 1e-3


@pytest.mark.parametrize("method", SETTINGS)
def test_each_row_of_a_stack_is_that_point_alone(method: str) -> None:
    us, vs = (torch.stack(list(part)) for part in zip(*[points(seed) for seed in range(3)], strict=True))
    batches = torch.stack([normal(V, seed=70 + seed) for seed in range(3)])

    def one(u: Any, v: Any, batch: Any) -> Any:
        return hypergradient(PROBLEM, u, v, batch, method=method, **SETTINGS[method])

    together = vmap(one)(us, vs, batches)
    for index in range(3):
        assert_near(together[index], one(us[index], vs[index], batches[index]), 1e-12)


@pytest.mark.parametrize("method", SETTINGS)
def test_float32_is_near_float64(method: str) -> None:
    u, v = points()
    single = QUADRATIC.to(torch.float32).problem()
    found = hypergradient(single, u.float(), v.float(), method=method, **SETTINGS[method])
    assert found.dtype == torch.float32
    assert_near(found.double(), hypergradient(PROBLEM, u, v, method=method, **SETTINGS[method]), 1e-5)


@pytest.mark.parametrize("method", SETTINGS)
def test_a_pure_function_leaves_its_arguments_alone(method: str) -> None:
    u, v = points()
    first = hypergradient(PROBLEM, u, v, method=method, **SETTINGS[method])
    assert_identical((u, v), points())
    assert first.shape == (U,)
    assert not first.requires_grad
    assert_identical(hypergradient(PROBLEM, u, v, method=method, **SETTINGS[method]), first)


# costs


def calls(method: str, **settings: Any) -> dict[str, int]:
    with counting() as counts:
        hypergradient(PROBLEM, *points(), method=method, **settings)
    return {kind: number for kind, number in counts.items() if number}


def oracles(f: int, g: int, hessian: int, cross: int) -> dict[str, int]:
    both = {"gradients_f": f, "gradients_g": g, "hessian_products": hessian, "cross_products": cross}
    return {kind: number for kind, number in both.items() if number}


def test_the_calls_of_the_formula_and_of_one_step() -> None:
    assert calls("exact") == oracles(1, 1, V, V)
    assert calls("one-step", step_size=0.1) == oracles(1, 1, 0, 1)


@pytest.mark.parametrize("T", [0, 1, 4, 9])
def test_the_calls_of_unrolled_steps(T: int) -> None:
    """Forward mode takes a product of each kind for every entry of u, reverse mode one."""
    steps = {"steps": T, "step_size": 0.1}
    assert calls("reverse", **steps) == oracles(1, 2 * T, T, T)
    assert calls("forward", **steps) == oracles(1, 2 * T, T * U, T * U)
    for kept in (0, 1, 4, 9, 20):
        K = min(kept, T)
        assert calls("truncated", kept=kept, **steps) == oracles(1, T + K, K, K)


@pytest.mark.parametrize("N", [0, 1, 9])
def test_the_calls_of_the_implicit_ones(N: int) -> None:
    for method, products in {"cg": 1, "neumann": 1, "fixed-point": 1, "gd": 2, "adam": 2}.items():
        assert calls(f"implicit-{method}", steps=N) == oracles(1, 1, products * N, 1)


# names


def test_the_names_of_all_estimators() -> None:
    assert names() == [
        "exact",
        "forward",
        "implicit-adam",
        "implicit-cg",
        "implicit-fixed-point",
        "implicit-gd",
        "implicit-neumann",
        "one-step",
        "reverse",
        "truncated",
    ]


@pytest.mark.parametrize("unknown", ["implicit", "implicit-sgd", "one_step", "forward-mode", ""])
def test_an_unknown_method_is_refused_with_the_known_ones(unknown: str) -> None:
    with pytest.raises(ValueError, match=", ".join(SETTINGS)):
        hypergradient(PROBLEM, *points(), method=unknown)
