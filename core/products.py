"""The only caller of autograd: gradients of f and g, and products with the second derivatives of g.

Every call is counted by kind while a `counting()` block is open. A step of a solver has no data-dependent branch, so
the calls of one step, counted once, are those of every step; compiled code is therefore not counted as it runs.

Products are reverse over reverse: measured cheaper on a CPU than forward over reverse, and it compiles.

Where a cost cannot be evaluated or differentiated, eager code raises ValueError with the reason and the shapes of u, v and
batch (`core.validate`). What torch would silently take for a constant is found by asking g for its graph, once for each
problem (`core.graph`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad, vjp, vmap

from core.graph import check_graph, check_upper
from core.problem import Bilevel
from core.trees import Tree, add_scaled, detach, leaves, scaled, tree_map
from core.validate import NO_SECOND_DERIVATIVE, explained, reason, without_graph

KINDS = ("gradients_f", "gradients_g", "hessian_products", "cross_products", "jacobian_products_h")
_open: list[Counter[str]] = []


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count the oracle calls made inside the block; blocks nest. Yields a Counter over `KINDS`."""
    counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    _open.append(counts)
    try:
        yield counts
    finally:
        _open.pop()


def _count(**calls: int) -> None:
    if torch.compiler.is_compiling():
        return
    for counts in _open:
        counts.update(calls)


def derivatives(problem: Bilevel, u: Tree, v: Tree, batch: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The derivatives of f and g that products are made of, for `core.validate.reason` to take one after the other."""
    costs = (("f", problem.upper), ("g", problem.lower))
    for name, cost, argument in ((name, cost, argument) for name, cost in costs for argument in (0, 1)):
        first = f"{name} has no gradient in {'uv'[argument]}"
        yield first, lambda cost=cost, argument=argument: grad(cost, argnums=argument)(u, v, batch)
    inner = grad(problem.lower, argnums=1)

    def pulled(along: Callable[[Tree], Tree], at: Tree) -> Any:
        value, pull = vjp(along, at)
        return pull(value)

    yield NO_SECOND_DERIVATIVE.format("v"), lambda: pulled(lambda x: inner(u, x, batch), v)
    yield NO_SECOND_DERIVATIVE.format("u"), lambda: pulled(lambda x: inner(x, v, batch), u)
    if problem.equality is not None:
        h = problem.equality
        yield "h has no derivative in u", lambda: pulled(lambda x: h(x, v, batch), u)
        yield "h has no derivative in v", lambda: pulled(lambda x: h(u, x, batch), v)


def _explained(
    call: Callable[[], Any],
    problem: Bilevel,
    u: Tree,
    v: Tree,
    batch: Any,
    *,
    upper: bool = False,
    lower: bool = True,
    second: bool = False,
) -> Any:
    """The result of `call`, where it fails with the reason.

    Args: upper, lower: whether it asks f, and g. second: whether it takes second derivatives of g.
    """

    def asked() -> Any:
        if upper:
            check_upper(problem, u, v, batch)
        if lower:
            check_graph(problem, u, v, batch, second)
        with without_graph():
            return call()

    if torch.compiler.is_compiling():
        return call()
    return explained(asked, problem, u, v, batch, derivatives)


def lower_gradient(problem: Bilevel, u: Tree, v: Tree, batch: Any) -> Tree:
    """grad_v g(u, v), a tree like v. One gradient of g."""
    _count(gradients_g=1)
    return _explained(lambda: grad(problem.lower, argnums=1)(u, v, batch), problem, u, v, batch)


def lower_gradients(problem: Bilevel, u: Tree, v: Tree, batch: Any) -> tuple[Tree, Tree]:
    """(grad_u g, grad_v g), trees like u and v. One gradient of g."""
    _count(gradients_g=1)
    gradients: tuple[Tree, Tree] = _explained(
        lambda: grad(problem.lower, argnums=(0, 1))(u, v, batch), problem, u, v, batch
    )
    return gradients


def upper_gradient(problem: Bilevel, u: Tree, v: Tree, batch: Any) -> Tree:
    """grad_u f(u, v), a tree like u. One gradient of f."""
    _count(gradients_f=1)
    gradient = grad(problem.upper, argnums=0)
    return _explained(lambda: gradient(u, v, batch), problem, u, v, batch, upper=True, lower=False)


def upper_gradients(problem: Bilevel, u: Tree, v: Tree, batch: Any) -> tuple[Tree, Tree]:
    """(grad_u f, grad_v f), trees like u and v. One gradient of f."""
    _count(gradients_f=1)
    gradients: tuple[Tree, Tree] = _explained(
        lambda: grad(problem.upper, argnums=(0, 1))(u, v, batch), problem, u, v, batch, upper=True, lower=False
    )
    return gradients


class Linearised(NamedTuple):
    """grad_v g at one point, and the products of its derivatives with a vector q like v."""

    lower_gradient: Tree
    hessian: Callable[[Tree], Tree]
    """q -> H_vv q, a tree like v. One Hessian-vector product."""
    cross: Callable[[Tree], Tree]
    """q -> H_uv q, a tree like u. One cross product."""


def linearize(problem: Bilevel, u: Tree, v: Tree, batch: Any) -> Linearised:
    """Linearise grad_v g at (u, v), so that many products there share its graph. One gradient of g."""
    _count(gradients_g=1)
    inner = grad(problem.lower, argnums=1)
    value, pull_v = _explained(lambda: vjp(lambda v_: inner(u, v_, batch), v), problem, u, v, batch, second=True)

    def hessian(q: Tree) -> Tree:
        _count(hessian_products=1)
        if torch.compiler.is_compiling():
            # a graph made outside the body of a compiled loop cannot be used inside it
            return vjp(lambda v_: inner(u, v_, batch), v)[1](q)[0]
        return _explained(lambda: pull_v(q)[0], problem, u, v, batch)

    def cross(q: Tree) -> Tree:
        # a graph of its own: a shared one would compute the u part of every Hessian product too
        _count(cross_products=1)
        return _explained(lambda: vjp(lambda u_: inner(u_, v, batch), u)[1](q)[0], problem, u, v, batch)

    return Linearised(value, hessian, cross)


def lower_tangents(problem: Bilevel, u: Tree, v: Tree, batch: Any, du: Tree, dv: Tree) -> Tree:
    """H_vu du_i + H_vv dv_i for every row i: how grad_v g changes along (du_i, dv_i).

    One Hessian-vector and one cross product for each row, and one gradient of g.

    Args: du, dv: trees like u and v with a leading axis of rows [N, ...].
    Returns: a tree like v with that axis.
    """
    rows = leaves(dv)[0].shape[0]
    _count(gradients_g=1, hessian_products=rows, cross_products=rows)
    inner = grad(problem.lower, argnums=(0, 1))

    def pulled() -> Tree:
        # pulled back in v, (grad_u g, grad_v g) gives both products by one reverse pass
        _, pull = vjp(lambda v_: inner(u, v_, batch), v)
        return vmap(lambda a, b: pull((a, b))[0])(du, dv)

    return _explained(pulled, problem, u, v, batch, second=True)


class PenaltyGradients(NamedTuple):
    """Gradients of the penalty function at one point, and the residuals they were made from."""

    upper: Tree | None
    """grad_u (f + gamma/2 |grad_v g|^2 + nu' grad_v g + ...), like u; None where it was not asked for."""
    lower: Tree | None
    """The same in v, plus lambda grad_v g; like v; None where it was not asked for."""
    residual: Tree
    """grad_v g, like v."""
    constraint: Tree
    """h(u, v), or () where the problem has none."""


def penalty_gradients(
    problem: Bilevel,
    u: Tree,
    v: Tree,
    batch: Any,
    *,
    gamma: Tensor | float,
    nu: Tree,
    lam: Tensor | float,
    mu: Tree = (),
    gamma_h: Tensor | float | None = None,
    wrt: str = "uv",
) -> PenaltyGradients:
    """Gradients of f~1 (in u) and f~2 (in v) of Algorithm 2, by one product with w = gamma grad_v g + nu.

    w (and c = gamma_h h + mu, with a constraint) is computed once and detached; pulling (1, w, c) back through
    (f, grad_v g, h) gives grad_v f + H_vv w + (d_v h)' c + lambda grad_v g and grad_u f + H_uv w + (d_u h)' c.
    At equal batch sizes of f and g this costs 12 forward passes, four times a plain gradient.

    Args:
        gamma, lam: scalars. nu: like v. mu: like h, or (). gamma_h: the penalty weight of h, None for gamma.
        wrt: "u", "v" or "uv".

    Raises: ValueError for any other `wrt`.
    Source: Mehra & Hamm (2021), eq. (6) and Algorithm 2.
    """
    if wrt not in ("u", "v", "uv"):
        raise ValueError(f"wrt is one of u, v, uv, not {wrt!r}")
    _count(
        gradients_f=1,
        gradients_g=1,
        hessian_products=int("v" in wrt),
        cross_products=int("u" in wrt),
        jacobian_products_h=int(problem.equality is not None),
    )
    residual_of = grad(problem.lower, argnums=1)

    def pieces(u_: Tree, v_: Tree) -> tuple[Tensor, Tree, Tree]:
        constraint = () if problem.equality is None else problem.equality(u_, v_, batch)
        return problem.upper(u_, v_, batch), residual_of(u_, v_, batch), constraint

    def linearised() -> Any:
        if wrt == "u":
            return vjp(lambda u_: pieces(u_, v), u)
        return vjp(lambda v_: pieces(u, v_), v) if wrt == "v" else vjp(pieces, u, v)

    (cost, residual, constraint), pull = _explained(linearised, problem, u, v, batch, upper=True, second=True)
    if not isinstance(cost, Tensor) or cost.dim():
        # pulled back, a vector would stand for the sum of its entries
        raise ValueError(reason(problem, u, v, batch, derivatives))

    residual, constraint = detach(residual), detach(constraint)
    w = add_scaled(nu, gamma, residual)
    c = _with_multiplier(constraint, gamma if gamma_h is None else gamma_h, mu)
    pulled = _explained(lambda: pull((torch.ones_like(cost), w, c)), problem, u, v, batch)
    upper = pulled[0] if "u" in wrt else None
    # lambda grad_v g is the residual, known already: no further pull
    lower = add_scaled(pulled[-1], lam, residual) if "v" in wrt else None
    return PenaltyGradients(upper, lower, residual, constraint)


def _with_multiplier(constraint: Tree, gamma: Tensor | float, mu: Tree) -> Tree:
    c = scaled(gamma, constraint)
    return c if isinstance(mu, tuple) and not mu else tree_map(torch.add, c, mu)


def dense_second_derivatives(problem: Bilevel, u: Tensor, v: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
    """(H_vv [V, V], H_uv [U, V]) of g for flat tensors u [U] and v [V], column by column; for small problems.

    V Hessian-vector and V cross products.
    """
    point = linearize(problem, u, v, batch)
    basis = torch.eye(v.numel(), dtype=v.dtype, device=v.device)
    columns_vv = [point.hessian(row) for row in basis]
    columns_uv = [point.cross(row) for row in basis]
    return torch.stack(columns_vv, dim=1), torch.stack(columns_uv, dim=1)
