"""Optimisers against their published rules, and per-example moments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.optimizers import Adam, AdamState, GradientDescent, Momentum, SparseAdam
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import normal, v_flat, v_tree

GRADIENTS = [normal(5, seed=40 + step) * 10 ** (step % 5 - 2) for step in range(50)]
START = normal(5, seed=39)


def run(rule: Any, gradients: list[Tensor], start: Tensor, step_size: float) -> tuple[Tensor, Any]:
    params, state = start, rule.init(start)
    for gradient in gradients:
        params, state = rule.update(gradient, state, params, step_size)
    return params, state


def run_torch(optimizer: torch.optim.Optimizer, params: Tensor, gradients: list[Tensor]) -> Tensor:
    for gradient in gradients:
        params.grad = gradient.clone()
        optimizer.step()
    return params.detach()


# dense


def test_gradient_descent() -> None:
    rule = GradientDescent()
    params, state = rule.update(GRADIENTS[0], rule.init(START), START, 0.1)
    assert_identical(params, START - 0.1 * GRADIENTS[0])
    assert state == ()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_momentum_is_that_of_torch(decay: float) -> None:
    params = START.clone().requires_grad_()
    expected = run_torch(torch.optim.SGD([params], lr=0.01, momentum=decay), params, GRADIENTS)
    found, _ = run(Momentum(decay), GRADIENTS, START, 0.01)
    assert_near(found, expected, 1e-14)


@pytest.mark.parametrize(("beta1", "beta2", "epsilon"), [(0.9, 0.999, 1e-8), (0.5, 0.9, 1e-3)])
def test_adam_as_in_the_article_is_that_of_torch(beta1: float, beta2: float, epsilon: float) -> None:
    for count in (1, 2, 10, 50):
        params = START.clone().requires_grad_()
        theirs = torch.optim.Adam([params], lr=0.01, betas=(beta1, beta2), eps=epsilon)
        expected = run_torch(theirs, params, GRADIENTS[:count])
        rule = Adam(beta1, beta2, epsilon, epsilon_hat=False)
        found, state = run(rule, GRADIENTS[:count], START, 0.01)
        assert_near(found, expected, 1e-13)
        assert_near(state.mean, theirs.state[params]["exp_avg"], 1e-13)
        assert_near(state.square, theirs.state[params]["exp_avg_sq"], 1e-13)


def tensorflow_rule(
    gradients: list[np.ndarray], start: np.ndarray, step_size: float, epsilon: float = 1e-8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """lr_t = lr sqrt(1 - b2^t) / (1 - b1^t); p <- p - lr_t m / (sqrt(s) + epsilon)."""
    p, m, s = start, np.zeros_like(start), np.zeros_like(start)
    for t, d in enumerate(gradients, 1):
        m, s = 0.9 * m + 0.1 * d, 0.999 * s + 0.001 * d * d
        p = p - step_size * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(s) + epsilon)
    return p, m, s


def test_adam_by_default_is_that_of_tensorflow() -> None:
    epsilon = 1e-3  # large enough for the two rules to differ
    p, m, s = tensorflow_rule([g.numpy() for g in GRADIENTS], START.numpy(), 0.01, epsilon)
    found, state = run(Adam(epsilon=epsilon), GRADIENTS, START, 0.01)
    assert_near(found, torch.from_numpy(p), 1e-13)
    assert_near(state.mean, torch.from_numpy(m), 1e-13)
    assert_near(state.square, torch.from_numpy(s), 1e-13)
    other, _ = run(Adam(epsilon=epsilon, epsilon_hat=False), GRADIENTS, START, 0.01)
    assert (found - other).abs().max() > 1e-3


def test_adam_carries_the_powers_of_its_decays() -> None:
    _, state = run(Adam(0.8, 0.99), GRADIENTS[:7], START, 0.01)
    assert_near(state.power1, torch.tensor(0.8**7, dtype=torch.float64), 1e-14)
    assert_near(state.power2, torch.tensor(0.99**7, dtype=torch.float64), 1e-14)


def test_a_step_size_may_change_from_step_to_step() -> None:
    rule, params = Adam(epsilon_hat=False), START.clone().requires_grad_()
    theirs = torch.optim.Adam([params], lr=1.0)
    ours, state = START, rule.init(START)
    for index, gradient in enumerate(GRADIENTS[:10]):
        size = 0.1 / (index + 1)
        theirs.param_groups[0]["lr"] = size
        params.grad = gradient.clone()
        theirs.step()
        ours, state = rule.update(gradient, state, ours, torch.tensor(size, dtype=torch.float64))
    assert_near(ours, params.detach(), 1e-13)


@pytest.mark.parametrize("rule", [GradientDescent(), Momentum(), Adam(), Adam(epsilon_hat=False)])
def test_trees_move_as_flat_vectors(rule: Any) -> None:
    flat, _ = run(rule, GRADIENTS[:5], START, 0.01)
    tree, state = v_tree(START), rule.init(v_tree(START))
    for gradient in GRADIENTS[:5]:
        tree, state = rule.update(v_tree(gradient), state, tree, 0.01)
    assert_near(v_flat(tree), flat, 1e-15)


@pytest.mark.parametrize("rule", [GradientDescent(), Momentum(), Adam(), SparseAdam()])
def test_an_update_leaves_its_arguments_alone(rule: Any) -> None:
    params, state, gradient = START.clone(), rule.init(START), GRADIENTS[0].clone()
    rows = torch.tensor([1, 2]) if isinstance(rule, SparseAdam) else None
    rule.update(gradient, state, params, 0.1, rows)
    assert_identical((params, state, gradient), (START, rule.init(START), GRADIENTS[0]))


# sparse

N, B, ROUNDS = 7, 3, 30
VISITS = [torch.randperm(6, generator=torch.Generator().manual_seed(round))[:B] for round in range(ROUNDS)]
"""Entries 0 to 5 of seven; entry 6 is never visited."""


def sparse_gradient(round: int) -> Tensor:
    """Zero but for the visited entries, as the gradient of a minibatch is."""
    out = torch.zeros(N, dtype=torch.float64)
    out[VISITS[round]] = normal(B, seed=900 + round)
    return out


def sparse_run(rule: SparseAdam) -> tuple[list[Tensor], list[AdamState]]:
    params, state = normal(N, seed=899), rule.init(normal(N, seed=899))
    history, states = [params], [state]
    for round in range(ROUNDS):
        params, state = rule.update(sparse_gradient(round), state, params, 0.05, VISITS[round])
        history.append(params)
        states.append(state)
    return history, states


@pytest.mark.parametrize("adam", [Adam(), Adam(0.5, 0.9, 1e-3), Adam(epsilon_hat=False)])
def test_each_entry_follows_dense_adam_on_its_own_visits(adam: Adam) -> None:
    history, states = sparse_run(SparseAdam(adam=adam))
    for entry in range(N):
        own = [sparse_gradient(round)[entry : entry + 1] for round in range(ROUNDS) if entry in VISITS[round]]
        expected, state = run(adam, own, history[0][entry : entry + 1], 0.05)
        assert_near(history[-1][entry : entry + 1], expected, 1e-14)
        last = states[-1]
        assert_near(last.mean[entry : entry + 1], state.mean, 1e-14)
        assert_near(last.square[entry : entry + 1], state.square, 1e-14)
        assert_near(last.power1[entry], state.power1, 1e-14)
        assert_near(last.power2[entry], state.power2, 1e-14)


def test_entries_that_are_not_visited_keep_their_values_and_moments() -> None:
    history, states = sparse_run(SparseAdam())
    for round in range(ROUNDS):
        away = torch.tensor([entry for entry in range(N) if entry not in VISITS[round]])
        assert_identical(history[round + 1][away], history[round][away])
        for new, old in zip(states[round + 1], states[round], strict=True):
            assert_identical(new[away], old[away])
        assert (history[round + 1][VISITS[round]] != history[round][VISITS[round]]).all()
    assert states[-1].power1[6] == 1
    assert states[-1].square[6] == 0


def test_moments_by_position_are_the_released_rule() -> None:
    """A variable of B entries is filled with u[rows], takes a dense step of Adam, and is written back."""
    u = normal(N, seed=899).numpy().copy()
    m, s = np.zeros(B), np.zeros(B)
    for round in range(ROUNDS):
        rows = VISITS[round].numpy()
        d = sparse_gradient(round).numpy()[rows]
        m, s = 0.9 * m + 0.1 * d, 0.999 * s + 0.001 * d * d
        rate = 0.05 * np.sqrt(1 - 0.999 ** (round + 1)) / (1 - 0.9 ** (round + 1))
        u[rows] = u[rows] - rate * m / (np.sqrt(s) + 1e-8)
    history, states = sparse_run(SparseAdam(moments="position", positions=B))
    assert_near(history[-1], torch.from_numpy(u), 1e-13)
    assert_near(states[-1].mean, torch.from_numpy(m), 1e-13)
    assert_near(states[-1].square, torch.from_numpy(s), 1e-13)
    assert history[-1][6] == history[0][6]


# what is refused


def test_dense_adam_refuses_rows() -> None:
    rule = Adam()
    with pytest.raises(ValueError, match="SparseAdam"):
        rule.update(GRADIENTS[0], rule.init(START), START, 0.1, torch.tensor([0]))


def test_momentum_does_not_move_entries_that_were_not_visited() -> None:
    """It may refuse rows, as Adam does."""
    rule = Momentum()
    params, state = START, rule.init(START)
    try:
        for rows in ([0, 1], [2]):
            gradient = torch.zeros(5, dtype=torch.float64)
            gradient[rows] = 1.0
            before = params
            params, state = rule.update(gradient, state, params, 0.1, torch.tensor(rows))
    except ValueError:
        return
    assert_identical(params[:2], before[:2])


def test_sparse_adam_needs_rows_and_positions() -> None:
    rule = SparseAdam()
    with pytest.raises(ValueError, match="visited"):
        rule.update(GRADIENTS[0], rule.init(START), START, 0.1)
    with pytest.raises(ValueError, match="positions"):
        SparseAdam(moments="position")
    with pytest.raises(ValueError, match="'example' or 'position'"):
        SparseAdam(moments="entry")
