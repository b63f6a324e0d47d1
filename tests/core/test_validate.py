"""A wrong u, v or batch is a ValueError that names it: in every solver, and in every hypergradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from core import Bilevel, hypergradient, solvers
from core.products import derivatives
from core.validate import check_start, explained, reason, shape
from tests.core.cases import CASES, PROBLEM, make
from tests.core.everything import PROBLEM_OF_ANY, SETTINGS, estimate, everything, takes
from tests.core.quadratics import U, V, normal, on_trees, points, u_tree, v_tree

# starts

WRONG_STARTS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "integers": (lambda x: torch.ones_like(x, dtype=torch.int64), "must be of floating point, it is of torch.int64"),
    "booleans": (lambda x: torch.ones_like(x, dtype=torch.bool), "must be of floating point, it is of torch.bool"),
    "NaN": (lambda x: torch.where(torch.arange(len(x)) < 2, torch.nan, x), "is not finite at the start: 2 entries"),
    "infinity": (lambda x: x / torch.arange(len(x)), "is not finite at the start: 1 entries"),
    "a gradient": (lambda x: x.clone().requires_grad_(), r"asks for gradients \(requires_grad\): start from detached"),
    "no tensor": (lambda x: x.tolist(), "holds no tensor: it is a list"),
    "nothing": (lambda x: None, "holds no tensor: it is a NoneType"),
}


@pytest.mark.parametrize("wrong", WRONG_STARTS)
@pytest.mark.parametrize("case", CASES)
def test_a_wrong_start_is_refused_by_name(case: str, wrong: str) -> None:
    u, v = points()
    spoil, words = WRONG_STARTS[wrong]
    with pytest.raises(ValueError, match=f"^u {words}"):
        make(case).init(spoil(u), v)
    with pytest.raises(ValueError, match=f"^v {words}"):
        make(case).init(u, spoil(v))


@pytest.mark.parametrize("case", CASES)
def test_one_wrong_leaf_of_a_tree_is_enough(case: str) -> None:
    u, v = (u_tree(points()[0]), v_tree(points()[1]))
    solver = make(case, on_trees(PROBLEM))
    with pytest.raises(ValueError, match=r"^u must be of floating point"):
        solver.init({**u, "rate": torch.tensor(1)}, v)
    with pytest.raises(ValueError, match=r"^v is not finite at the start: 1 entries"):
        solver.init(u, v._replace(bias=v.bias * torch.inf))
    with pytest.raises(ValueError, match=r"^u holds a float beside its tensors: make it a tensor"):
        solver.init({**u, "rate": 0.1}, v)


@pytest.mark.parametrize("case", CASES)
def test_u_and_v_on_two_devices_are_refused(case: str) -> None:
    u, v = points()
    with pytest.raises(ValueError, match="u is on cpu, v on meta: move one of them"):
        make(case).init(u, v.to("meta"))


def test_a_good_start_is_not_refused() -> None:
    check_start(*points())
    check_start(u_tree(points()[0]), v_tree(points()[1]))
    check_start(*(x.to("meta") for x in points()))


@pytest.mark.parametrize("method", SETTINGS)
def test_integers_of_a_hypergradient_are_refused_by_name(method: str) -> None:
    u, v = points()
    with pytest.raises(ValueError, match="^u must be of floating point, it is of torch.int64"):
        estimate(method, PROBLEM_OF_ANY, torch.ones(U, dtype=torch.int64), v)
    with pytest.raises(ValueError, match="^v must be of floating point, it is of torch.int64"):
        estimate(method, PROBLEM_OF_ANY, u, torch.ones(V, dtype=torch.int64))


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("method", SETTINGS)
def test_a_hypergradient_at_nan_is_refused_by_name(method: str, part: int) -> None:
    at = list(points())
    at[part] = at[part] * torch.nan
    with pytest.raises(ValueError, match=f"^{'uv'[part]} is not finite at the start"):
        estimate(method, PROBLEM, *at)


def test_inside_vmap_a_hypergradient_at_nan_is_nan() -> None:
    """There no entry can be looked at."""
    u, v = points()
    rows = torch.stack([u, u * torch.nan])
    found = torch.func.vmap(lambda u: estimate("reverse", PROBLEM, u, v))(rows)
    assert torch.isfinite(found[0]).all()
    assert torch.isnan(found[1]).all()


def test_exact_takes_vectors() -> None:
    u, v = points()
    with pytest.raises(ValueError, match=r"^exact takes vectors, v is Layers of .*: flatten it, or take implicit-cg"):
        estimate("exact", on_trees(PROBLEM), u, v_tree(v))


# settings


@pytest.mark.parametrize("method", SETTINGS)
def test_a_setting_that_a_hypergradient_does_not_have_is_named(method: str) -> None:
    with pytest.raises(ValueError, match=rf"^hypergradient {method} has no setting speed; it has: "):
        hypergradient(PROBLEM, *points(), method=method, **SETTINGS[method], speed=1)


@pytest.mark.parametrize("method", ["forward", "one-step", "reverse", "truncated"])
def test_a_setting_that_is_missing_is_named(method: str) -> None:
    with pytest.raises(ValueError, match=rf"^hypergradient {method} needs (steps, )?step_size"):
        hypergradient(PROBLEM, *points(), method=method)


@pytest.mark.parametrize("setting", ["steps", "step_size", "damping"])
def test_a_negative_setting_of_a_hypergradient_is_named(setting: str) -> None:
    with pytest.raises(ValueError, match=rf"^{setting} of hypergradient implicit-gd is not negative, it is -1"):
        hypergradient(PROBLEM, *points(), method="implicit-gd", **{setting: -1})


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        *((("penalty"), setting) for setting in ("gamma_0", "lambda_0", "epsilon_0", "gamma_growth", "epsilon_decay")),
        *((("v-pbgd"), setting) for setting in ("gamma_0", "gamma_max")),
        *((("f2sa"), setting) for setting in ("lambda_0", "lambda_growth", "lower_step_size")),
        *((("ttsa"), setting) for setting in ("upper_decay", "neumann_step_size")),
    ],
)
@pytest.mark.parametrize("value", [-0.5, float("nan")])
def test_a_negative_setting_of_a_solver_is_named(name: str, setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{setting} of solver {name} is not negative, it is {value}"):
        solvers.make(name, PROBLEM, **{setting: value})


@pytest.mark.parametrize(
    ("name", "setting", "value", "words"),
    [
        ("penalty", "gamma_0", torch.tensor(-1.0), "is not negative"),
        ("gd", "lower_steps", 2.5, "is a whole number"),
        ("k-rmd", "kept", "two", "is a whole number"),
        ("gd", "upper_step_size", float("inf"), "is finite"),
    ],
)
def test_other_wrong_settings_are_named(name: str, setting: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=rf"^{setting} of solver {name} {words}, it is "):
        solvers.make(name, PROBLEM, **{setting: value})


def test_a_full_test_needs_its_own_batch() -> None:
    solver = solvers.make("penalty", PROBLEM, test_batch="full")
    with pytest.raises(ValueError, match=r"^test_batch='full': the batch is a core.solvers.penalty.WithTest"):
        solver.step(solver.init(*points()), normal(V, seed=3))


# shapes and batches


@everything
def test_a_wrong_shape_is_named_with_all_shapes(call: Any, name: str) -> None:
    u, v = points()
    with pytest.raises(ValueError, match=r"^[fg]\(u, v, batch\) cannot be evaluated with u \[3\], v \[6\], batch None: \S"):
        call(name, PROBLEM, u, normal(V + 1, seed=1))
    with pytest.raises(ValueError, match=r"^[fg]\(u, v, batch\) cannot be evaluated with u \[4\], v \[5\], batch None: \S"):
        call(name, PROBLEM, normal(U + 1, seed=1), v)


@everything
def test_a_batch_that_does_not_fit_is_named_with_all_shapes(call: Any, name: str) -> None:
    u, v = points()
    words = r"^g\(u, v, batch\) cannot be evaluated with u \[3\], v \[5\], batch"
    with pytest.raises(ValueError, match=rf"{words} \[7\]: The size of tensor"):
        call(name, PROBLEM, u, v, normal(7, seed=2))
    with pytest.raises(ValueError, match=rf"{words} dict of \[5\]: unsupported operand"):
        call(name, PROBLEM, u, v, {"x": normal(V, seed=2)})
    asking = Bilevel(PROBLEM.upper, lambda u, v, batch: PROBLEM.lower(u, v, batch["y"]))
    with pytest.raises(ValueError, match=rf"{words} dict of \[5\]: there is no 'y'"):
        call(name, asking, u, v, {"x": normal(V, seed=2)})
    asking = Bilevel(PROBLEM.upper, lambda u, v, batch: PROBLEM.lower(u, v, batch.images))
    with pytest.raises(ValueError, match=rf"{words} \[5\]: .* no attribute 'images'"):
        call(name, asking, u, v, normal(V, seed=2))


@everything
def test_the_wrong_cost_is_the_one_that_is_named(call: Any, name: str) -> None:
    def broken(u: Any, v: Any, batch: Any) -> Any:
        return v[torch.tensor([0, 99])].sum()

    words = r"\(u, v, batch\) cannot be evaluated with u \[3\], v \[5\], batch None: index 99 is out of bounds"
    with pytest.raises(ValueError, match=f"^g{words}"):
        call(name, Bilevel(PROBLEM.upper, broken), *points())
    if "gradients_f" in takes(call, name):
        with pytest.raises(ValueError, match=f"^f{words}"):
            call(name, Bilevel(broken, PROBLEM.lower), *points())


# the words


def test_nothing_is_wrong_with_a_good_problem() -> None:
    assert reason(PROBLEM, *points(), None, derivatives) is None
    u, v = u_tree(points()[0]), v_tree(points()[1])
    assert reason(on_trees(PROBLEM), u, v, normal(V, seed=3), derivatives) is None


def test_an_error_that_is_not_of_the_costs_comes_through_as_it_is() -> None:
    error = RuntimeError("of something else")

    def fails() -> None:
        raise error

    with pytest.raises(RuntimeError) as found:
        explained(fails, PROBLEM, *points(), None, derivatives)
    assert found.value is error


def test_the_cause_is_kept() -> None:
    u, v = points()
    with pytest.raises(ValueError, match=r"^g\(u, v, batch\)") as found:
        estimate("implicit-cg", PROBLEM, u, v, normal(7, seed=2))
    assert isinstance(found.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (torch.zeros(2, 3), "[2, 3]"),
        (torch.tensor(1.0), "[]"),
        (None, "None"),
        (3, "int"),
        ([1, 2], "list"),
        ({"a": torch.zeros(2), "b": (torch.zeros(1), None)}, "dict of [2], [1], None"),
        ([torch.zeros(1)] * 9, f"list of {', '.join(['[1]'] * 8)}, ..."),
    ],
)
def test_shapes_in_words(tree: Any, words: str) -> None:
    assert shape(tree) == words
