"""Every solver with settings that reach all of its state in a few steps.

Those of the package, and the template, are written out. A solver that was added has its defaults with large steps, so that
it keeps to what all of them keep to.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree

from core import Bilevel, solvers
from core.optimizers import Adam, Momentum
from core.solvers import template
from core.trees import leaves
from tests.core.quadratics import quadratic

QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()

# large steps, so that a few of them reach every part of the state
STEPS = {"upper_step_size": 0.05, "lower_step_size": 0.04}
Case = tuple[str, dict[str, Any]]
TEMPLATE = "template"
OWN: dict[str, Case] = {
    "gd": ("gd", STEPS),
    "gd-momentum": ("gd", {**STEPS, "upper_optimizer": Momentum(), "lower_optimizer": Momentum()}),
    "rmd": ("rmd", STEPS),
    "rmd-released": ("rmd", {**STEPS, "preset": "released"}),
    "rmd-adam": ("rmd", {**STEPS, "upper_optimizer": Adam()}),
    "approxgrad": ("approxgrad", {**STEPS, "solver_step_size": 0.1}),
    "approxgrad-decay": (
        "approxgrad",
        {**STEPS, "solver_step_size": 0.1, "extra_solver_steps": 1, "decay_every": 2},
    ),
    "approxgrad-cg": ("approxgrad", {**STEPS, "linear_solver": "cg"}),
    "penalty": ("penalty", {**STEPS, "lambda_0": 0.5, "epsilon_0": 20.0, "nu_0": 0.1}),
    "penalty-released": ("penalty", {**STEPS, "lambda_0": 0.5, "epsilon_0": 100.0, "preset": "released"}),
    "penalty-reused": ("penalty", {**STEPS, "epsilon_0": 20.0, "test_gradients": "reused"}),
    "single-level": ("single-level", {"lower_step_size": 0.04}),
    # unrolled
    "fmd": ("fmd", STEPS),
    "k-rmd": ("k-rmd", {**STEPS, "kept": 2}),
    "itd": ("itd", {**STEPS, "upper_optimizer": Momentum()}),
    "itd-restart": ("itd", {**STEPS, "restart": True}),
    "fo-itd": ("fo-itd", STEPS),
    "fo-itd-restart": ("fo-itd", {**STEPS, "restart": True}),
    # implicit
    "aid": ("aid", {**STEPS, "solver_steps": 2}),
    "aid-growing": ("aid", {**STEPS, "solver_steps": 2, "first_lower_steps": 1, "growth": 0.5, "warm_solver": False}),
    "aid-restart": (
        "aid",
        {**STEPS, "restart": True, "lower_optimizer": Momentum(), "linear_solver": "gd", "solver_step_size": 0.1},
    ),
    "aid-fixed-point": ("aid", {**STEPS, "linear_solver": "fixed-point", "solver_step_size": 0.1, "damping": 0.1}),
    "aid-neumann": ("aid", {**STEPS, "linear_solver": "neumann", "solver_step_size": 0.1}),
    "aid-adam": ("aid", {**STEPS, "linear_solver": "adam", "solver_step_size": 0.1, "solver_steps": 3}),
    # stochastic
    "stocbio": ("stocbio", {**STEPS, "neumann_step_size": 0.2}),
    "stocbio-released": ("stocbio", {**STEPS, "neumann_step_size": 0.2, "preset": "released"}),
    "bsa": ("bsa", {**STEPS, "neumann_step_size": 0.2, "neumann_terms": 4, "lower_decay": 0.5}),
    "bsa-restart": ("bsa", {**STEPS, "restart": True, "estimate": "series", "upper_optimizer": Momentum()}),
    "bsa-released": ("bsa", {**STEPS, "neumann_step_size": 0.2, "neumann_terms": 4, "preset": "released"}),
    "ttsa": ("ttsa", {**STEPS, "neumann_step_size": 0.2, "neumann_terms": 4}),
    "ttsa-series": ("ttsa", {**STEPS, "neumann_step_size": 0.2, "neumann_terms": 1, "estimate": "series"}),
    # value functions, single loops, reweighting
    "bome": ("bome", STEPS),
    "bome-value": ("bome", {**STEPS, "barrier": "value", "joint_lower_step_size": 0.03}),
    "f2sa": ("f2sa", {**STEPS, "lambda_0": 2.0, "lambda_growth": 0.5}),
    "f2sa-momentum": ("f2sa", {**STEPS, "upper_optimizer": Adam(), "lower_optimizer": Momentum()}),
    "v-pbgd": ("v-pbgd", {**STEPS, "gamma_0": 2.0, "gamma_growth": 0.5, "gamma_max": 3.2}),
    "v-pbgd-released": ("v-pbgd", {**STEPS, "preset": "released", "gamma_0": 0.0, "gamma_growth": 0.7}),
    "soba": ("soba", {**STEPS, "solver_step_size": 0.1}),
    "saba": ("saba", {**STEPS, "solver_step_size": 0.1}),
    "l2rw": ("l2rw", STEPS),
    "l2rw-persistent": ("l2rw", {**STEPS, "persistent": True, "virtual_step_size": 0.3}),
    "meta-weight-net": ("meta-weight-net", STEPS),
    "meta-weight-net-released": ("meta-weight-net", {**STEPS, "preset": "released"}),
    # what a new solver begins as; it has no name
    TEMPLATE: (TEMPLATE, {**STEPS, "upper_optimizer": Momentum()}),
}
NAMES = {name for name, _ in OWN.values()} - {TEMPLATE}
"""The solvers of the package."""


def by_default(name: str) -> Case:
    """A solver with the large steps, of those settings that it has."""
    fields = type(solvers.make(name, PROBLEM)).__dataclass_fields__
    return name, {key: value for key, value in STEPS.items() if key in fields}


CASES = OWN | {f"added {name}": by_default(name) for name in solvers.names() if name not in NAMES}


def make(case: str, problem: Bilevel = PROBLEM, **more: Any) -> Any:
    name, settings = CASES[case]
    settings = {"lower_steps": 3, **settings, **more}
    return template.SOLVER(problem=problem, **settings) if case == TEMPLATE else solvers.make(name, problem, **settings)


def steps(solver: Any, state: Any, count: int, batch: Any = None) -> Any:
    for _ in range(count):
        state, _ = solver.step(state, batch)
    return state


def settled(solver: Any, state: Any, most: int, batch: Any = None, *, move: float = 1e-10) -> Any:
    """The state once u, v and multipliers move by less than `move` in each of ten steps; after `most` at the latest."""
    calm = 0
    for _ in range(most):
        before, (state, _) = state, solver.step(state, batch)
        kept = [name for name in ("u", "v", "z", "nu", "mu") if name in state._fields]
        pairs = [zip(leaves(getattr(state, name)), leaves(getattr(before, name)), strict=True) for name in kept]
        calm = calm + 1 if all(float((a - b).abs().max()) < move for pair in pairs for a, b in pair) else 0
        if calm == 10:
            break
    return state


def floats(state: Any) -> set[torch.dtype]:
    return {leaf.dtype for leaf in pytree.tree_leaves(state) if leaf is not None and leaf.is_floating_point()}
