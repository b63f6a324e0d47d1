"""The clean-label attack as a bilevel problem (Mehra & Hamm, 2021, supplement E.4; arXiv:1911.03432, Section 3.4).

    g(u, W) = weight_decay |W|^2 + (sum over clean rows of l + l(r(u), y_base; W)) / (n + 1)
    f(u, W) = l(r(t), y_base; W) + |r(t) - r(u)|                                 constrained: |u - x_base| <= epsilon
            = l(r(t), y_base; W) + |r(t) - r(u)|^2 + 0.04 |u - x_base|^2         unconstrained, as the released code
            = l(r(t), y_base; W)                                                 the influence function's
            = |r(t) - r(u)|^2                                                    feature collision's

u is one image, which keeps the label of its base and its pixels in [0, 1]; t is the target, a test image that shall be
called y_base; r is a network that stays as it is, and W [2, d + 1] the victim's last layer on its features and a one. g and
l are those of `pipelines.poisoning.problem` on features.

r(u) is made once in an upper iteration (`core.representation`): f and g are costs of `Seen`, which holds u beside it. The
bound becomes |u - x_base|^2 - epsilon^2 + d s^2 = 0 with a slack s for d pixels: it is as large as what a pixel may still
move, so that steps which suit the pixels suit it too. (Without d it would move by as much as one pixel does, and hold the
image at its base for as long as it is on its way.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core import Bilevel
from core.constraints import Inequality, WithSlack, with_slack, with_start
from core.optimizers import Optimizer
from core.representation import ByFeatures
from core.trees import Tree
from pipelines.clean_label.networks import Encode
from pipelines.poisoning import problem as poisoning
from pipelines.poisoning.problem import Rows, into_box

PIXEL_WEIGHT = 0.04
"""Of the unconstrained f: the released code's 0.01 for pixels in [-1, 1]."""


class Batch(NamedTuple):
    """What tells a trial from others.

    Attributes:
        target: r(t) and a one, [d + 1]. label: y_base, [2], a one and a zero.
        base: x_base, [C, H, W]. radius: epsilon, a scalar, infinite where there is no bound.
    """

    target: Tensor
    label: Tensor
    base: Tensor
    radius: Tensor


class Seen(NamedTuple):
    """An image u [C, H, W], and its features with a one [d + 1]."""

    features: Tensor
    image: Tensor


def with_one(features: Tensor) -> Tensor:
    """Features [..., d] with a last entry of one, by which a classifier has its bias."""
    return torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)


def seen(encode: Encode, image: Tensor) -> Seen:
    """An image with its features."""
    return Seen(with_one(encode(image[None])[0]), image)


def apart(one: Seen, batch: Batch) -> Tensor:
    """|r(t) - r(u)|^2."""
    return (batch.target - one.features).square().sum()


def moved(image: Tensor, batch: Batch) -> Tensor:
    """|u - x_base|^2."""
    return (image - batch.base).square().sum()


def distance(squared: Tensor) -> Tensor:
    """The square root, with a gradient at zero."""
    return torch.sqrt(squared + 1e-12)


BESIDE: dict[str, Callable[[Seen, Batch], Tensor]] = {
    "constrained": lambda one, batch: distance(apart(one, batch)),
    "unconstrained": lambda one, batch: apart(one, batch) + PIXEL_WEIGHT * moved(one.image, batch),
    "influence": lambda one, batch: torch.zeros_like(batch.radius),
}
"""Form -> what f has beside the target's cross entropy."""
COLLISION = "feature-collision"
FORMS = (*BESIDE, COLLISION)


def costs(form: str, train: Rows, weight_decay: float) -> Bilevel:
    """f and g of `Seen`, W and a `Batch`; train: features with ones [n, d + 1]. Raises KeyError for an unknown form."""
    whole = poisoning.poisoning("targeted", weight_decay)
    there = torch.ones(1, device=train.x.device)
    count = torch.tensor(float(len(train.x) + 1), device=train.x.device)

    def rows(batch: Batch) -> poisoning.Batch:
        return poisoning.Batch(train, Rows(batch.target[None], batch.label[None]), batch.label[None], there, count)

    def upper(one: Seen, w: Tensor, batch: Batch) -> Tensor:
        if form == COLLISION:
            return apart(one, batch)
        return whole.upper(one.features[None], w, rows(batch)) + BESIDE[form](one, batch)

    return Bilevel(upper, lambda one, w, batch: whole.lower(one.features[None], w, rows(batch)))


def beyond(image: Tensor, batch: Batch) -> Tensor:
    """|u - x_base|^2 - epsilon^2, at most zero where the bound holds."""
    return moved(image, batch) - batch.radius.square()


def pixels(batch: Batch) -> float:
    """The square root of d."""
    return float(batch.base.numel()) ** 0.5


def bounded(problem: Bilevel, inequality: Inequality) -> Bilevel:
    """The problem in (u, s) with the bound as an equality."""
    whole = with_slack(problem, inequality)
    assert whole.equality is not None
    h = whole.equality
    return replace(whole, equality=lambda x, w, batch: h(x._replace(s=pixels(batch) * x.s), w, batch))


def at_base(batch: Batch, smallest: float) -> WithSlack:
    """(u, s) at x_base, with h = 0; d s^2 is at least `smallest`, for a slack of zero never moves."""
    begin = with_start(lambda u, w, b: beyond(u, b), batch.base, (), batch, smallest)
    return begin._replace(s=begin.s / pixels(batch))


def attack(encode: Encode, form: str, train: Rows, weight_decay: float) -> Bilevel:
    """The problem in u, of the constrained form in (u, s); its batch is a `Batch`."""
    one = costs(form, train, weight_decay)
    problem = Bilevel(
        lambda u, w, batch: one.upper(seen(encode, u), w, batch),
        lambda u, w, batch: one.lower(seen(encode, u), w, batch),
        project_upper=into_box,
    )
    return bounded(problem, lambda u, w, batch: beyond(u, batch)) if form == "constrained" else problem


def attack_seen(form: str, train: Rows, weight_decay: float) -> Bilevel:
    """The same in `Features`, whose upper part is a `Seen`, or a `WithSlack` of one."""
    problem = costs(form, train, weight_decay)
    if form == "constrained":
        problem = bounded(problem, lambda one, w, batch: beyond(one.image, batch))
    h = problem.equality
    return Bilevel(
        lambda x, w, batch: problem.upper(x.upper, w, batch),
        lambda x, w, batch: problem.lower(x.upper, w, batch),
        None if h is None else lambda x, w, batch: h(x.upper, w, batch),
    )


@dataclass(frozen=True)
class SeenOnce(ByFeatures):
    """`ByFeatures` with the constraint and the box, for a solver of `attack_seen`; `whole` is the problem in u."""

    whole: Bilevel | None = None

    @cached_property
    def problem(self) -> Bilevel:
        assert self.whole is not None
        return self.whole

    def init(self, u: Tree, v: Tree, seed: int = 0, limit: Any = ()) -> Any:
        """See `core.solvers.base.Solver.init`."""
        return self.naive().init(u, v, seed, limit)


@dataclass(frozen=True)
class Boxed:
    """An optimiser of u after which u is projected, for `SeenOnce`, whose solver does not see u itself."""

    optimizer: Optimizer
    project: Callable[[Tree], Tree]

    def init(self, params: Tree) -> Tree:
        return self.optimizer.init(params)

    def update(
        self, gradient: Tree, state: Tree, params: Tree, step_size: Tensor | float, rows: Tensor | None = None
    ) -> tuple[Tree, Tree]:
        params, state = self.optimizer.update(gradient, state, params, step_size, rows)
        return self.project(params), state


def seen_once(solver: Any, encode: Encode, whole: Bilevel) -> SeenOnce:
    """A solver of `attack_seen` as one of `whole`, the `attack` of the same form, that encodes once in an iteration."""

    def upper(x: Any, batch: Batch) -> Any:
        return WithSlack(seen(encode, x.u), x.s) if isinstance(x, WithSlack) else seen(encode, x)

    boxed = replace(solver, upper_optimizer=Boxed(solver.upper_optimizer, whole.project_upper))
    return SeenOnce(boxed, lower=lambda u, batch: (), upper=upper, whole=whole)


def into_ball(image: Tensor, base: Tensor, radius: Tensor) -> Tensor:
    """The projection onto |u - x_base| <= radius; of a radius of zero the base."""
    away = image - base
    length = away.square().sum().sqrt()
    return base + away * torch.where(length > radius, radius / length.clamp(min=1e-12), torch.ones_like(length))
