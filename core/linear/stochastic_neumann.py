"""The Neumann series of A^{-1} b where every product may see another batch, in full or cut at random.

With independent A_j of mean A all three of these are multilinear in what is drawn, so their expectations are those of the
deterministic series.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from core.loops import Limit, Path, repeat, scan
from core.trees import Tree, add_scaled, scaled

Product = Callable[[Tree, Any], Tree]
"""(q, x) -> A_j q, with x the part of `along` that belongs to step j."""


def series(product: Product, b: Tree, *, steps: int, step_size: float, along: Path | None = None) -> Tree:
    """eta sum_{q=-1}^{Q-1} prod_{j=Q-q}^{Q} (I - eta A_j) b with Q = `steps` and eta = `step_size`; Q products.

    The first factor that meets b is that of A_Q. With one A: eta sum_{i=0}^{Q} (I - eta A)^i b, whose distance from
    A^{-1} b is (I - eta A)^{Q+1} A^{-1} b. Source: Ji, Yang & Liang (2021), Section 2.
    """
    if steps == 0:
        return scaled(step_size, b)

    def update(carry: tuple[Tree, Tree], x: Any) -> tuple[Tree, Tree]:
        total, term = carry
        term = add_scaled(term, -step_size, product(term, x))
        return add_scaled(total, step_size, term), term

    (total, _), _ = scan(update, (scaled(step_size, b), b), steps, along=along, reverse=True)
    return total


def released_series(product: Callable[[Tree], Tree], b: Tree, *, steps: int, step_size: float) -> Tree:
    """eta v^(Q) + sum_{q=1}^{Q} v^(q) with v^(q) = (I - eta A)^q b, Q = `steps`: what the code of stocBiO computes.

    eta multiplies the last term alone and the term q = 0 is missing: as Q grows this goes to (I - eta A)(eta A)^{-1} b, not
    to A^{-1} b. Q products. Source: JunjieYang97/stocBiO, experimental/stocBiO.py.
    """

    def update(carry: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        total, term = carry
        term = add_scaled(term, -step_size, product(term))
        return add_scaled(total, 1.0, term), term

    if steps == 0:
        return scaled(step_size, b)
    total, term = repeat(update, (scaled(0.0, b), b), steps)
    return add_scaled(total, step_size, term)


def cut_at_random(
    product: Product, b: Tree, cut: Tensor, *, terms: int, step_size: float, along: Path | None = None
) -> Tree:
    """eta Q prod_{i=1}^{p} (I - eta A_i) b with p = `cut` in {0, .., Q - 1} and Q = `terms`.

    With p uniform its mean is eta sum_{i=0}^{Q-1} (I - eta A)^i b. Q - 1 products, of which p count: the cut is data.
    Source: Ghadimi & Wang (2018), Section 3; Hong et al. (2020).
    """
    limit: Limit = cut

    def update(term: Tree, x: Any) -> Tree:
        return add_scaled(term, -step_size, product(term, x))

    term = b if terms == 1 else scan(update, b, terms - 1, limit, along=along, reverse=True)[0]
    return scaled(step_size * terms, term)
