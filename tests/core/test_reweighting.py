"""Learning to reweight and Meta-Weight-Net on regressions with flipped labels, against formulas written in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import grad

from core import Bilevel, hypergradient, solvers
from core.networks import weight_net
from core.optimizers import SparseAdam
from core.products import counting
from tests.core.cases import PROBLEM, steps
from tests.core.checks import assert_near
from tests.core.quadratics import example_1, normal, points

EXAMPLES, CLEAN, FEATURES, FLIPPED = 12, 20, 3, 4
RHO = 0.3


class Regression:
    """Weighted least squares with the signs of the first labels turned, in numpy; f is the mean square on clean data."""

    def __init__(self, seed: int = 0) -> None:
        true = normal(FEATURES, seed=900 + seed).numpy()
        self.x = normal(EXAMPLES, FEATURES, seed=910 + seed).numpy()
        self.y = self.x @ true
        self.y[:FLIPPED] *= -1
        self.x_clean = normal(CLEAN, FEATURES, seed=920 + seed).numpy()
        self.y_clean = self.x_clean @ true

    def gradients(self, v: np.ndarray) -> np.ndarray:
        """grad L_i, [N, V], of L_i = (x_i'v - y_i)^2 / 2."""
        return self.x * (self.x @ v - self.y)[:, None]

    def clean_gradient(self, v: np.ndarray) -> np.ndarray:
        return self.x_clean.T @ (self.x_clean @ v - self.y_clean) / CLEAN

    def problem(self, **more: Any) -> Bilevel:
        x, y, x_clean, y_clean = (torch.from_numpy(a) for a in (self.x, self.y, self.x_clean, self.y_clean))

        def lower(u: Tensor, v: Tensor, batch: Tensor | None) -> Tensor:
            losses = 0.5 * (x @ v - y) ** 2
            return (u * losses).sum() if batch is None else (u[batch] * losses[batch]).sum()

        return Bilevel(lambda u, v, batch: 0.5 * ((x_clean @ v - y_clean) ** 2).mean(), lower, **more)

    def step(self, v: np.ndarray, rho: float, rows: list[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(weights, v) by the article: at u = 0 the virtual step does not move v."""
        gradients = self.gradients(v)[rows if rows is not None else slice(None)]
        kept = np.maximum(gradients @ self.clean_gradient(v), 0)
        weights = kept / (kept.sum() + float(kept.sum() == 0))
        return weights, v - rho * weights @ gradients


def start(seed: int = 0) -> tuple[Tensor, Tensor]:
    return torch.full((EXAMPLES,), 0.5, dtype=torch.float64), normal(FEATURES, seed=930 + seed)


# Learning to reweight


@pytest.mark.parametrize("virtual", [None, 1.0])
def test_steps_of_l2rw_in_closed_form(virtual: float | None) -> None:
    """Normalised, the weights do not depend on the size of the virtual step."""
    for seed in range(20):
        data = Regression(seed)
        solver = solvers.make("l2rw", data.problem(), lower_step_size=RHO, virtual_step_size=virtual)
        state = solver.init(*start(seed))
        v = state.v.numpy()
        for _ in range(3):
            weights, v = data.step(v, RHO)
            state, _ = solver.step(state)
            assert_near((state.u, state.v), (torch.from_numpy(weights), torch.from_numpy(v)), 1e-10)
        assert state.u.sum().item() == pytest.approx(1.0)
        assert state.u.min().item() >= 0.0


def test_examples_that_all_do_harm_weigh_nothing() -> None:
    """Every gradient against the clean one: weights of exactly zero, no NaN, and v stays."""
    data = Regression()
    data.x, data.x_clean = np.abs(data.x), np.abs(data.x_clean)
    # from v = 0 the clean data pull to the positive side, every other example to the negative
    data.y, data.y_clean = -data.x.sum(1), data.x_clean.sum(1)
    u, v = start()
    v = torch.zeros_like(v)
    assert (data.gradients(v.numpy()) @ data.clean_gradient(v.numpy())).max() < 0
    solver = solvers.make("l2rw", data.problem(), lower_step_size=RHO)
    state, _ = solver.step(solver.init(u, v))
    assert torch.equal(state.u, torch.zeros_like(u))
    assert torch.equal(state.v, v)


def test_l2rw_moves_the_visited_weights_only() -> None:
    data, rows = Regression(3), [7, 2, 10, 0]
    solver = solvers.make("l2rw", data.problem(visited=lambda batch: batch), lower_step_size=RHO)
    u, v = start(3)
    state, _ = solver.step(solver.init(u, v), torch.tensor(rows))
    weights, expected = data.step(v.numpy(), RHO, rows)
    assert_near(state.u[rows], torch.from_numpy(weights), 1e-11)
    assert_near(state.v, torch.from_numpy(expected), 1e-11)
    others = [i for i in range(EXAMPLES) if i not in rows]
    assert torch.equal(state.u[others], u[others])


@pytest.mark.parametrize("alpha", [None, 0.05])
def test_persistent_weights_move_by_the_one_step_hypergradient(alpha: float | None) -> None:
    """u <- u + eta alpha grad L_i' grad f(v^), v^ a step with the old u; then v by the new ones, not normalised."""
    data, eta, virtual = Regression(1), 0.7, 0.1 if alpha is None else alpha
    solver = solvers.make(
        "l2rw", data.problem(), persistent=True, upper_step_size=eta, lower_step_size=0.1, virtual_step_size=alpha
    )
    state = solver.init(*start(1))
    u, v = state.u.numpy(), state.v.numpy()
    for _ in range(4):
        ahead = v - virtual * u @ data.gradients(v)
        u = u + eta * virtual * data.gradients(v) @ data.clean_gradient(ahead)
        v = v - 0.1 * u @ data.gradients(v)
        state, _ = solver.step(state)
        assert_near((state.u, state.v), (torch.from_numpy(u), torch.from_numpy(v)), 1e-11)


def test_persistent_weights_of_visited_examples_only() -> None:
    data, rows = Regression(2), torch.tensor([5, 1])
    problem = data.problem(visited=lambda batch: batch)
    settings = {"upper_step_size": 0.05, "upper_optimizer": SparseAdam()}
    solver = solvers.make("l2rw", problem, persistent=True, **settings)
    before = solver.init(*start(2))
    state, _ = solver.step(before, rows)
    assert_near((state.u - before.u)[rows].abs(), torch.full((2,), 0.05, dtype=torch.float64), 1e-3)
    others = [i for i in range(EXAMPLES) if i not in rows]
    assert torch.equal(state.u[others], before.u[others])


def test_a_real_step_descends_on_the_clean_cost() -> None:
    """(f(v) - f(v')) / rho = sum w~^2 / sum w~ up to a term of the order of rho: no step goes up for small rho."""
    rates, errors = [1e-2, 1e-3, 1e-4], []
    data = Regression(1)
    problem = data.problem()
    u, v = start(1)
    kept = np.maximum(data.gradients(v.numpy()) @ data.clean_gradient(v.numpy()), 0)
    for rho in rates:
        solver = solvers.make("l2rw", problem, lower_step_size=rho)
        state, _ = solver.step(solver.init(u, v))
        fall = (problem.upper(u, v, None) - problem.upper(u, state.v, None)).item() / rho
        errors.append(abs(fall - (kept @ kept) / kept.sum()))
    assert [errors[k] / errors[k + 1] for k in range(2)] == pytest.approx([10.0, 10.0], rel=1e-2)


@pytest.mark.parametrize("T", [1, 3])
@pytest.mark.parametrize("name", ["l2rw", "meta-weight-net"])
def test_the_calls_of_one_step(name: str, T: int) -> None:
    """The virtual step and its derivative, then T real ones."""
    for settings in ({}, {"persistent": True}) if name == "l2rw" else ({}, {"preset": "released"}):
        solver = solvers.make(name, PROBLEM, lower_steps=T, **settings)
        state = solver.init(*points())
        with counting() as counts:
            solver.step(state)
        found = {kind: number for kind, number in counts.items() if number}
        assert found == {"gradients_f": 1, "gradients_g": T + 1, "cross_products": 1}


# Meta-Weight-Net


def weighted_by_network(data: Regression) -> Bilevel:
    x, y, x_clean, y_clean = (torch.from_numpy(a) for a in (data.x, data.y, data.x_clean, data.y_clean))
    return Bilevel(
        lambda u, v, batch: 0.5 * ((x_clean @ v - y_clean) ** 2).mean(),
        lambda u, v, batch: weight_net.weighted_mean(u, 0.5 * (x @ v - y) ** 2),
    )


def network(seed: int = 0, hidden: int = 100) -> dict[str, Tensor]:
    return weight_net.initial(torch.Generator().manual_seed(seed), hidden, torch.float64)


def test_the_weight_net_is_the_articles() -> None:
    """1-100-1: ReLU, sigmoid; weights between 0 and 1."""
    parameters, losses = network(), normal(5, seed=1) ** 2
    assert {name: tuple(leaf.shape) for name, leaf in parameters.items()} == {
        "inner.weight": (100,),
        "inner.bias": (100,),
        "outer.weight": (100,),
        "outer.bias": (1,),
    }
    p = {name: leaf.numpy() for name, leaf in parameters.items()}
    hidden = np.maximum(losses.numpy()[:, None] * p["inner.weight"] + p["inner.bias"], 0)
    expected = 1 / (1 + np.exp(-(hidden @ p["outer.weight"] + p["outer.bias"])))
    assert_near(weight_net.weights(parameters, losses), torch.from_numpy(expected))
    assert weight_net.weights(parameters, losses.reshape(5, 1)).shape == (5, 1)


def test_the_lower_gradient_holds_the_weights_fixed() -> None:
    data, u = Regression(), network()
    _, v = start()
    losses = 0.5 * (data.x @ v.numpy() - data.y) ** 2
    weights = weight_net.weights(u, torch.from_numpy(losses)).numpy()
    found = grad(weighted_by_network(data).lower, argnums=1)(u, v, None)
    assert_near(found, torch.from_numpy(weights @ data.gradients(v.numpy()) / EXAMPLES))


def test_steps_of_meta_weight_net_are_gradients_of_the_composed_function() -> None:
    """d/dTheta of f(v - alpha / n sum V(L_i; Theta) grad L_i), by differentiating that function as a whole."""
    beta, alpha = 0.8, 0.4
    for seed in range(20):
        data = Regression(seed)
        u, (_, v) = network(seed, 10), start(seed)
        solver = solvers.make("meta-weight-net", weighted_by_network(data), upper_step_size=beta, lower_step_size=alpha)
        state = solver.init(u, v)
        for _ in range(3):
            gradients = torch.from_numpy(data.gradients(v.numpy()))
            losses = torch.from_numpy(0.5 * (data.x @ v.numpy() - data.y) ** 2)

            def moved(theta: dict[str, Tensor], v: Tensor = v, d: Tensor = gradients, L: Tensor = losses) -> Tensor:
                return v - alpha / EXAMPLES * weight_net.weights(theta, L) @ d

            def composed(theta: dict[str, Tensor], moved: Any = moved, problem: Bilevel = solver.problem) -> Tensor:
                return problem.upper(theta, moved(theta), None)

            slope = grad(composed)(u)
            u = {name: leaf - beta * slope[name] for name, leaf in u.items()}
            v = moved(u)
            state, _ = solver.step(state)
            assert_near(state.u, u, 1e-10)
            assert_near(state.v, v, 1e-11)


def test_its_hypergradient_is_reverse_mode_through_one_step() -> None:
    u, v = points()
    solver = solvers.make("meta-weight-net", PROBLEM, upper_step_size=0.1, lower_step_size=0.2)
    state, _ = solver.step(solver.init(u, v))
    assert_near(state.u, u - 0.1 * hypergradient(PROBLEM, u, v, method="reverse", steps=1, step_size=0.2))


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_one_look_ahead_step_is_biased(alpha: float) -> None:
    """Example 1 has H_vv = H_uv = 2: rest is 2 u = alpha 2 2 v at u + v = 1, so u = 2 alpha / (1 + 2 alpha).

    That is the solution for alpha = 1 / H_vv = 1 / 2 alone.
    """
    solver = solvers.make(
        "meta-weight-net", example_1(), lower_steps=3, upper_step_size=0.1, lower_step_size=0.4, virtual_step_size=alpha
    )
    state = steps(solver, solver.init(torch.tensor([2.0]).double(), torch.tensor([-1.0]).double()), 300)
    expected = torch.tensor([2 * alpha / (1 + 2 * alpha)], dtype=torch.float64)
    assert_near((state.u, state.v), (expected, 1 - expected), 1e-8)
    if alpha == 0.1:
        assert abs(expected.item() - 0.5) > 0.3
