"""Everything that takes a problem, by one call: the first step of each solver, and each hypergradient."""

from __future__ import annotations

from typing import Any

import pytest

from core import Bilevel, hypergradient
from core.products import counting
from tests.core.cases import CASES, PROBLEM, make
from tests.core.quadratics import points

SETTINGS: dict[str, dict[str, Any]] = {
    "exact": {},
    "forward": {"steps": 4, "step_size": 0.2},
    "implicit-adam": {"steps": 4, "step_size": 0.1},
    "implicit-cg": {"steps": 4},
    "implicit-fixed-point": {"steps": 4, "step_size": 0.2},
    "implicit-gd": {"steps": 4, "step_size": 0.1},
    "implicit-neumann": {"steps": 4, "step_size": 0.2},
    "one-step": {"step_size": 0.2},
    "reverse": {"steps": 4, "step_size": 0.2},
    "truncated": {"steps": 4, "step_size": 0.2, "kept": 2},
}


def run(case: str, problem: Bilevel, u: Any, v: Any, batch: Any = None) -> Any:
    """The first step of a solver."""
    solver = make(case, problem)
    return solver.step(solver.init(u, v), batch)


def estimate(method: str, problem: Bilevel, u: Any, v: Any, batch: Any = None) -> Any:
    return hypergradient(problem, u, v, batch, method=method, **SETTINGS[method])


# solvers and estimators alike: run(name, problem, u, v, batch)
EVERYTHING = [
    *[pytest.param(run, case, id=case) for case in CASES],
    *[pytest.param(estimate, method, id=f"hypergradient-{method}") for method in SETTINGS],
]
everything = pytest.mark.parametrize(("call", "name"), EVERYTHING)


def takes(call: Any, name: str) -> set[str]:
    """The kinds of oracle calls it makes."""
    with counting() as counts:
        call(name, PROBLEM, *points())
    return {kind for kind, number in counts.items() if number}


# any shapes, any dtypes
PROBLEM_OF_ANY = Bilevel(
    lambda u, v, batch: (u * u).sum() + ((v - 1) ** 2).sum(), lambda u, v, batch: (v * v).sum() * (1 + u.sum())
)
