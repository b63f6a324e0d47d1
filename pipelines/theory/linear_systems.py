"""C38: the linear system of ApproxGrad by Adam and by conjugate gradients, error against steps.

The system is H q = grad_v f at v* of a random quadratic; the error is that of grad_u f - H_uv q. A step is one product with
H for conjugate gradients, two for Adam on |H q - b|^2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from core.linear.adam import adam
from core.linear.cg import conjugate_gradients
from core.products import dense_second_derivatives, upper_gradients
from core.trees import zeros_like
from pipelines.theory.checks import Check, Demonstration, at_most
from pipelines.theory.problems import Analytic, V, quadratic

CONDITIONS = (10.0, 100.0)
STEP_SIZES = (1.0, 0.1)
"""Of Adam, held; the best is shown."""


def linear_systems(plan: Mapping[str, Any]) -> Demonstration:
    """C38."""
    places = [step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if step <= plan["solver_steps"]]
    checks: list[Check] = []
    curves: dict[str, Sequence[float]] = {"x": [float(step) for step in places]}
    for condition in CONDITIONS:
        p = quadratic(condition, plan["seed"])
        direct, b = upper_gradients(p.problem, p.u, p.v, None)
        h, h_uv = dense_second_derivatives(p.problem, p.u, p.v, None)

        def error(q: Tensor, p: Analytic = p, direct: Tensor = direct, h_uv: Tensor = h_uv) -> float:
            return p.relative_error(direct - h_uv @ q)

        def by_cg(steps: int, h: Tensor = h, b: Tensor = b) -> Tensor:
            q: Tensor = conjugate_gradients(lambda x: h @ x, b, steps=steps)[0]
            return q

        # it stands still once converged
        cg = [error(by_cg(min(steps, 4 * V))) for steps in places]
        by_adam = []
        for size in STEP_SIZES:
            q, memory, taken, found = zeros_like(b), None, 0, []
            for steps in places:
                q, _, memory = adam(lambda x, h=h: h @ x, b, start=q, steps=steps - taken, step_size=size, state=memory)
                taken = steps
                found.append(error(q))
            by_adam.append(found)
        best = min(by_adam, key=lambda found: found[-1])
        curves |= {f"CG, condition {condition:g}": cg, f"Adam, condition {condition:g}": best}
        said = f"condition {condition:g}, {V} lower variables: relative error of the hypergradient"
        checks += [
            at_most("C38", f"{said}, {2 * V} steps of CG", error(by_cg(2 * V)), 1e-8),
            at_most("C38", f"{said}, {places[-1]} steps of Adam, best of {len(STEP_SIZES)} step sizes", best[-1], 0.01),
        ]
    return Demonstration(checks, {"linear": curves})
