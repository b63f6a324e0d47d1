"""The clean-label problem against closed forms in float64, its baselines by hand, and what is left of an attack."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core import solvers
from core.constraints import WithSlack, with_start
from core.products import linearize, lower_gradient, upper_gradients
from core.trees import leaves
from pipelines.clean_label import data
from pipelines.clean_label.baselines import FeatureCollision, Influence
from pipelines.clean_label.problem import (
    COLLISION,
    FORMS,
    PIXEL_WEIGHT,
    Batch,
    at_base,
    attack,
    attack_seen,
    beyond,
    costs,
    into_ball,
    seen_once,
    with_one,
)
from pipelines.poisoning.problem import Rows

DECAY, SIDE, D, N = 0.02, 3, 4, 9


def draw(seed: int = 0, radius: float = 0.5) -> tuple[Tensor, Tensor, Batch, Rows, Any]:
    """u [1, 3, 3], W [2, 5], a batch, clean rows and an encoder tanh(A u), all float64."""
    random = np.random.default_rng(seed)
    a = torch.from_numpy(random.normal(size=(SIDE * SIDE, D)))

    def encode(images: Tensor) -> Tensor:
        return torch.tanh(images.flatten(1) @ a)

    x = with_one(torch.from_numpy(random.normal(size=(N, D))))
    train = Rows(x, torch.eye(2, dtype=torch.float64)[torch.from_numpy(random.integers(2, size=N))])
    u, base = torch.from_numpy(random.uniform(size=(2, 1, SIDE, SIDE)))
    target = with_one(torch.from_numpy(random.normal(size=D)))
    label = torch.tensor([0.0, 1.0], dtype=torch.float64)
    batch = Batch(target, label, base, torch.tensor(radius, dtype=torch.float64))
    return u, torch.from_numpy(random.normal(size=(2, D + 1))), batch, train, encode


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def jacobian(encode: Any, u: Tensor) -> np.ndarray:
    """d r / d u, [D, pixels], by central differences."""
    flat, step = u.flatten(), 1e-6
    columns = []
    for place in range(len(flat)):
        ends = []
        for sign in (1, -1):
            there = flat.clone()
            there[place] += sign * step
            ends.append(encode(there.reshape(1, 1, SIDE, SIDE))[0])
        columns.append(((ends[0] - ends[1]) / (2 * step)).numpy())
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("form", FORMS)
def test_f_and_its_gradients_by_hand(form: str) -> None:
    u, w, batch, train, encode = draw()
    problem = attack(encode, form, train, DECAY)
    x: Any = WithSlack(u, batch.radius) if form == "constrained" else u
    r, t = with_one(encode(u[None]))[0].numpy(), batch.target.numpy()
    p, one, moved = softmax(w.numpy() @ t), batch.label.numpy(), (u - batch.base).numpy()
    cross, on_w = -np.log(p[1]), np.outer(p - one, t)
    pull = 2 * (jacobian(encode, u).T @ (r - t)[:-1]).reshape(u.shape)  # grad |r(t) - r(u)|^2
    apart = float(((r - t) ** 2).sum())
    value, on_u = {
        "constrained": (cross + math.sqrt(apart), pull / (2 * math.sqrt(apart))),
        "unconstrained": (cross + apart + PIXEL_WEIGHT * (moved**2).sum(), pull + 2 * PIXEL_WEIGHT * moved),
        "influence": (cross, np.zeros(u.shape)),
        COLLISION: (apart, pull),
    }[form]
    if form == COLLISION:
        on_w = np.zeros(w.shape)
    assert float(problem.upper(x, w, batch)) == pytest.approx(value, rel=1e-10)
    found_u, found_w = upper_gradients(problem, x, w, batch)
    np.testing.assert_allclose(leaves(found_u)[0].numpy(), on_u, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found_w.numpy(), on_w, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_g_and_its_products_by_hand(seed: int) -> None:
    u, w, batch, train, encode = draw(seed)
    q = torch.from_numpy(np.random.default_rng(seed + 10).normal(size=w.shape))
    r = with_one(encode(u[None]))[0].numpy()
    x, y = np.concatenate([train.x.numpy(), r[None]]), np.concatenate([train.onehot.numpy(), batch.label.numpy()[None]])
    p, s = softmax(x @ w.numpy().T), x @ q.numpy().T
    moved = p * (s - (p * s).sum(axis=1, keepdims=True))
    point = linearize(attack(encode, "influence", train, DECAY), u, w, batch)
    np.testing.assert_allclose(point.lower_gradient.numpy(), 2 * DECAY * w.numpy() + (p - y).T @ x / (N + 1), rtol=1e-10)
    np.testing.assert_allclose(point.hessian(q).numpy(), 2 * DECAY * q.numpy() + moved.T @ x / (N + 1), rtol=1e-10)
    # <q, (p - y) x'> of the poison's row, through its features
    along = ((p - y)[-1] @ q.numpy() + moved[-1] @ w.numpy())[:-1] / (N + 1)
    expected = (jacobian(encode, u).T @ along).reshape(u.shape)
    np.testing.assert_allclose(point.cross(q).numpy(), expected, rtol=1e-6, atol=1e-9)


def test_the_bound_as_a_constraint() -> None:
    u, w, batch, train, encode = draw(radius=0.5)
    problem = attack(encode, "constrained", train, DECAY)
    assert problem.equality is not None
    apart = float(((u - batch.base) ** 2).sum())
    found = float(problem.equality(WithSlack(u, torch.tensor(0.3)), w, batch))
    assert found == pytest.approx(apart - 0.25 + SIDE * SIDE * 0.09)
    begin = at_base(batch, 1e-4)
    assert float(begin.s) == pytest.approx(0.5 / SIDE)
    assert float(problem.equality(begin, w, batch)) == pytest.approx(0, abs=1e-12)
    nowhere = at_base(batch._replace(radius=torch.tensor(0.0, dtype=torch.float64)), 1e-4)
    assert float(nowhere.s) == pytest.approx(1e-2 / SIDE)


@pytest.mark.parametrize("form", ["constrained", "unconstrained"])
def test_encoding_once_is_exact(form: str) -> None:
    """Steps of the penalty with r(u) made once in each iteration are those of the penalty on the problem in u."""
    u, w, batch, train, encode = draw()
    whole = attack(encode, form, train, DECAY)
    how = {"lower_steps": 3, "upper_step_size": 0.05, "lower_step_size": 0.05, "lambda_0": 0.5, "epsilon_0": 30.0}
    once = seen_once(solvers.make("penalty", attack_seen(form, train, DECAY), **how), encode, whole)
    plain = solvers.make("penalty", whole, **how)
    begin = with_start(lambda x, v, b: beyond(x, b), u, (), batch) if form == "constrained" else u
    ends = []
    for solver in (once, plain):
        state = solver.init(begin, w)
        for _ in range(12):
            state, _ = solver.step(state, batch)
        ends.append(state)
    for field in ("u", "v", "gamma", "epsilon", "nu", "gamma_h", "rounds", "iteration"):
        for one, other in zip(leaves(getattr(ends[0], field)), leaves(getattr(ends[1], field)), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
    assert int(ends[0].rounds) > 0
    image = leaves(ends[0].u)[0]
    assert float(image.min()) >= 0 and float(image.max()) <= 1 and not torch.equal(image, u)


def test_a_step_into_the_box() -> None:
    u, w, batch, train, encode = draw()
    whole = attack(encode, "constrained", train, DECAY)
    once = seen_once(solvers.make("penalty", attack_seen("constrained", train, DECAY), upper_step_size=5.0), encode, whole)
    state, _ = once.step(once.init(with_start(lambda x, v, b: beyond(x, b), u, (), batch), w), batch)
    assert set(state.u.u.unique().tolist()) == {0.0, 1.0}


def test_the_ball() -> None:
    base = torch.tensor([[[0.5, 0.5]]])
    outside, inside = torch.tensor([[[3.5, 4.5]]]), torch.tensor([[[0.6, 0.4]]])
    torch.testing.assert_close(into_ball(outside, base, torch.tensor(1.0)), torch.tensor([[[1.1, 1.3]]]))
    torch.testing.assert_close(into_ball(inside, base, torch.tensor(1.0)), inside)
    torch.testing.assert_close(into_ball(outside, base, torch.tensor(math.inf)), outside)
    assert torch.equal(into_ball(outside, base, torch.tensor(0.0)), base)
    assert torch.equal(into_ball(base, base, torch.tensor(0.0)), base)


def test_a_step_of_feature_collision_by_hand() -> None:
    u, w, batch, train, encode = draw(radius=0.1)
    r, t = encode(u[None])[0].numpy(), batch.target.numpy()[:-1]
    pull = 2 * (jacobian(encode, u).T @ (r - t)).reshape(u.shape)
    base, step, beta = batch.base.numpy(), 0.05, 0.5
    expected = (u.numpy() - step * pull + step * beta * base) / (1 + step * beta)
    free = batch._replace(radius=torch.tensor(math.inf, dtype=torch.float64))
    attacker = FeatureCollision(attack(encode, COLLISION, train, DECAY), step, beta)
    state, _ = attacker.step(attacker.init(u, w), free)
    np.testing.assert_allclose(state.u.numpy(), expected.clip(0, 1), rtol=1e-6)
    away = expected - base
    bounded, _ = attacker.step(attacker.init(u, w), batch)
    np.testing.assert_allclose(bounded.u.numpy(), (base + away * 0.1 / np.linalg.norm(away)).clip(0, 1), rtol=1e-6)
    assert torch.equal(bounded.v, w)


def test_a_step_of_the_influence_attack_by_hand() -> None:
    """Signs of -grad_f' H^-1 H_wu at the fitted classifier, with the inverse as a dense matrix."""
    u, w, batch, train, encode = draw(radius=math.inf)
    problem = attack(encode, "influence", train, DECAY)
    inner = costs("influence", train, DECAY)
    attacker = Influence(problem, inner, encode, 0.01, lower_steps=400, lower_step_size=0.02, solver_steps=40)
    state, _ = attacker.step(attacker.init(u, w), batch)
    assert float(lower_gradient(problem, u, state.v, batch).abs().max()) < 5e-3
    point = linearize(problem, u, state.v, batch)
    rows = [point.hessian(one.reshape(2, D + 1)).flatten().numpy() for one in torch.eye(2 * (D + 1), dtype=torch.float64)]
    t, p = batch.target.numpy(), softmax(state.v.numpy() @ batch.target.numpy())
    solved = np.linalg.solve(np.stack(rows), np.outer(p - batch.label.numpy(), t).flatten())
    along = -point.cross(torch.from_numpy(solved.reshape(2, D + 1))).numpy()
    np.testing.assert_allclose(state.u.numpy(), (u.numpy() - 0.01 * np.sign(along)).clip(0, 1), atol=1e-12)


@pytest.mark.parametrize("radius", [0.0, 0.05, 0.3, 2.0, math.inf])
def test_the_final_image(radius: float) -> None:
    """In the ball to the last byte, as near to what the attack left as the ball and bytes allow."""
    random = np.random.default_rng(1)
    base = random.integers(0, 256, (3, 6, 6)).astype(np.uint8)
    u = random.uniform(size=base.shape)
    end = data.final(u, base, radius)
    length = float(np.linalg.norm(u - base / 255))
    assert end.image.dtype == np.uint8 and end.distortion <= radius
    assert end.distortion == pytest.approx(np.linalg.norm(end.image / 255 - base / 255))
    assert end.projection == pytest.approx(max(0.0, length - radius), abs=1e-12)
    if radius == 0:
        np.testing.assert_array_equal(end.image, base)
    elif radius >= length:
        np.testing.assert_array_equal(end.image, np.round(255 * u))
    else:
        assert end.distortion > 0.75 * radius and end.rounding < 0.5 * radius
    np.testing.assert_array_equal(np.add(data.difference(end.image, base), base, dtype=np.uint8), end.image)
