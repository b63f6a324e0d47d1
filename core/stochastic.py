"""What stocBiO, BSA and TTSA share: lower steps and the implicit gradient, each part on its own batch (`core.draws`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from core.counter_random import integers
from core.draws import Draws, along, batch_of, entry, truncation_of
from core.linear.stochastic_neumann import cut_at_random, released_series, series
from core.loops import Limit, scan
from core.optimizers import GradientDescent, Optimizer
from core.problem import Bilevel
from core.products import linearize, lower_gradient, upper_gradients
from core.schedules import power_decay
from core.solvers.base import Metrics, check_lower_steps, moved
from core.trees import Tree, add_scaled, counter, subtract

RULES = ("published", "released", "random", "series")


def hessian_batches(rule: str, terms: int) -> int:
    """How many batches for products with H_vv the rule takes, for Q = `terms`."""
    return {"published": terms, "released": 1, "random": terms - 1, "series": terms - 1}[rule]


def lower_descent(
    problem: Bilevel,
    u: Tree,
    v: Tree,
    batch: Any,
    *,
    steps: int,
    step_size: float | Tensor,
    power: float = 0.0,
    limit: Limit = (),
) -> Tree:
    """v after `steps` of projected gradient descent on g, step t on the t-th lower batch, with step_size (t + 1)^-power."""
    path, at = along(batch, "lower", steps)

    def update(carry: tuple[Tree, Tensor], x: Any) -> tuple[Tree, Tensor]:
        v, t = carry
        size = step_size * power_decay(1.0, power, t, v)
        return problem.project_lower(add_scaled(v, -size, lower_gradient(problem, u, v, at(x)))), t + 1

    moved: Tree = scan(update, (v, counter(v)), steps, limit, along=path)[0][0]
    return moved


def implicit_gradient(
    problem: Bilevel,
    u: Tree,
    v: Tree,
    batch: Any,
    *,
    rule: str,
    terms: int,
    step_size: float,
    cut: Tensor | None = None,
) -> Tree:
    """grad_u f - H_uv w, a tree like u, with w from a Neumann series of H_vv^{-1} grad_v f.

    One gradient of f, one cross product, and, with Q = `terms`, Q ("published", "released") or Q - 1 products with H_vv; one
    gradient of g, and with `Draws` one more for each Hessian batch.

    Args:
        rule: "published": Q + 1 terms; "released": that of stocBiO's code; "random": one of Q terms, times Q;
            "series": those Q terms.
        step_size: eta. cut: which term, for "random": a scalar integer tensor in {0, .., Q - 1}.
    Source: see `core.linear.stochastic_neumann`.
    """
    direct, b = upper_gradients(problem, u, v, batch_of(batch, "upper"))
    point = linearize(problem, u, v, batch_of(batch, "cross"))
    path, apart = None, isinstance(batch, Draws)
    if rule == "released":
        at = linearize(problem, u, v, entry(batch.hessian, 0)) if apart else point
        return subtract(direct, point.cross(released_series(at.hessian, b, steps=terms, step_size=step_size)))
    products = hessian_batches(rule, terms)
    if apart and products:
        path, _ = along(batch, "hessian", products)

    def product(q: Tree, x: Any) -> Tree:
        return linearize(problem, u, v, x).hessian(q) if apart else point.hessian(q)

    if rule == "random":
        assert cut is not None
        w = cut_at_random(product, b, cut, terms=terms, step_size=step_size, along=path)
    else:
        w = series(product, b, steps=products, step_size=step_size, along=path)
    return subtract(direct, point.cross(w))


@dataclass(frozen=True)
class Truncated:
    """What BSA and TTSA have in common: hyper-parameters, draws, and the step in u.

    Attributes:
        upper_step_size, upper_decay: sigma and a of sigma_k = sigma (k + 1)^-a. lower_step_size, lower_decay: of v.
        neumann_terms: Q. neumann_step_size: eta, at most 1 / |H_vv|.
        estimate: "random", one term of the series times Q; "series", its mean; "released", what stocBiO's code runs under
            these solvers' names: the sum of `core.linear.stochastic_neumann.released_series`.
        upper_optimizer: how the hypergradient becomes a step.
    """

    problem: Bilevel
    lower_steps: int = 10
    upper_step_size: float = 1e-3
    upper_decay: float = 0.0
    lower_step_size: float = 1e-4
    lower_decay: float = 0.0
    neumann_terms: int = 10
    neumann_step_size: float = 0.1
    estimate: str = "random"
    upper_optimizer: Optimizer = GradientDescent()

    def __post_init__(self) -> None:
        check_lower_steps(self.lower_steps)
        if self.estimate not in ("random", "series", "released"):
            raise ValueError(f"estimate is 'random', 'series' or 'released', not {self.estimate!r}")
        if self.neumann_terms < 1:
            raise ValueError(f"neumann_terms is at least 1, not {self.neumann_terms}")

    def draws(self) -> Mapping[str, int]:
        """Of `core.draws.Draws`; one batch for all roles will do too."""
        hessian = hessian_batches(self.estimate, self.neumann_terms)
        return {"upper": 1, "lower": self.lower_steps, "hessian": hessian, "cross": 1}

    def end(self, state: Any, v: Tree, batch: Any) -> tuple[Any, Metrics]:
        """The step in u that follows the lower steps: its truncation from the batch, or from (seed, iteration)."""
        cut = truncation_of(batch)
        if cut is None:
            cut = integers(state.seed, state.iteration, self.neumann_terms)
        gradient = implicit_gradient(
            self.problem,
            state.u,
            v,
            batch,
            rule=self.estimate,
            terms=self.neumann_terms,
            step_size=self.neumann_step_size,
            cut=cut,
        )
        step_size = power_decay(self.upper_step_size, self.upper_decay, state.iteration, state.u)
        return moved(self, state, v, gradient, batch_of(batch, "cross"), step_size)
