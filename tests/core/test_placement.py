"""Where tensors live: every solver's step, and every experiment's problem, on torch's meta device.

A meta tensor has a shape and a device but no numbers; an operation that would mix devices on a GPU mixes them here too. Not
all such operations raise by themselves, so a mode looks at each one; 0-dimensional tensors may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from core import Bilevel, hypergradient, meta, solvers
from core.networks.classifiers import NETWORKS
from core.optimizers import GradientDescent, SparseAdam
from core.trees import leaves
from pipelines.denoising.forms import MAKERS
from pipelines.denoising.problem import Batch, denoising, training, weighted_training
from pipelines.denoising.weighting import RULES, weighted_by_rule
from pipelines.synthetic.problem import EXAMPLES
from pipelines.theory import complexity
from pipelines.theory.tables import PUBLISHED
from tests.core.cases import CASES, make
from tests.core.everything import SETTINGS
from tests.core.quadratics import U, V, normal, points, quadratic
from tests.core.test_meta import network, query, support, tasks

META = torch.device("meta")


class OneDevice(TorchDispatchMode):
    """Raises RuntimeError for an operation whose tensors, those without dimension excepted, are on several devices."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs or {}, made)) if isinstance(leaf, Tensor)]
        devices = {leaf.device for leaf in given if leaf.dim() > 0}
        if len(devices) > 1 and func is not torch.ops.aten._to_copy.default:
            raise RuntimeError(f"{func} mixes {', '.join(sorted(map(str, devices)))}")
        return made


def on_meta(tree: Any) -> Any:
    return tree_map(lambda leaf: leaf.to(META) if isinstance(leaf, Tensor) else leaf, tree)


def problem_on_meta() -> Bilevel:
    q = quadratic()
    moved = type(q)(*(getattr(q, name).to(META) for name in q.__dataclass_fields__))
    return moved.problem()


def placed(state: Any) -> None:
    assert {leaf.device for leaf in leaves(state) if leaf.dim() > 0} == {META}


@pytest.mark.parametrize("case", CASES)
def test_a_step_stays_on_its_device(case: str) -> None:
    solver = make(case, problem_on_meta())
    with OneDevice():
        state = solver.init(*on_meta(points()))
        for _ in range(2):
            state, _ = solver.step(state)
    placed(state)


@pytest.mark.parametrize("method", SETTINGS)
def test_a_hypergradient_stays_on_its_device(method: str) -> None:
    with OneDevice():
        found = hypergradient(problem_on_meta(), *on_meta(points()), method=method, **SETTINGS[method])
    placed(found)
    assert found.shape == (U,)


def test_a_mixed_operation_is_caught() -> None:
    """The mode is no formality: by itself torch lets this pass."""
    with pytest.raises(RuntimeError, match="mixes cpu, meta"), OneDevice():
        normal(V, V, seed=1) @ normal(V, V, seed=2).to(META)


@pytest.mark.parametrize("case", ["gd", "rmd", "approxgrad", "penalty"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_synthetic_problems(example: str, case: str) -> None:
    solver = make(case, EXAMPLES[example].problem)
    batch = torch.zeros(2, 5, 10, device=META) if EXAMPLES[example].rank_deficient else None
    start = torch.zeros(20, device=META)
    with OneDevice():
        state, _ = solver.step(solver.init(start, start.clone()), batch)
    placed(state)


@pytest.mark.parametrize("name", ["single-level", "approxgrad", "penalty"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_denoising_problems(network: str, name: str) -> None:
    """With importances of which a minibatch visits some, and Adam's moments by position, as the cells have them."""
    net, images = NETWORKS[network](), torch.zeros(4, *SHAPES[network], device=META)
    v = on_meta(net.initial(torch.Generator().manual_seed(0)))
    labels = torch.zeros(4, dtype=torch.int64, device=META)
    batch = Batch(images, labels, labels, images, labels)
    if name == "single-level":
        solver = solvers.make(name, training(net))
    else:
        solver = solvers.make(name, denoising(net), lower_steps=2, upper_optimizer=SparseAdam("position", 4))
    with OneDevice():
        state, _ = solver.step(solver.init(torch.zeros(9, device=META), v), batch)
    placed(state)


FORM_SETTINGS: dict[str, dict[str, Any]] = {"ball": {"radius": 3.0}, "sigmoid": {"decay": 0.01}}


@pytest.mark.parametrize("form", MAKERS)
def test_the_forms_of_the_denoising_problem(form: str) -> None:
    """From their own starts, with the weights that are recorded; learning to reweight has a rule of its own."""
    net, images = NETWORKS["digits"](), torch.zeros(4, 1, 8, 8, device=META)
    made = MAKERS[form](**FORM_SETTINGS.get(form, {}))
    v = on_meta(net.initial(torch.Generator().manual_seed(0)))
    labels = torch.zeros(4, dtype=torch.int64, device=META)
    batch = Batch(images, labels, labels, images, labels)
    name = {"weights": "l2rw", "weight-net": "meta-weight-net"}.get(form, "penalty")
    solver = solvers.make(name, made.problem(net), lower_steps=1, upper_optimizer=GradientDescent())
    with OneDevice():
        u = made.start(torch.full((9,), 0.5, device=META), torch.Generator().manual_seed(0))
        state, _ = solver.step(solver.init(u, v), batch)
        found = made.weights(state.u, lambda: torch.zeros(9, device=META), 4)
    placed((state, found))
    assert found.shape == (9,)


GIVEN = [weighted_training, *(lambda net, r=rule: weighted_by_rule(net, r, 0.9) for rule in RULES.values())]


@pytest.mark.parametrize("problem", GIVEN, ids=["recorded", *RULES])
def test_training_with_given_weights(problem: Callable[[Any], Bilevel]) -> None:
    net, images = NETWORKS["digits"](), torch.zeros(4, 1, 8, 8, device=META)
    labels = torch.zeros(4, dtype=torch.int64, device=META)
    batch = Batch(images, labels, labels, images, labels, torch.zeros((), dtype=torch.int64, device=META))
    solver = solvers.make("single-level", problem(net))
    v = on_meta(net.initial(torch.Generator().manual_seed(0)))
    with OneDevice():
        state, _ = solver.step(solver.init(torch.zeros(9, device=META), v), batch)
    placed(state)


@pytest.mark.parametrize("algorithm", ["maml", "anil", "imaml"])
def test_the_meta_learners(algorithm: str) -> None:
    theta, batch = on_meta(network(0)), on_meta(tasks(1))
    problem, start, name = {
        "maml": (meta.maml(support, query), meta.maml_start, "rmd"),
        "anil": (meta.anil(support, query), meta.anil_start, "rmd"),
        "imaml": (meta.imaml(support, query, 0.7), meta.imaml_start, "aid"),
    }[algorithm]
    solver = meta.Restarted(solvers.make(name, problem, lower_steps=2), start)
    with OneDevice():
        state, _ = solver.step(solver.init(theta, start(theta, batch)), batch)
    placed(state)


@pytest.mark.parametrize("method", PUBLISHED)
def test_the_problem_of_table_1(method: str) -> None:
    problem, u, v = complexity.problem(8, 64)
    solver = solvers.make(method, problem, lower_steps=2)
    with OneDevice():
        state, _ = solver.step(solver.init(*on_meta((u, v))))
    placed(state)


SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28)}
