"""Few-shot cells: what a learner does with tasks, resumed is uninterrupted, cached is naive, and what is measured."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_project
import torch
import torch.nn.functional as F
from ruamel.yaml import YAML
from scipy.sparse.linalg import LinearOperator, minres
from torch import Tensor

from core.accounting import flops
from core.networks import episodic
from core.trees import flatten
from pipelines import accept, corrupt, families, summary, train
from pipelines.datasets import sealed
from pipelines.errors import UserError
from pipelines.few_shot import data, metrics, probe, prototypes, timing
from pipelines.few_shot.learning import OPTIMIZERS
from pipelines.few_shot.run import Run
from pipelines.records import pack
from pipelines.settings import Cell, profile_params
from pipelines.train import state_hashes

SHARED = (
    "network: omniglot-16, iterations: 6, evaluations: 2, selection_tasks: 4, curve_tasks: 4, query: 2, meta_batch: 3,"
    " trials: 1"
)
PARAMS = f"""
common: {{threads: 1, first_steps: 2}}
embedded:
  data: [small]
  methods: [penalty, approxgrad, itd, protonet, maml, rmd, fo-itd, aid, anil, imaml, probe]
  prepared:
    small: {{source: glyphs, way: 5, shot: 1, query: 3, meta_batch: 4, selection_tasks: 6, test_tasks: 8, seeds: [0, 1]}}
  cells:
    small:
      penalty: {{form: heads, solver: penalty, preset: released, {SHARED},
                adapt: {{optimizer: adam, steps: 20, step_size: 1e-2}},
                settings: {{lower_steps: 3, upper_step_size: 1e-2, lower_step_size: 1e-2, gamma_0: 1e-3, nu_0: 1e-4}}}}
      approxgrad: {{form: heads, solver: approxgrad, preset: released, {SHARED},
                   adapt: {{optimizer: adam, steps: 20, step_size: 1e-2}},
                   settings: {{lower_steps: 3, upper_step_size: 1e-2, lower_step_size: 1e-2, solver_step_size: 1e-2}}}}
      itd: {{form: heads, solver: itd, preset: described, {SHARED}, head: linear, lower_cost: sum,
            adapt: {{optimizer: gradient-descent, steps: 5, step_size: 0.1}},
            settings: {{lower_steps: 3, upper_step_size: 1e-2, lower_step_size: 0.1, upper_optimizer: adam}}}}
      protonet: {{form: prototypes, solver: single-level, preset: described, {SHARED}, settings: {{lower_step_size: 1e-2}}}}
      maml: {{form: maml, solver: itd, preset: described, {SHARED}, adapt: {{steps: 2, step_size: 0.1}},
             settings: {{lower_steps: 2, lower_step_size: 0.1, upper_step_size: 1e-2, upper_optimizer: adam}}}}
      rmd: {{form: heads, solver: rmd, preset: released, {SHARED}, head: linear, lower_cost: sum,
            adapt: {{optimizer: gradient-descent, steps: 5, step_size: 0.1}},
            settings: {{lower_steps: 3, upper_step_size: 1e-2, lower_step_size: 0.1, upper_optimizer: adam}}}}
      fo-itd: {{form: heads, solver: fo-itd, preset: described, {SHARED}, head: linear, lower_cost: sum,
               adapt: {{optimizer: gradient-descent, steps: 5, step_size: 0.1}},
               settings: {{lower_steps: 3, upper_step_size: 1e-2, lower_step_size: 0.1, upper_optimizer: adam}}}}
      aid: {{form: heads, solver: aid, preset: described, {SHARED}, head: linear, lower_cost: sum,
            adapt: {{optimizer: gradient-descent, steps: 5, step_size: 0.1}},
            settings: {{lower_steps: 3, upper_step_size: 1e-2, lower_step_size: 0.1, solver_steps: 3, damping: 1e-2,
                       warm_solver: false, upper_optimizer: adam}}}}
      anil: {{form: anil, solver: itd, preset: described, {SHARED}, adapt: {{steps: 5, step_size: 0.1}},
             settings: {{lower_steps: 3, lower_step_size: 0.1, upper_step_size: 1e-2, upper_optimizer: adam}}}}
      imaml: {{form: imaml, solver: aid, preset: described, {SHARED}, regularisation: 2.0,
              adapt: {{steps: 2, step_size: 0.1}},
              settings: {{lower_steps: 2, lower_step_size: 0.1, solver_steps: 2, warm_solver: false,
                         upper_step_size: 1e-2, upper_optimizer: adam}}}}
      probe: {{form: probe, solver: single-level, preset: described, {SHARED},
              adapt: {{optimizer: adam, steps: 20, step_size: 1e-2}}, settings: {{lower_step_size: 1e-2}}}}
"""
METHODS = ("penalty", "approxgrad", "itd", "protonet", "maml", "rmd", "fo-itd", "aid", "anil", "imaml", "probe")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("few-shot")
    (root / "pipelines/few_shot").mkdir(parents=True)
    (root / "pipelines/few_shot/params.yaml").write_text(PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        corrupt.main(["few_shot", "embedded", "small"])
    return root


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def cell(method: str, **changes: Any) -> Cell:
    found = families.cell("few_shot", "embedded", ("small", method))
    return dataclasses.replace(found, settings={**found.settings, **changes})


def made(method: str, **changes: Any) -> Run:
    return Run(cell(method, **changes), CPU)


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_is_uninterrupted_bitwise(method: str) -> None:
    """Cut anywhere, by a new process's `Run` from a state that was saved: the same state, and the same observation."""
    whole = made(method)
    state = whole.advance(whole.advance(whole.start([0]), [0], 0, 3), [0], 3, 6)
    cut = made(method)
    other = cut.advance(cut.start([0]), [0], 0, 2)
    saved = Path("state.pt")
    torch.save(other, saved)
    later = made(method)
    other = later.advance(torch.load(saved, weights_only=False), [0], 2, 3)
    other = later.advance(other, [0], 3, 6)
    assert state_hashes(state, 1, False) == state_hashes(other, 1, False)
    (one,), (two,) = whole.observe(state, [0], 6), later.observe(other, [0], 6)
    assert one.scalars == two.scalars
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, two.arrays[name])


STOPPED = """
import sys, time
from pathlib import Path
from pipelines import checkpoints, train
train.CHECKPOINT_SECONDS = -1.0
save = checkpoints.Checkpoints.save
def saved(self, group, state):
    save(self, group, state)
    if state["iteration"] == 4:
        Path("stopped").touch()
        time.sleep(600)
checkpoints.Checkpoints.save = saved
train.main(["few_shot", "embedded", "small", sys.argv[1]])
"""
"""Training that waits after its fourth of six iterations, which is between two observations."""


@pytest.mark.parametrize("method", ["penalty", "maml"])
def test_killed_in_the_middle_of_a_trial_and_run_again(method: str) -> None:
    """By the command, in processes of their own: the same bytes."""
    here, command = Path.cwd(), ("-m", "pipelines.train", "few_shot", "embedded", "small", method)
    path = here / "results/embedded/few_shot" / f"small-{method}" / "train.json"
    ours = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    small_project.done(here, *command, **ours)
    expected = path.read_bytes()
    path.unlink()
    killed = small_project.begun(here, "-c", STOPPED, method, **ours)
    small_project.until((here / "stopped").exists, 300)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    (here / "stopped").unlink()
    assert not path.exists()
    (kept,) = here.glob("checkpoints/*/0.pt")
    assert torch.load(kept, weights_only=False)["iteration"] == 4
    small_project.done(here, *command, **ours)
    assert path.read_bytes() == expected and not kept.exists()


@pytest.mark.parametrize("method", METHODS)
def test_a_state_keeps_no_graph(method: str) -> None:
    work = made(method)
    assert not any(leaf.requires_grad for leaf in flatten(work.learner.step(timing.started(work), work.batch(0, 0)))[0])


@pytest.mark.parametrize("method", METHODS)
def test_the_record_and_its_metrics(method: str) -> None:
    record = json.loads(json.dumps(train.train(cell(method), CPU)))
    (trial,) = record["trials"]
    assert trial["status"] == "finished" and trial["curve"]["iteration"] == [0, 3, 6]
    assert trial["test predictions"]["shape"] == [1, 8, 15] and trial["curve predictions"]["shape"] == [3, 4, 15]
    assert sum(trial["oracle_calls"].values()) > 0
    found = metrics.measure(cell(method), record)
    for iterate in ("last", "selected"):
        assert found["summary"][iterate]["test accuracy"]["n"] == 1
        assert 0 <= found["trials"][0][iterate]["test accuracy"] <= 100
    assert len(found["curves"][metrics.CURVE]["mean"]) == 3
    assert {len(one) for one in found["learned"]["embedding"]["after"].values()} == {1 + 3}


def test_the_selected_iterate_is_the_best_on_meta_validation() -> None:
    work = made("protonet")
    state = work.start([0])
    seen = {0: float(state.last)}
    for first, last in ((0, 3), (3, 6)):
        state = work.advance(state, [0], first, last)
        seen[last] = float(state.last)
    best = max(seen.values())
    assert float(state.best) == best
    assert int(state.best_at) == min(at for at, accuracy in seen.items() if accuracy == best)


def test_ten_meta_batches_teach_prototypes_something() -> None:
    """Far above chance on classes that were never seen, and above where it began."""
    work = made("protonet", iterations=30, evaluations=1, meta_batch=4, selection_tasks=6)
    state = work.start([0])
    first = work._accuracy(work.learner.learned(state.method), work.source.selection_tasks(0, 6), 0)
    state = work.advance(state, [0], 0, 30)
    assert float(state.last) > max(first, 45.0)


@pytest.mark.parametrize("method", ["penalty", "approxgrad", "itd", "anil"])
def test_cached_is_naive_after_twenty_upper_iterations(method: str) -> None:
    assert timing.apart("embedded", ["small", method], 20) <= 1e-9


def test_the_penalty_is_the_naive_one_bitwise_in_single_precision() -> None:
    work = made("penalty")
    state = other = timing.started(work)
    step = timing.naive(work.learner)
    for number in range(4):
        batch = work.batch(0, number)
        state, other = work.learner.step(state, batch), step(other, batch)
    assert state_hashes(state.u, 1, False) == state_hashes(other.u, 1, False)


def test_the_work_of_an_upper_iteration_is_a_fourth() -> None:
    """5-way 1-shot with 15 queries and the paper's encoder and T: operations counted, as time is no test's."""
    settings = {**cell("penalty").settings["settings"], "lower_steps": 20}
    work = made("penalty", network="omniglot", settings=settings, query=3, meta_batch=1)
    state, batch = timing.started(work), work.batch(0, 0)
    whole = batch._replace(query=batch.query.repeat(1, 5, 1, 1, 1), query_labels=batch.query_labels.repeat(1, 5))
    assert whole.query.shape[:2] == (1, 75)
    naive, once = (flops(functools.partial(step, state, whole)) for step in (timing.naive(work.learner), work.learner.step))
    assert naive > 4 * once


def test_a_meta_batch() -> None:
    """Images as stored, in [0, 1], of the classes that the draw says; support and queries share none; the same twice."""
    source = made("penalty", query=3).source
    batch = source.meta_batch_of(0, 7)
    assert source.known.train_images.dtype == np.uint8
    assert batch.support.shape == (3, 5, 1, 28, 28) and batch.query.shape == (3, 15, 1, 28, 28)
    assert batch.support_labels.tolist() == [[0, 1, 2, 3, 4]] * 3
    assert batch.query_labels[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    pixels = (batch.support * 255).round().to(torch.uint8).numpy()[:, :, 0]
    drawn = data.tasks.meta_batch(len(source.known.train_images), 20, source.shape, 3, 0, 7)
    np.testing.assert_array_equal(pixels[1, 2], source.known.train_images[drawn.classes[1, 2], drawn.support[1, 2, 0]])
    for one, asked in zip(batch.support, batch.query, strict=True):
        assert not {image.numpy().tobytes() for image in one} & {image.numpy().tobytes() for image in asked}
    assert torch.equal(source.meta_batch_of(0, 7).query, batch.query)
    assert not torch.equal(source.meta_batch_of(0, 8).query, batch.query)


def test_fewer_queries_are_the_first() -> None:
    few, whole = (made("penalty", query=count).source.meta_batch_of(0, 1) for count in (2, 3))
    assert torch.equal(few.support, whole.support)
    shape = (3, 5, 3, 1, 28, 28)
    assert torch.equal(few.query, whole.query.reshape(shape)[:, :, :2].flatten(1, 2))


def test_batches_made_ahead_come_in_order() -> None:
    assert list(data.ahead(lambda number: number * number, 3, 7)) == [9, 16, 25, 36]
    assert list(data.ahead(lambda number: number, 3, 3)) == []


def test_the_released_rule_takes_the_first_task_s_implicit_term() -> None:
    """Against the sum of two gradients, each by its own solver step: the direct one of all tasks, the implicit of task 0."""
    work = made("approxgrad", implicit_tasks="first")
    batch, state = work.batch(0, 0), None
    moved = {}
    for rule in ("all", "first"):
        learner = made("approxgrad", implicit_tasks=rule).learner
        state = learner.start(batch, torch.Generator().manual_seed(0), 0)
        u0 = state.u
        # one step of gradient descent shows the gradient
        plain = dataclasses.replace(
            learner.solver.solver, upper_optimizer=OPTIMIZERS["gradient-descent"], upper_step_size=1.0
        )
        after = dataclasses.replace(learner.solver, solver=plain).step(state, batch)[0]
        moved[rule] = {name: u0[name] - after.u[name] for name in u0}
        reached, q = after.v, after.q
    network = made("approxgrad").learner.network
    u = {name: leaf.clone().requires_grad_() for name, leaf in state.u.items()}
    asked = torch.stack([network.logits(u, one) for one in batch.query])
    known = torch.stack([network.logits(u, one) for one in batch.support])
    v = {name: leaf.detach().requires_grad_() for name, leaf in reached.items()}
    f = F.cross_entropy(episodic.Cosine.scores(v, asked).flatten(0, 1), batch.query_labels.flatten())
    g = F.cross_entropy(episodic.Cosine.scores(v, known).flatten(0, 1), batch.support_labels.flatten())
    of_v = torch.autograd.grad(g, list(v.values()), create_graph=True)
    direct = torch.autograd.grad(f, list(u.values()), retain_graph=True)
    for rule, taken in (("all", slice(None)), ("first", slice(1))):
        product = sum((one[taken] * q[name][taken]).sum() for one, name in zip(of_v, v, strict=True))
        implicit = torch.autograd.grad(product, list(u.values()), retain_graph=True)
        for name, one, two in zip(u, direct, implicit, strict=True):
            torch.testing.assert_close(moved[rule][name], one - two, rtol=2e-3, atol=2e-5)


def test_the_prototypes_are_class_means() -> None:
    """In no order of the support images but that of their labels, one query after the other."""
    draws = torch.Generator().manual_seed(0)
    support, query = torch.randn(2, 6, 4, generator=draws), torch.randn(2, 3, 4, generator=draws)
    labels = torch.tensor([[0, 1, 2, 0, 1, 2], [2, 2, 1, 1, 0, 0]])
    found = prototypes.scores(support, labels, query, 3)
    for task in range(2):
        for k in range(3):
            centre = support[task][labels[task] == k].mean(0)
            wanted = -((query[task] - centre) ** 2).sum(-1)
            torch.testing.assert_close(found[task, :, k], wanted)


def gradient_of(method: str, **changes: Any) -> tuple[Any, Any, data.Batch, Any]:
    """(u before, u after one step of gradient descent of size one, the meta-batch, the learner), in double precision."""
    settings = {**cell(method).settings["settings"], **changes}
    settings |= {"lower_step_size": 1.0} if method == "protonet" else {"upper_step_size": 1.0}
    settings["lower_optimizer" if method == "protonet" else "upper_optimizer"] = "gradient-descent"
    # large, so that the linear system of iMAML is well conditioned
    more = {"regularisation": 30.0} if method == "imaml" else {}
    work = made(method, settings=settings, meta_batch=1, **more)
    batch = timing.doubled(work.batch(0, 0))
    state = timing.doubled(work.learner.start(batch, torch.Generator().manual_seed(0), 0))
    return state, work.learner.step(state, batch), batch, work.learner


def test_the_gradient_of_prototypes_by_hand() -> None:
    """One task, by plain autograd through loops over classes and queries."""
    before, after, batch, learner = gradient_of("protonet")
    theta = {name: leaf.clone().requires_grad_() for name, leaf in before.v.items()}
    known, asked = (learner.network.logits(theta, images[0]) for images in (batch.support, batch.query))
    cost: Any = 0.0
    for x, label in zip(asked, batch.query_labels[0], strict=True):
        apart = torch.stack([((x - known[k]) ** 2).sum() for k in range(5)])
        cost = cost + apart[label] + torch.logsumexp(-apart, 0)
    wanted = torch.autograd.grad(cost / len(asked), list(theta.values()))
    for (name, leaf), one in zip(before.v.items(), wanted, strict=True):
        torch.testing.assert_close(leaf - after.v[name], one, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_gradient_of_maml_by_hand(steps: int) -> None:
    """One task: the inner steps written out and differentiated as one graph by plain autograd."""
    before, after, batch, learner = gradient_of("maml", lower_steps=steps)
    leaves, rebuild = flatten(before.u)
    theta = [leaf.clone().requires_grad_() for leaf in leaves]

    def cost(parameters: list[Tensor], images: Tensor, labels: Tensor) -> Tensor:
        body, head = rebuild(parameters)
        return F.cross_entropy(F.linear(learner.network.logits(body, images[0]), head["weight"], head["bias"]), labels[0])

    fast = theta
    for _ in range(steps):
        slopes = torch.autograd.grad(cost(fast, batch.support, batch.support_labels), fast, create_graph=True)
        fast = [one - 0.1 * slope for one, slope in zip(fast, slopes, strict=True)]
    wanted = torch.autograd.grad(cost(fast, batch.query, batch.query_labels), theta)
    for one, leaf, new in zip(wanted, leaves, flatten(after.u)[0], strict=True):
        torch.testing.assert_close(leaf - new, one, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_gradient_of_anil_by_hand(steps: int) -> None:
    """One task: steps of the head alone, written out; encoder and common head get their gradients through them."""
    before, after, batch, learner = gradient_of("anil", lower_steps=steps)
    leaves, rebuild = flatten(before.u)
    theta = [leaf.clone().requires_grad_() for leaf in leaves]
    body, head = rebuild(theta)
    known, asked = (learner.network.logits(body, images[0]) for images in (batch.support, batch.query))
    weight, bias = head["weight"], head["bias"]
    for _ in range(steps):
        cost = F.cross_entropy(F.linear(known, weight, bias), batch.support_labels[0])
        slope = torch.autograd.grad(cost, (weight, bias), create_graph=True)
        weight, bias = weight - 0.1 * slope[0], bias - 0.1 * slope[1]
    wanted = torch.autograd.grad(F.cross_entropy(F.linear(asked, weight, bias), batch.query_labels[0]), theta)
    for one, leaf, new in zip(wanted, leaves, flatten(after.u)[0], strict=True):
        torch.testing.assert_close(leaf - new, one, rtol=1e-5, atol=1e-9)


def test_the_gradient_of_imaml_by_hand() -> None:
    """One task: (I + H / lambda)^-1 times the query's gradient at the parameters that the steps end at; the linear system by
    scipy's solver, products with H by plain autograd twice."""
    lam, rate = 30.0, 0.01
    before, after, batch, learner = gradient_of("imaml", lower_steps=3, lower_step_size=rate, solver_steps=40)
    leaves, rebuild = flatten(before.u)
    theta = torch.cat([leaf.flatten() for leaf in leaves])
    sizes = [leaf.numel() for leaf in leaves]

    def cost(flat: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        parts = [one.reshape(leaf.shape) for one, leaf in zip(flat.split(sizes), leaves, strict=True)]
        body, head = rebuild(parts)
        return F.cross_entropy(F.linear(learner.network.logits(body, images[0]), head["weight"], head["bias"]), labels[0])

    phi = theta.clone().requires_grad_()
    for _ in range(3):
        near = cost(phi, batch.support, batch.support_labels) + lam / 2 * ((phi - theta) ** 2).sum()
        phi = (phi - rate * torch.autograd.grad(near, phi)[0]).detach().requires_grad_()
    (b,) = torch.autograd.grad(cost(phi, batch.query, batch.query_labels), phi)
    (slope,) = torch.autograd.grad(cost(phi, batch.support, batch.support_labels), phi, create_graph=True)

    def product(q: np.ndarray) -> np.ndarray:
        (found,) = torch.autograd.grad(slope, phi, torch.from_numpy(q), retain_graph=True)
        return q + found.numpy() / lam

    count = len(theta)
    matrix = LinearOperator((count, count), matvec=product, dtype=np.float64)
    wanted, failed = minres(matrix, b.numpy(), rtol=1e-11, maxiter=400)
    assert failed == 0
    found = torch.cat([(leaf - new).flatten() for leaf, new in zip(leaves, flatten(after.u)[0], strict=True)])
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


def test_the_probe_is_trained_on_all_classes() -> None:
    """The cost of one meta-batch by a loop over its images, each with its class's number among all."""
    work = made("probe", query=1, meta_batch=2)
    batch = timing.doubled(work.batch(0, 0))
    state = timing.doubled(timing.started(work))
    body, head = state.v
    assert head["weight"].shape == (work.source.classes, 16)
    costs = []
    for task in range(2):
        for images in (batch.support[task], batch.query[task]):
            for place, x in enumerate(work.learner.network.logits(body, images)):
                scores = F.linear(x, head["weight"], head["bias"])
                costs.append(F.cross_entropy(scores, batch.classes[task, place]))
    found = probe.problem(work.learner.network).lower(None, state.v, batch)
    torch.testing.assert_close(found, torch.stack(costs).mean())


def test_which_statistics_normalise_the_queries() -> None:
    """With those of the support images an answer does not depend on the other queries; with their own it may."""
    for statistics, same in (("support", True), ("transductive", False)):
        learner = made("penalty", statistics=statistics).learner
        batch = made("penalty").source.selection_tasks(0, 2)
        u = learner.start(made("penalty").batch(0, 0), torch.Generator().manual_seed(0), 0).u
        whole = learner.upper(u, batch)[:, :4]
        assert torch.allclose(learner.upper(u, batch._replace(query=batch.query[:, :4])), whole, atol=1e-5) == same


def test_moments_of_the_lower_optimiser() -> None:
    for moments, steps in (("kept", 6), ("fresh", 3)):
        learner = made("approxgrad", moments=moments).learner
        state = learner.start(made("approxgrad").batch(0, 0), torch.Generator().manual_seed(0), 0)
        for number in range(2):
            state = learner.step(state, made("approxgrad").batch(0, number))
        assert float(state.lower_optimizer.power1) == pytest.approx(0.9**steps)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"form": "heats"}, r"embedded\.cells\.small\.penalty\.form is 'heats'; there are: heads"),
        ({"network": "omniglot-65"}, r"small\.penalty\.network is 'omniglot-65'; there are: omniglot"),
        ({"adapt": {"steps": 1, "step_size": 1.0, "optimizer": "sgd"}}, r"penalty\.adapt\.optimizer is 'sgd'"),
        ({"statistics": "running"}, r"statistics is 'running'; there are: transductive, support"),
    ],
)
def test_wrong_settings(changes: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        made("penalty", **changes)


def test_the_interval_over_tasks() -> None:
    right = np.zeros((4, 5), dtype=np.uint8)
    said = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=np.uint8)
    found = metrics.over_tasks(said, right)
    shares = np.array([100, 80, 60, 0])
    assert found["test accuracy"] == 60
    assert found["half width"] == pytest.approx(1.96 * shares.std(ddof=1) / 2, rel=1e-4)


def test_labels_decide_the_accuracy() -> None:
    """The sealed labels themselves as predictions give 100 percent, and all others 0."""
    folder = Path("data/prepared/embedded/few_shot/small")
    labels = sealed.opened(folder, ("query_labels",))["query_labels"]
    embedding = pack(np.zeros((2, 20, 2), dtype=np.uint8))
    for shift, wanted in ((0, 100.0), (1, 0.0)):
        said = ((labels[0] + shift) % 5).astype(np.uint8)
        trial = {
            "seed": 0, "status": "finished", "iterations": 6, "oracle_calls": {}, "curve predictions": pack(said[None, :4]),
            "test predictions": pack(said[None]), "selected predictions": pack(said[None]), "embedding": embedding,
            "curve": {"iteration": [6], "selected iteration": [3.0], "selection accuracy": [50.0]},
        }  # fmt: skip
        found = metrics.measure(cell("penalty"), {"trials": [trial]})
        assert found["summary"]["last"]["test accuracy"]["mean"] == wanted
        assert found["curves"][metrics.CURVE]["mean"] == [wanted]
        assert found["trials"][0]["selected"]["iteration"] == 3


def test_every_cell_names_what_there_is() -> None:
    """All profiles: every listed cell is there, and what it names exists."""
    root = Path(__file__).resolve().parents[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for profile in ("embedded", "cpu", "paper"):
            block = profile_params("few_shot", profile)
            for name in block["data"]:
                assert name in block["prepared"]
                for method in block["methods"]:
                    assert block["cells"][name][method]["network"] in episodic.ENCODERS
            for name, variants in block.get("experiments", {}).items():
                assert set(variants) <= set(block["cells"][name])
                assert {block["cells"][name][variant]["data"] for variant in variants} <= set(block["prepared"])


def test_every_cell_has_the_stage_that_accept_settles() -> None:
    root = Path(__file__).resolve().parents[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for profile in ("embedded", "cpu", "paper"):
            block = profile_params("few_shot", profile)
            found = YAML(typ="safe").load(root / f"pipelines/few_shot/{profile}/dvc.yaml")["stages"]
            lists = {f"${{{profile}.{key}}}": block[key] for key in ("data", "methods")}
            lists |= {f"${{{profile}.experiments.{name}}}": some for name, some in block.get("experiments", {}).items()}
            trained = {name: stage["matrix"] for name, stage in found.items() if name.startswith("train_")}
            there = {
                f"pipelines/few_shot/{profile}/dvc.yaml:{name}@{one}"
                for name, matrix in trained.items()
                for one in lists[next(iter(matrix.values()))]
            }
            cells = [families.cell("few_shot", profile, parts) for parts in summary.names("few_shot", profile)]
            assert {accept.stage_of(one) for one in cells} == there and len(there) == len(cells)
