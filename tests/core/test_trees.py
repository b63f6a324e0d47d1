"""Arithmetic on trees."""

from __future__ import annotations

import pytest
import torch

from core import trees
from tests.core.checks import assert_identical, assert_near
from tests.core.quadratics import normal, u_flat, u_tree, v_flat, v_tree


def test_arithmetic_on_a_tree_is_that_on_its_entries() -> None:
    x, y = normal(5, seed=1), normal(5, seed=2)
    scale = torch.tensor(0.7, dtype=torch.float64)
    assert_identical(v_flat(trees.add_scaled(v_tree(x), scale, v_tree(y))), x + scale * y)
    assert_identical(v_flat(trees.scaled(-2.0, v_tree(x))), -2.0 * x)
    assert_identical(v_flat(trees.subtract(v_tree(x), v_tree(y))), x - y)
    assert_near(trees.dot(v_tree(x), v_tree(y)), x @ y)
    assert_near(trees.squared_norm(v_tree(x)), x @ x)
    assert_near(trees.squared_norm(x), x @ x)
    assert trees.dimension(v_tree(x)) == 5
    assert_identical(v_flat(trees.zeros_like(v_tree(x))), torch.zeros(5, dtype=torch.float64))
    assert_identical(v_flat(trees.full_like(v_tree(x), 3.0)), torch.full((5,), 3.0, dtype=torch.float64))


def test_dicts_and_tuples_nest() -> None:
    x = normal(3, seed=3)
    assert_identical(u_flat(trees.scaled(2.0, u_tree(x))), 2.0 * x)
    assert [leaf.numel() for leaf in trees.leaves(u_tree(x))] == [1, 1, 1]


def test_where_takes_one_side_whole() -> None:
    x, y = v_tree(normal(5, seed=4)), v_tree(normal(5, seed=5))
    assert_identical(trees.where(torch.tensor(True), x, y), x)
    assert_identical(trees.where(torch.tensor(False), x, y), y)


def test_where_passes_over_what_is_not_finite_on_the_other_side() -> None:
    x = torch.tensor([1.0, 2.0])
    assert_identical(trees.where(torch.tensor(True), x, x / 0), x)


def test_detach_leaves_the_graph() -> None:
    x = torch.ones(2, requires_grad=True)
    assert not trees.detach({"x": 2 * x})["x"].requires_grad


def test_scalars_take_the_dtype_of_the_tree() -> None:
    assert trees.scalar(0.1, {"x": torch.zeros(2)}).dtype == torch.float32
    assert trees.scalar(0.1, (torch.zeros(2, dtype=torch.float64),)).item() == 0.1
    assert trees.counter({"x": torch.zeros(2)}).dtype == torch.int64


def test_trees_of_different_structure_are_refused() -> None:
    with pytest.raises(ValueError, match="mismatch"):
        trees.add_scaled({"x": torch.zeros(2)}, 1.0, (torch.zeros(2),))
    with pytest.raises(ValueError, match="shorter"):
        trees.dot((torch.zeros(2), torch.zeros(2)), (torch.zeros(2),))
