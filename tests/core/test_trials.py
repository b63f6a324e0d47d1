"""Trials side by side are the trials alone, T is data, and a compiled run is the run step by step."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from core import Bilevel, solvers, trials
from core.optimizers import SparseAdam
from core.trees import flatten
from tests.core.cases import CASES, PROBLEM, QUADRATIC, floats, make, steps
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import U, V, normal, on_trees, points, u_tree, v_tree

TRIALS = 3
ROOT = Path(__file__).parents[2]

missing = trials.compiler_problem()
needs_compiler = pytest.mark.skipif(missing is not None, reason=f"nothing can be compiled here: {missing}")


def batch(index: int) -> Tensor:
    return 0.5 * normal(V, seed=70 + index)


def batches() -> Tensor:
    return torch.stack([batch(index) for index in range(TRIALS)], dim=-1)


def start(solver: Any, index: int, limit: int | None = None) -> Any:
    extra = {} if limit is None else {"limit": torch.tensor(limit)}
    return solver.init(*points(index), **extra)


def without_limit(state: Any) -> Any:
    """A state as its solver would have it without a limit."""
    return state._replace(limit=())


# rows


def test_stack_and_row_are_inverses() -> None:
    solver = make("penalty")
    states = [start(solver, index, 2) for index in range(TRIALS)]
    stacked = trials.stack(states)
    assert stacked.u.shape == (U, TRIALS)
    assert stacked.gamma.shape == (TRIALS,)
    for index, state in enumerate(states):
        assert_identical(trials.row(stacked, index), state)


@pytest.mark.parametrize("case", CASES)
def test_each_row_of_a_batched_run_is_that_trial_alone(case: str) -> None:
    solver = make(case)
    together = trials.stack([start(solver, index) for index in range(TRIALS)])
    together = steps(Step(solver), together, 5, batches())
    for index in range(TRIALS):
        alone = steps(solver, start(solver, index), 5, batch(index))
        assert_near(trials.row(together, index), alone, 1e-12)


@pytest.mark.parametrize("case", CASES)
def test_trials_may_share_a_batch(case: str) -> None:
    solver = make(case)
    together = trials.stack([start(solver, index) for index in range(TRIALS)])
    for shared in (None, batch(0)):
        found = steps(Step(solver, batch_axis=None), together, 2, shared)
        for index in range(TRIALS):
            assert_near(trials.row(found, index), steps(solver, start(solver, index), 2, shared), 1e-12)


@pytest.mark.parametrize("case", CASES)
def test_the_limit_of_a_row_is_its_number_of_lower_steps(case: str) -> None:
    """T is data: rows of T = 1, 2 and 4 in one program are solvers made with those lower_steps."""
    limits = (1, 4, 2)
    longest = make(case, lower_steps=4)
    together = trials.stack([start(longest, index, limit) for index, limit in enumerate(limits)])
    together = steps(Step(longest), together, 5, batches())
    for index, limit in enumerate(limits):
        own = make(case, lower_steps=limit)
        alone = steps(own, start(own, index), 5, batch(index))
        row = trials.row(together, index)
        assert row.limit.item() == limit
        assert_near(without_limit(row), alone, 1e-12)


@pytest.mark.parametrize("case", CASES)
def test_a_limit_of_all_steps_changes_nothing(case: str) -> None:
    solver = make(case)
    limited = steps(solver, start(solver, 0, solver.lower_steps), 3)
    assert_identical(without_limit(limited), steps(solver, start(solver, 0), 3))


@pytest.mark.parametrize("case", CASES)
def test_trees_are_stacked_as_well(case: str) -> None:
    solver = make(case, on_trees(PROBLEM))

    def first(index: int) -> Any:
        u, v = points(index)
        return solver.init(u_tree(u), v_tree(v), limit=torch.tensor(index + 1))

    together = steps(Step(solver), trials.stack([first(index) for index in range(TRIALS)]), 3, batches())
    for index in range(TRIALS):
        assert_near(trials.row(together, index), steps(solver, first(index), 3, batch(index)), 1e-12)


@pytest.mark.parametrize("case", CASES)
def test_float32_stays_float32_in_a_batched_run(case: str) -> None:
    solver = make(case, QUADRATIC.to(torch.float32).problem())
    states = [solver.init(*(x.float() for x in points(index)), limit=torch.tensor(2)) for index in range(TRIALS)]
    together = steps(Step(solver), trials.stack(states), 2, batches().float())
    assert floats(together) == {torch.float32}


@pytest.mark.parametrize("moments", ["example", "position"])
def test_trials_may_visit_different_entries_of_u(moments: str) -> None:
    problem = Bilevel(
        lambda u, v, batch: PROBLEM.upper(u, v, None),
        lambda u, v, batch: PROBLEM.lower(u, v, None),
        visited=lambda batch: batch,
    )
    solver = make("gd", problem, upper_optimizer=SparseAdam(moments=moments, positions=2))
    visits = [torch.tensor(pair) for pair in ([0, 1], [2, 0], [1, 2])]
    together = trials.stack([start(solver, index) for index in range(TRIALS)])
    step = trials.batched(solver)
    for round in range(3):
        rows = torch.stack([visits[(index + round) % 3] for index in range(TRIALS)], dim=-1)
        together, _ = step(together, rows)
    for index in range(TRIALS):
        state = start(solver, index)
        for round in range(3):
            state, _ = solver.step(state, visits[(index + round) % 3])
        assert_near(trials.row(together, index), state, 1e-12)


@pytest.mark.parametrize("case", ["penalty", "penalty-released"])
def test_rows_pass_the_tolerance_test_each_for_itself(case: str) -> None:
    solver = make(case)
    together = steps(Step(solver), trials.stack([start(solver, index) for index in range(TRIALS)]), 6, batches())
    rounds = [steps(solver, start(solver, index), 6, batch(index)).rounds.item() for index in range(TRIALS)]
    assert together.rounds.tolist() == rounds
    assert len(set(rounds)) > 1


class Step:
    """A batched solver with the `step` of a solver."""

    def __init__(self, solver: Any, batch_axis: int | None = -1) -> None:
        self.step = trials.batched(solver, batch_axis)


# whole runs


def settled(solver: Any, limits: bool) -> Any:
    return trials.stack([start(solver, index, index + 1 if limits else None) for index in range(TRIALS)])


@needs_compiler
def test_compiled_penalty_is_penalty_step_by_step() -> None:
    """All trials and their T in one program; how many iterations is data, so it is compiled once."""
    solver = make("penalty-released", lower_steps=3)
    step = trials.batched(solver)
    advance = trials.advancing(step)
    torch._dynamo.utils.counters.clear()
    state = settled(solver, limits=True)
    for iterations in (4, 0, 3):
        expected = trials.one_by_one(step)(state, batches(), iterations)
        state = advance(state, batches(), iterations)
        assert_near(state, expected, 1e-11)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert 0 < state.rounds.max().item() < 7
    assert state.iteration.tolist() == [7] * TRIALS


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("case", ["rmd-released", "gd", "approxgrad"])
def test_compiled_it_is_the_same_step_by_step(case: str) -> None:
    """A single trial without a limit; RMD's reverse pass runs over a path that the program keeps."""
    solver = make(case, lower_steps=4)
    advance = trials.advancing(solver.step)
    state = start(solver, 0)
    expected = trials.one_by_one(solver.step)(state, batch(0), 5)
    assert_near(advance(state, batch(0), 5), expected, 1e-11)


def traced(step: Any) -> Any:
    """A whole run as one traced program, which is run as torch does, without C++."""
    return torch.compile(functools.partial(trials._looped, step), fullgraph=True, dynamic=False, backend="aot_eager")


SHOWN = "approxgrad-cg"
"""The solver with the most loops in its program; the others take minutes together."""


def traced_and_step_by_step_agree(case: str, step: Any, state: Any, at: Any) -> None:
    _, rebuild = flatten(state)
    found = rebuild(traced(step)(torch.tensor(3), state, at))
    assert_near(found, trials.one_by_one(step)(state, at, 3), 1e-11)


@needs_compiler
@pytest.mark.parametrize("case", [SHOWN, *(pytest.param(case, marks=pytest.mark.slow) for case in CASES if case != SHOWN)])
@pytest.mark.parametrize("rows", ["a trial alone", "trials side by side"])
def test_every_solver_can_be_compiled(case: str, rows: str) -> None:
    """Loops of a program take tensors none of which is another, and of one shape throughout."""
    torch._dynamo.reset()
    solver = make(case, lower_steps=3)
    if rows == "a trial alone":
        traced_and_step_by_step_agree(case, solver.step, start(solver, 0), batch(0))
    else:
        traced_and_step_by_step_agree(case, trials.batched(solver), settled(solver, limits=True), batches())


class Kept(NamedTuple):
    """A state that keeps its last iterate, whole."""

    v: Tensor
    before: Tensor
    again: Tensor


@needs_compiler
def test_a_state_may_keep_an_earlier_iterate() -> None:
    """A loop of a program gives back none of what it took, and no tensor twice."""

    def step(state: Kept, batch: Tensor) -> tuple[Kept, dict[str, Tensor]]:
        moved = state.v - 0.1 * (state.v - batch)
        return Kept(moved, state.v, moved), {}

    start = Kept(*(normal(V, seed=seed) for seed in (1, 2, 3)))
    found = flatten(start)[1](traced(step)(torch.tensor(3), start, batch(0)))
    assert_near(found, trials.one_by_one(step)(start, batch(0), 3), 1e-12)


def test_without_a_compiler_steps_are_taken_one_by_one() -> None:
    program = """
import torch
from core import trials
from tests.core.checks import assert_identical
from tests.core.test_trials import batches, make, settled

assert trials.compiler_problem() == "BILEVEL_COMPILE=0"
solver = make("penalty-released")
step = trials.batched(solver)
state = expected = settled(solver, limits=True)
for _ in range(3):
    expected, _ = step(expected, batches())
assert_identical(trials.advancing(step)(state, batches(), 3), expected)
assert not torch._dynamo.utils.counters["stats"]
print("as expected")
"""
    environment = {**os.environ, "BILEVEL_COMPILE": "0"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "as expected", done.stderr


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.delenv("BILEVEL_COMPILE", raising=False)
    reason = trials.compiler_problem.__wrapped__()
    assert reason is not None
    assert "no C++ compiler" in reason
    assert "apt install g++" in reason


def test_no_iterations_leave_the_state_as_it_is() -> None:
    solver = make("gd")
    state = start(solver, 0)
    assert_identical(trials.one_by_one(solver.step)(state, None, 0), state)


def test_solvers_share_the_names_of_their_state() -> None:
    """What a run reads of any solver's state."""
    for name in solvers.names():
        state = start(solvers.make(name, PROBLEM), 0)
        assert {"u", "v", "iteration", "limit"} <= set(state._fields)


@needs_compiler
@pytest.mark.slow
def test_many_programs_in_one_process() -> None:
    """The compiler's own limit is eight programs of one code."""
    start = torch.zeros(3, dtype=torch.float64)
    for number in range(10):
        advance = trials.advancing(lambda state, batch, n=number: (state + (n + 1) * batch, {}))
        assert torch.equal(advance(start, torch.ones_like(start), 5), start + 5.0 * (number + 1))
