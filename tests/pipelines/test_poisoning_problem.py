"""The poisoning problem against closed forms in float64: gradients, products, a target that fills up, and no copy of X."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from core import solvers
from core.products import linearize, lower_gradients, penalty_gradients, upper_gradients
from core.trees import tree_map
from pipelines.poisoning.problem import Batch, Rows, into_box, poisoning

CLASSES, DECAY = 3, 0.02


def draw(seed: int = 0, points: int = 4, most: int = 6, n: int = 12, d: int = 5) -> tuple[Tensor, Tensor, Batch]:
    """u [most, d] of which the last rows only fill up, W [C, d], and the batch, all float64."""
    random = np.random.default_rng(seed)

    def rows(count: int) -> Rows:
        x = torch.from_numpy(random.uniform(size=(count, d)))
        return Rows(x, torch.eye(CLASSES, dtype=torch.float64)[torch.from_numpy(random.integers(CLASSES, size=count))])

    poisons = rows(most)
    there = (torch.arange(most) < points).double()
    batch = Batch(rows(n), rows(7), poisons.onehot * there[:, None], there, torch.tensor(float(n + points)).double())
    return poisons.x * there[:, None], torch.from_numpy(random.normal(size=(CLASSES, d))), batch


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def by_hand(u: Tensor, w: Tensor, batch: Batch, q: Tensor) -> dict[str, np.ndarray]:
    """grad_W g, grad_u g, H_WW q and H_uW q, from (P - Y)' X and its derivatives, with poisons stacked under clean rows."""
    keep = batch.there.numpy() > 0
    x = np.concatenate([batch.train.x.numpy(), u.numpy()[keep]])
    y = np.concatenate([batch.train.onehot.numpy(), batch.onehot.numpy()[keep]])
    w_, q_, count, clean = w.numpy(), q.numpy(), float(batch.count), len(batch.train.x)
    p = softmax(x @ w_.T)
    s = x @ q_.T
    moved = p * (s - (p * s).sum(axis=1, keepdims=True))  # how P changes along q
    on_u, on_uw = np.zeros(u.shape), np.zeros(u.shape)
    on_u[keep] = ((p - y) @ w_)[clean:] / count
    # <q, (P - Y)' X> = sum_i (P - Y)_i q x_i: through x_i itself, and through P
    on_uw[keep] = ((p - y) @ q_ + moved @ w_)[clean:] / count
    return {
        "w": 2 * DECAY * w_ + (p - y).T @ x / count,
        "u": on_u,
        "ww": 2 * DECAY * q_ + moved.T @ x / count,
        "uw": on_uw,
    }


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_of_g_by_hand(seed: int) -> None:
    u, w, batch = draw(seed)
    q = torch.from_numpy(np.random.default_rng(seed + 10).normal(size=w.shape))
    problem, expected = poisoning("untargeted", DECAY), by_hand(u, w, batch, q)
    on_u, on_w = lower_gradients(problem, u, w, batch)
    point = linearize(problem, u, w, batch)
    for found, name in ((on_w, "w"), (on_u, "u"), (point.hessian(q), "ww"), (point.cross(q), "uw")):
        np.testing.assert_allclose(found.numpy(), expected[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("attack", "sign"), [("untargeted", -1.0), ("targeted", 1.0)])
def test_the_penalty_s_gradients_by_hand(attack: str, sign: float) -> None:
    u, w, batch = draw()
    problem, gamma = poisoning(attack, DECAY), 3.0
    x, y = (part.numpy() for part in batch.validation)
    f_w = sign * (softmax(x @ w.numpy().T) - y).T @ x / len(x)
    on_u, on_w = upper_gradients(problem, u, w, batch)
    np.testing.assert_allclose(on_w.numpy(), f_w, rtol=1e-12, atol=1e-14)
    assert not on_u.any()
    residual = by_hand(u, w, batch, w)["w"]
    expected = by_hand(u, w, batch, torch.from_numpy(gamma * residual))
    found = penalty_gradients(problem, u, w, batch, gamma=gamma, nu=torch.zeros_like(w), lam=0.5)
    np.testing.assert_allclose(found.lower.numpy(), f_w + expected["ww"] + 0.5 * residual, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(found.upper.numpy(), expected["uw"], rtol=1e-11, atol=1e-13)


def test_the_judge_stands_where_g_has_no_gradient() -> None:
    """scikit-learn's cost is g times a constant: the classifier that judges is the lower solution of the attack."""
    u, w, batch = draw()
    keep = batch.there > 0
    x, y = torch.cat([batch.train.x, u[keep]]), torch.cat([batch.train.onehot, batch.onehot[keep]]).argmax(1)
    judge = LogisticRegression(C=1 / (2 * DECAY * len(x)), fit_intercept=False, tol=1e-12, max_iter=5000).fit(x, y)
    _, on_w = lower_gradients(poisoning("untargeted", DECAY), u, torch.from_numpy(judge.coef_), batch)
    assert float(on_w.abs().max()) < 1e-7


@pytest.mark.parametrize("method", ["penalty", "approxgrad", "rmd", "stocbio", "f2sa"])
def test_rows_that_fill_up_neither_move_nor_matter(method: str) -> None:
    ends = []
    for most in (4, 6):
        u, w, batch = draw(most=6)
        batch = batch._replace(onehot=batch.onehot[:most], there=batch.there[:most])
        solver = solvers.make(method, poisoning("untargeted", DECAY), lower_steps=3, upper_step_size=0.1)
        state = solver.init(u[:most], w)
        for _ in range(5):
            state, _ = solver.step(state, batch)
        ends.append(state)
    assert not ends[1].u[4:].any()
    torch.testing.assert_close(ends[0].u, ends[1].u[:4], rtol=1e-9, atol=1e-12)
    assert not torch.equal(ends[0].u, draw(most=6)[0][:4])


class Sizes(TorchDispatchMode):
    """Notes the number of entries of every tensor that an operation makes; views make none."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = {one.data_ptr() for one in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        for one in torch.utils._pytree.tree_leaves(out):
            if isinstance(one, Tensor) and one.data_ptr() not in inputs:
                self.made.append(one.numel())
        return out


def test_no_lower_step_copies_the_rows() -> None:
    u, w, batch = draw(n=50, d=40)
    problem = poisoning("untargeted", DECAY)
    problem.asked.update(("f", False, True))  # which is done once, on copies, before the first product
    with Sizes() as noted:
        penalty_gradients(problem, u, w, batch, gamma=1.0, nu=torch.zeros_like(w), lam=1.0, wrt="v")
        linearize(problem, u, w, batch).hessian(w)
    assert len(noted.made) > 20
    assert max(noted.made) < 50 * 40  # u, W and [n, C] are all smaller


def test_the_box() -> None:
    torch.testing.assert_close(into_box(torch.tensor([-0.5, 0.25, 1.5])), torch.tensor([0.0, 0.25, 1.0]))
    u, w, batch = draw()
    solver = solvers.make("rmd", poisoning("untargeted", DECAY), upper_step_size=1e6)
    state, _ = solver.step(solver.init(u, w), batch)
    assert float(state.u.min()) == 0.0 and float(state.u.max()) == 1.0
    assert tree_map(lambda leaf: leaf.shape, state.u) == u.shape
