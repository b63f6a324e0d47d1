"""MAML, ANIL and iMAML: their meta-gradients against explicit inner loops, and against closed forms of linear regression."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.func import grad, hessian, vmap

from core import Bilevel, hypergradient, meta, solvers
from core.optimizers import GradientDescent
from core.products import counting, upper_gradient
from tests.core.cases import steps
from tests.core.checks import assert_near
from tests.core.quadratics import normal

TASKS, SHOTS, INPUTS, HIDDEN = 3, 5, 2, 4
ALPHA, LAMBDA = 0.2, 0.7


class Task(NamedTuple):
    """Examples of one task, or with a leading axis of several."""

    x: Tensor
    y: Tensor
    x_query: Tensor
    y_query: Tensor


def tasks(seed: int, features: int = INPUTS) -> Task:
    draw = [normal(TASKS, SHOTS, *shape, seed=100 * seed + k) for k, shape in enumerate([(features,), (), (features,), ()])]
    return Task(*draw)


def one(batch: Task, i: int) -> Task:
    return Task(*(leaf[i] for leaf in batch))


# a tanh network: body and head


def network(seed: int) -> meta.Split:
    body = {"weight": normal(INPUTS, HIDDEN, seed=seed + 1), "bias": normal(HIDDEN, seed=seed + 2)}
    return meta.Split(body, (0.5 * normal(HIDDEN, seed=seed + 3), normal(1, seed=seed + 4)))


def predictions(theta: meta.Split, x: Tensor) -> Tensor:
    return torch.tanh(x @ theta.body["weight"] + theta.body["bias"]) @ theta.head[0] + theta.head[1]


def support(theta: meta.Split, task: Task) -> Tensor:
    return ((predictions(theta, task.x) - task.y) ** 2).mean()


def query(theta: meta.Split, task: Task) -> Tensor:
    return ((predictions(theta, task.x_query) - task.y_query) ** 2).mean()


def descend(x: Any, gradient: Any, rate: float) -> Any:
    return torch.utils._pytree.tree_map(lambda a, b: a - rate * b, x, gradient)


def by_inner_loops(theta: meta.Split, batch: Task, T: int, head_only: bool = False) -> Tensor:
    """The meta-objective with its inner loops written out, one task after another."""
    total = torch.zeros((), dtype=torch.float64)
    for i in range(TASKS):
        here, task = theta, one(batch, i)
        for _ in range(T):
            slope = grad(support)(here, task)
            body = here.body if head_only else descend(here.body, slope.body, ALPHA)
            here = meta.Split(body, descend(here.head, slope.head, ALPHA))
        total = total + query(here, task) / TASKS
    return total


@pytest.mark.parametrize("T", [1, 3])
@pytest.mark.parametrize("seed", range(10))
def test_reverse_mode_is_the_meta_gradient_of_maml(T: int, seed: int) -> None:
    theta, batch = network(seed), tasks(seed)
    start = meta.maml_start(theta, batch)
    found = hypergradient(
        meta.maml(support, query), theta, start, batch, method="reverse", steps=T, step_size=ALPHA
    )
    assert_near(found, grad(by_inner_loops)(theta, batch, T), 1e-11)


@pytest.mark.parametrize("T", [1, 3])
@pytest.mark.parametrize("seed", range(10))
def test_reverse_mode_is_the_meta_gradient_of_anil(T: int, seed: int) -> None:
    """Only the head adapts, but body and head are learned."""
    theta, batch = network(seed), tasks(seed)
    start = meta.anil_start(theta, batch)
    assert [leaf.shape for leaf in start] == [(TASKS, HIDDEN), (TASKS, 1)]
    found = hypergradient(
        meta.anil(support, query), theta, start, batch, method="reverse", steps=T, step_size=ALPHA
    )
    assert_near(found, grad(by_inner_loops)(theta, batch, T, True), 1e-11)


def test_without_the_reverse_pass_it_is_first_order_maml() -> None:
    """The mean of grad L_te at the adapted parameters; what the solver `gd` moves along."""
    theta, batch, T = network(1), tasks(1), 3
    problem = meta.maml(support, query)
    delta = meta.maml_start(theta, batch)
    slopes = []
    for i in range(TASKS):
        here = theta
        for _ in range(T):
            here = descend(here, grad(support)(here, one(batch, i)), ALPHA)
        slopes.append(grad(query)(here, one(batch, i)))
    expected = torch.utils._pytree.tree_map(lambda *leaves: sum(leaves) / TASKS, *slopes)
    plain = {"upper_optimizer": GradientDescent(), "lower_optimizer": GradientDescent()}
    solver = meta.Restarted(
        solvers.make("gd", problem, lower_steps=T, upper_step_size=0.1, lower_step_size=ALPHA, **plain), meta.maml_start
    )
    state, _ = solver.step(solver.init(theta, delta), batch)
    assert_near(state.u, descend(theta, expected, 0.1), 1e-11)
    assert_near(upper_gradient(problem, theta, state.v, batch), expected, 1e-11)
    full = grad(by_inner_loops)(theta, batch, T)
    assert (full.head[0] - expected.head[0]).norm() > 1e-2


def test_a_restarted_solver_forgets_the_changes() -> None:
    """Two steps of RMD on two batches are two of MAML, each from delta = 0; the plain solver goes on from the last."""
    theta, batches = network(2), [tasks(2), tasks(3)]
    plain = solvers.make(
        "rmd", meta.maml(support, query), lower_steps=2, upper_step_size=0.05, lower_step_size=ALPHA
    )
    solver = meta.Restarted(plain, meta.maml_start)
    start = meta.maml_start(theta, batches[0])
    state, warm, expected = solver.init(theta, start), plain.init(theta, start), theta
    for batch in batches:
        expected = descend(expected, grad(by_inner_loops)(expected, batch, 2), 0.05)
        state, warm = solver.step(state, batch)[0], plain.step(warm, batch)[0]
        assert_near(state.u, expected, 1e-11)
    assert (warm.u.head[0] - expected.head[0]).norm() > 1e-3
    assert (solver.problem, solver.lower_steps, solver.draws()) == (plain.problem, 2, {"shared": 1})


def test_the_number_of_tasks_does_not_change_the_number_of_calls() -> None:
    theta, batch = network(1), tasks(1)
    start = meta.maml_start(theta, batch)
    with counting() as counts:
        hypergradient(meta.maml(support, query), theta, start, batch, method="reverse", steps=3, step_size=ALPHA)
    assert {kind: number for kind, number in counts.items() if number} == {
        "gradients_f": 1,
        "gradients_g": 6,
        "hessian_products": 3,
        "cross_products": 3,
    }


# iMAML of the network


def flat_costs() -> tuple[Any, Any, int]:
    """Costs of flat parameters, for dense Hessians."""
    flat, structure = torch.utils._pytree.tree_flatten(network(0))
    shapes = [leaf.shape for leaf in flat]

    def rebuilt(x: Tensor) -> meta.Split:
        parts = torch.split(x, [shape.numel() for shape in shapes])
        leaves = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        theta: meta.Split = torch.utils._pytree.tree_unflatten(leaves, structure)
        return theta

    size = sum(shape.numel() for shape in shapes)
    return (lambda x, task: support(rebuilt(x), task)), (lambda x, task: query(rebuilt(x), task)), size


FLAT_SUPPORT, FLAT_QUERY, SIZE = flat_costs()


def regularised_minima(theta: Tensor, batch: Task, phi: Tensor, rounds: int = 8) -> Tensor:
    """argmin L_tr + lambda/2 |phi - theta|^2 of every task, by Newton's method from phi."""

    def cost(phi: Tensor, task: Task) -> Tensor:
        return FLAT_SUPPORT(phi, task) + LAMBDA / 2 * ((phi - theta) ** 2).sum()

    for _ in range(rounds):
        slopes, curvatures = vmap(grad(cost))(phi, batch), vmap(hessian(cost))(phi, batch)
        phi = phi - torch.linalg.solve(curvatures, slopes[..., None])[..., 0]
    return phi


@pytest.mark.parametrize("seed", range(10))
def test_the_implicit_hypergradient_is_that_of_imaml(seed: int) -> None:
    """mean (I + H / lambda)^{-1} grad L_te, at any phi where the system is definite."""
    theta, batch = 0.3 * normal(SIZE, seed=seed), tasks(seed)
    problem = meta.imaml(FLAT_SUPPORT, FLAT_QUERY, 8.0)
    phi = meta.imaml_start(theta, batch) + 0.1 * normal(TASKS, SIZE, seed=50 + seed)
    curvatures, slopes = vmap(hessian(FLAT_SUPPORT))(phi, batch), vmap(grad(FLAT_QUERY))(phi, batch)
    assert torch.linalg.eigvalsh(curvatures).min() > -8.0
    system = torch.eye(SIZE, dtype=torch.float64) + curvatures / 8.0
    expected = torch.linalg.solve(system, slopes[..., None])[..., 0].mean(0)
    found = hypergradient(problem, theta, phi, batch, method="implicit-cg", steps=TASKS * SIZE)
    assert_near(found, expected, 1e-9)
    assert_near(hypergradient(flattened(problem, SIZE), theta, phi.reshape(-1), batch, method="exact"), expected, 1e-9)


def flattened(problem: Bilevel, size: int) -> Bilevel:
    """The problem of v as one vector, as `exact` wants it."""
    return Bilevel(
        lambda u, v, batch: problem.upper(u, v.reshape(TASKS, size), batch),
        lambda u, v, batch: problem.lower(u, v.reshape(TASKS, size), batch),
    )


def test_at_the_minima_it_is_the_derivative_of_the_meta_objective() -> None:
    """Central differences of theta -> mean L_te(phi*(theta)), the minima by Newton's method."""
    theta, batch = 0.3 * normal(SIZE, seed=4), tasks(4)
    problem = meta.imaml(FLAT_SUPPORT, FLAT_QUERY, LAMBDA)
    phi = meta.imaml_start(theta, batch)
    for _ in range(300):
        phi = phi - 0.2 * grad(problem.lower, argnums=1)(theta, phi, batch)
    phi = regularised_minima(theta, batch, phi)
    assert grad(problem.lower, argnums=1)(theta, phi, batch).abs().max() < 1e-10
    found = hypergradient(problem, theta, phi, batch, method="implicit-cg", steps=TASKS * SIZE)

    def objective(theta: Tensor) -> Tensor:
        return problem.upper(theta, regularised_minima(theta, batch, phi, 4), batch)

    for row in 1e-5 * torch.eye(SIZE, dtype=torch.float64)[::4]:
        difference = (objective(theta + row) - objective(theta - row)) / 2e-5
        assert difference.item() == pytest.approx(found[row != 0].item(), rel=1e-6, abs=1e-8)


# linear regression in closed form


FEATURES = 3


def linear_support(w: Tensor, task: Task) -> Tensor:
    return 0.5 * ((task.x @ w - task.y) ** 2).mean()


def linear_query(w: Tensor, task: Task) -> Tensor:
    return 0.5 * ((task.x_query @ w - task.y_query) ** 2).mean()


def normal_equations(batch: Task) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(H, r) of the training and (H, r) of the query cost of all tasks: gradients are H w - r."""
    H, Hq = batch.x.mT @ batch.x / SHOTS, batch.x_query.mT @ batch.x_query / SHOTS
    r = (batch.x.mT @ batch.y[..., None])[..., 0] / SHOTS
    rq = (batch.x_query.mT @ batch.y_query[..., None])[..., 0] / SHOTS
    return H, r, Hq, rq


def times(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors[..., None])[..., 0]


def affine_maml(batch: Task, T: int) -> tuple[Tensor, Tensor]:
    """(A, b): the adapted parameters of a task are A theta + b, A = (I - alpha H)^T."""
    H, r, _, _ = normal_equations(batch)
    once = torch.eye(FEATURES, dtype=torch.float64) - ALPHA * H
    A, b = torch.eye(FEATURES, dtype=torch.float64).expand_as(H), torch.zeros_like(r)
    for _ in range(T):
        A, b = once @ A, times(once, b) + ALPHA * r
    return A, b


def affine_imaml(batch: Task) -> tuple[Tensor, Tensor]:
    """(A, b) of the regularised minima: A = (I + H / lambda)^{-1}, b = A r / lambda."""
    H, r, _, _ = normal_equations(batch)
    A = torch.linalg.inv(torch.eye(FEATURES, dtype=torch.float64) + H / LAMBDA)
    return A, times(A, r) / LAMBDA


def meta_gradient(batch: Task, affine: tuple[Tensor, Tensor], theta: Tensor) -> Tensor:
    """mean A' (H_te (A theta + b) - r_te)."""
    _, _, Hq, rq = normal_equations(batch)
    A, b = affine
    return times(A.mT, times(Hq, A @ theta + b) - rq).mean(0)


def meta_solution(batch: Task, affine: tuple[Tensor, Tensor]) -> Tensor:
    _, _, Hq, rq = normal_equations(batch)
    A, b = affine
    return torch.linalg.solve((A.mT @ Hq @ A).mean(0), times(A.mT, rq - times(Hq, b)).mean(0))


@pytest.mark.parametrize("seed", range(20))
def test_meta_gradients_of_linear_regression(seed: int) -> None:
    theta, batch = normal(FEATURES, seed=seed), tasks(seed, FEATURES)
    problem = meta.maml(linear_support, linear_query)
    start = meta.maml_start(theta, batch)
    for T in (1, 4):
        expected = meta_gradient(batch, affine_maml(batch, T), theta)
        found = hypergradient(problem, theta, start, batch, method="reverse", steps=T, step_size=ALPHA)
        assert_near(found, expected, 1e-11)

    implicit = meta.imaml(linear_support, linear_query, LAMBDA)
    A, b = affine_imaml(batch)
    phi = A @ theta + b
    expected = meta_gradient(batch, (A, b), theta)
    found = hypergradient(implicit, theta, phi, batch, method="implicit-cg", steps=TASKS * FEATURES)
    assert_near(found, expected, 1e-9)
    found = hypergradient(flattened(implicit, FEATURES), theta, phi.reshape(-1), batch, method="exact")
    assert_near(found, expected, 1e-10)
    # unrolled to convergence it is the same
    start = meta.imaml_start(theta, batch)
    found = hypergradient(implicit, theta, start, batch, method="reverse", steps=120, step_size=0.25)
    assert_near(found, expected, 1e-7)


def test_maml_and_imaml_end_at_different_solutions() -> None:
    """RMD restarted at zero minimises mean L_te after T steps; SOBA, on iMAML, mean L_te at the regularised minima."""
    batch = tasks(5, FEATURES)
    zero = torch.zeros(FEATURES, dtype=torch.float64)
    rmd = solvers.make(
        "rmd",
        meta.maml(linear_support, linear_query),
        lower_steps=2,
        upper_step_size=0.5,
        lower_step_size=ALPHA,
    )
    solver = meta.Restarted(rmd, meta.maml_start)
    of_maml = meta_solution(batch, affine_maml(batch, 2))
    state = steps(solver, solver.init(zero, meta.maml_start(zero, batch)), 300, batch)
    assert_near(state.u, of_maml, 1e-6)
    soba = solvers.make(
        "soba",
        meta.imaml(linear_support, linear_query, LAMBDA),
        upper_step_size=0.3,
        lower_step_size=0.2,
        solver_step_size=0.2,
    )
    of_imaml = meta_solution(batch, affine_imaml(batch))
    state = steps(soba, soba.init(zero, meta.imaml_start(zero, batch)), 900, batch)
    assert_near(state.u, of_imaml, 1e-6)
    assert (of_maml - of_imaml).norm() > 1e-2


def test_imaml_without_regularisation_is_refused() -> None:
    with pytest.raises(ValueError, match="regularisation"):
        meta.imaml(support, query, 0.0)
