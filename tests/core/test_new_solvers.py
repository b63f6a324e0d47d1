"""Solvers that come from elsewhere: the file that a new one begins as, and packages that register theirs.

That the template keeps to what every solver keeps to is tested where all of them are: it is a case of `cases.py`.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from core import hypergradient, solvers
from core.solvers import template
from tests.core import packaged
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import PLAIN, points, quadratic

ROOT = Path(__file__).parents[2]
QUADRATIC = quadratic()
PROBLEM = QUADRATIC.problem()


# the template


def test_the_template_says_what_to_do_with_it_and_has_no_name() -> None:
    assert template.__doc__ is not None
    assert "copy this file to core/solvers/<name>.py" in template.__doc__
    assert "`core.solvers.names()`" in template.__doc__
    assert "template" not in solvers.names() and "base" not in solvers.names()
    with pytest.raises(ValueError, match="no solver 'template'"):
        solvers.make("template", PROBLEM)


def test_the_readme_leads_to_the_files_that_are_there() -> None:
    text = (ROOT / "README.md").read_text()
    for file in ("core/solvers/template.py", "core/solvers/base.py", "core/solvers/__init__.py"):
        assert f"`{file}`" in text and (ROOT / file).is_file()
    assert f"`{solvers.GROUP}`" in text


def test_the_rule_of_the_template_is_the_one_in_its_head() -> None:
    """T plain steps of v, then u along the one-step estimate there, which is not df/du."""
    u, v = points()
    solver = template.SOLVER(
        problem=PROBLEM, lower_steps=3, upper_step_size=0.5, lower_step_size=0.04, inverse_step_size=0.3
    )
    state, metrics = solver.step(solver.init(u, v))
    end = QUADRATIC.path(u, v, 3, 0.04)[-1]
    gradient = QUADRATIC.truncated(u, end, 1, 0.3)
    assert_near(state.v, end, 1e-14)
    assert_near(state.u, u - 0.5 * gradient, 1e-14)
    assert_near(metrics["upper_gradient"], gradient @ gradient, 1e-13)
    assert_near(gradient, hypergradient(PROBLEM, u, end, method="one-step", step_size=0.3), 1e-13)


def test_the_template_ends_where_its_estimate_vanishes() -> None:
    """At v = v*(u), grad_u f = eta C' grad_v f: affine in u, and not the solution."""
    eta = 0.3
    solver = template.SOLVER(
        problem=PROBLEM, lower_steps=5, upper_step_size=0.1, lower_step_size=0.3, inverse_step_size=eta
    )
    state = solver.init(*points())
    for _ in range(400):
        state, _ = solver.step(state)

    def estimate(u: torch.Tensor) -> torch.Tensor:
        return QUADRATIC.truncated(u, QUADRATIC.lower_solution(u), 1, eta)

    origin = estimate(torch.zeros_like(state.u))
    columns = torch.stack([estimate(row) - origin for row in torch.eye(len(origin), dtype=origin.dtype)], dim=1)
    assert_near(state.u, -torch.linalg.solve(columns, origin), 1e-9)
    assert (state.u - QUADRATIC.solution()).norm() > 1e-2


# packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package that registers two solvers: one under a new name, one under a name of ours."""
    monkeypatch.syspath_prepend(str(packaged.install(tmp_path / "site")))
    importlib.invalidate_caches()
    return packaged.NAME


def test_a_package_registers_a_solver(package: str) -> None:
    assert solvers.names() == sorted(solvers.names()) and package in solvers.names()
    solver = solvers.make(package, PROBLEM, lower_steps=3, upper_step_size=0.5)
    assert (type(solver).__name__, type(solver).__module__) == ("Identity", "far_away.identity")
    assert (solver.lower_steps, solver.upper_step_size, solver.lower_step_size) == (3, 0.5, 1e-4)
    ours = template.SOLVER(problem=PROBLEM, lower_steps=3, upper_step_size=0.5)
    assert_identical(tuple(solver.step(solver.init(*points()))[0]), tuple(ours.step(ours.init(*points()))[0]))


def test_what_is_wrong_with_a_registered_solver_is_named_as_for_ours(package: str) -> None:
    with pytest.raises(ValueError, match=f"solver {package} has no preset 'publishd'; it has: described, released"):
        solvers.make(package, PROBLEM, preset="publishd")
    with pytest.raises(ValueError, match=f"solver {package} has no setting gamma; it has: inverse_step_size"):
        solvers.make(package, PROBLEM, gamma=1.0)
    with pytest.raises(ValueError, match=f"did you mean {package}"):
        solvers.make("far-identty", PROBLEM)


def test_no_package_changes_what_a_name_of_ours_means(package: str) -> None:
    assert solvers.names().count("penalty") == 1
    assert type(solvers.make("penalty", PROBLEM, **PLAIN)).__module__ == "core.solvers.penalty"


def test_a_package_that_is_gone_leaves_nothing() -> None:
    assert "far-identity" not in solvers.names()
