"""What a denoising cell may ask for: pixels, augmentation, draws, forms, weights by a rule, recipes; and bad settings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from small_data import write_prepared

from core.draws import Draws
from core.networks import registry
from core.optimizers import Adam, GradientDescent, Momentum, SparseAdam
from core.products import linearize, lower_gradient, upper_gradients
from core.solvers import make
from pipelines import comparison, records, settings
from pipelines.datasets.corruption import generator
from pipelines.denoising import augmentation, cells, forms, metrics, optimizing, parallel, weighting
from pipelines.denoising.pixels import PIXELS
from pipelines.denoising.problem import Batch
from pipelines.denoising.randomness import Randomness
from pipelines.denoising.run import Run
from pipelines.errors import UserError
from pipelines.settings import Cell
from tests.core.checks import alive, assert_identical, assert_near

CPU = torch.device("cpu")


def rng(seed: int = 0) -> np.random.Generator:
    return generator(seed, "a test")


def a_batch(size: int = 6, rows: int = 10, draw: int | None = None) -> Batch:
    """Images of 8 x 8 in float64, rows in falling order."""
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(2, size, 1, 8, 8, generator=draws, dtype=torch.float64)
    labels = torch.randint(10, (2, size), generator=draws)
    index = torch.arange(rows - size, rows).flip(0)
    return Batch(images[0], labels[0], index, images[1], labels[1], () if draw is None else torch.tensor(draw))


def a_point(rows: int = 10) -> tuple[Any, Any, Any, Any]:
    """Softmax regression, its parameters, u in (0, 1), and for each example the gradient of its loss by the parameters."""
    network, batch = registry.make("softmax-digits"), a_batch(rows=rows)
    v = network.initial(torch.Generator().manual_seed(1), torch.float64)
    u = torch.linspace(0.1, 0.9, rows, dtype=torch.float64)
    chances = torch.softmax(network.logits(v, batch.images), 1) - torch.eye(10, dtype=torch.float64)[batch.labels]
    return network, v, u, {"dense1.weight": chances[:, :, None] * batch.images.flatten(1)[:, None], "dense1.bias": chances}


# --- pixels -----------------------------------------------------------------------------------------------------------


def test_scales_of_pixels() -> None:
    grey = torch.tensor([[[[0.0, 255.0]]]]).expand(1, 1, 28, 2)
    standard = PIXELS["mnist-standardised"](grey)[0, 0, 0].tolist()
    assert standard == pytest.approx([-0.1307 / 0.3081, 0.8693 / 0.3081], rel=1e-6)
    colour = torch.tensor([10.0, 100.0, 250.0])[None, :, None, None].expand(2, 3, 32, 32)
    luma = 0.2989 * 10 + 0.5870 * 100 + 0.1140 * 250
    assert PIXELS["grey"](colour).shape == (2, 1, 32, 32)
    assert_near(PIXELS["grey"](colour), torch.full((2, 1, 32, 32), luma), 1e-6)
    assert_near(PIXELS["grey-unit"](colour), torch.full((2, 1, 32, 32), luma / 255), 1e-6)
    assert_identical(PIXELS["unit"](colour), colour / 255)
    assert_identical(PIXELS["unit"](colour[:, :1, :8, :8]), colour[:, :1, :8, :8] / 16)
    wanted = [(10 - 125.3) / 63.0, (100 - 123.0) / 62.1, (250 - 113.9) / 66.7]
    assert PIXELS["cifar-standardised"](colour)[1, :, 3, 4].tolist() == pytest.approx(wanted, rel=1e-6)


# --- augmentation -----------------------------------------------------------------------------------------------------


def test_the_affine_maps_are_those_of_keras() -> None:
    """Keras multiplies rotation, shift, shear and zoom, and hands the product about the centre to scipy."""
    images = torch.rand(9, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = rng()
    angle, shift = np.deg2rad(drawn.uniform(-40, 40, 9)), drawn.uniform(-0.2, 0.2, (9, 2)) * 32
    shear, zoom = np.deg2rad(drawn.uniform(-0.2, 0.2, 9)), drawn.uniform(0.8, 1.2, (9, 2))
    flip = drawn.random(9) < 0.5
    found = augmentation.affine(images, rng())
    assert 0 < flip.sum() < 9
    for place in range(9):
        cosine, sine = np.cos(angle[place]), np.sin(angle[place])
        whole = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        whole = whole @ np.array([[1, 0, shift[place, 0]], [0, 1, shift[place, 1]], [0, 0, 1]])
        whole = whole @ np.array([[1, -np.sin(shear[place]), 0], [0, np.cos(shear[place]), 0], [0, 0, 1]])
        whole = whole @ np.diag([*zoom[place], 1])
        centre = np.array([[1, 0, 15.5], [0, 1, 15.5], [0, 0, 1]])
        whole = centre @ whole @ np.linalg.inv(centre)
        for channel in range(3):
            source = images[place, channel].numpy()
            wanted = ndimage.affine_transform(source, whole[:2, :2], whole[:2, 2], order=1, mode="nearest")
            wanted = wanted[:, ::-1] if flip[place] else wanted
            np.testing.assert_allclose(found[place, channel].numpy(), wanted, atol=1e-10)


def test_crops_are_parts_of_the_padded_images() -> None:
    images = 1 + torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = augmentation.crop(images, rng())
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    places = set()
    for image, whole in zip(found, padded, strict=True):
        fits = [
            (row, column, flip)
            for row in range(9) for column in range(9) for flip in (False, True)
            if torch.equal(image, whole[:, row : row + 32, column : column + 32].flip(2) if flip
                           else whole[:, row : row + 32, column : column + 32])
        ]  # fmt: skip
        assert len(fits) == 1
        places.add(fits[0])
    assert len(places) > 30 and {flip for _, _, flip in places} == {False, True}


@pytest.mark.parametrize("name", sorted(augmentation.AUGMENTATIONS))
def test_an_augmentation_is_a_function_of_seed_and_place(name: str) -> None:
    assert set(cells.AUGMENTED) == set(augmentation.AUGMENTATIONS)
    how = Randomness(augmentation.AUGMENTATIONS[name])
    batch = a_batch()
    torch.manual_seed(1)
    one = how.iteration(batch, 3, 7)
    torch.manual_seed(2)
    np.random.seed(3)
    assert_identical(one, how.iteration(batch, 3, 7))
    assert one.draw == () and one.index is batch.index and one.labels is batch.labels
    for other in (how.iteration(batch, 3, 8), how.iteration(batch, 4, 7), batch):
        assert not torch.equal(one.images, other.images) and not torch.equal(one.clean_images, other.clean_images)
    assert how.of(batch, 3, "pre-training", augment=False) is batch
    assert Randomness().iteration(batch, 3, 7) is batch


def test_batches_by_role_are_augmented_each_on_its_own() -> None:
    pair = a_batch()
    four = Batch(pair.images.expand(4, *pair.images.shape), pair.labels.expand(4, -1), pair.index.expand(4, -1),
                 pair.clean_images.expand(4, *pair.clean_images.shape), pair.clean_labels.expand(4, -1))  # fmt: skip
    how = Randomness(augmentation.affine, drawn=True)
    found = how.iteration(Draws(upper=pair, lower=four, hessian=(), cross=pair), 0, 0)
    assert found.upper is found.cross and found.hessian == ()
    assert found.lower.images.shape == four.images.shape and found.lower.clean_images is four.clean_images
    assert found.lower.draw.shape == (4,) and found.upper.draw.shape == ()
    numbers = [*found.lower.draw.tolist(), int(found.upper.draw)]
    assert len(set(numbers)) == 5 and all(0 <= number < 2**62 for number in numbers)
    assert not torch.equal(found.lower.images[0], found.lower.images[1])


# --- forms ------------------------------------------------------------------------------------------------------------


def by_sorting(u: np.ndarray, radius: float) -> np.ndarray:
    """The projection on {0 <= x <= 1, sum x <= radius}: the sum as a function of the threshold is linear between the places
    where an entry reaches 0 or 1, which are tried in order."""
    if np.clip(u, 0, 1).sum() <= radius:
        return np.clip(u, 0, 1)
    knots = np.sort(np.concatenate([u, u - 1, [0.0]]))
    knots = knots[knots >= 0]
    sums = np.array([np.clip(u - knot, 0, 1).sum() for knot in knots])
    last = int(np.flatnonzero(sums >= radius)[-1])
    free = ((u > knots[last]) & (u - 1 <= knots[last])).sum()  # that move beyond this knot
    threshold = knots[last] + (sums[last] - radius) / max(free, 1)
    return np.clip(u - threshold, 0, 1)


@pytest.mark.parametrize("radius", [0.5, 3.0, 40.0, 1000.0])
@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0])
def test_the_projection_onto_the_ball(radius: float, spread: float) -> None:
    for seed in range(5):
        u = spread * np.random.default_rng(seed).normal(0.5, 1.0, 200)
        found = forms.into_ball(torch.from_numpy(u), radius).numpy()
        np.testing.assert_allclose(found, by_sorting(u, radius), atol=1e-10)
        assert found.min() >= 0 and found.max() <= 1 and found.sum() <= radius * (1 + 1e-12)
        again = forms.into_ball(torch.from_numpy(found), radius).numpy()
        np.testing.assert_allclose(again, found, atol=1e-12)
    inside = torch.tensor([0.2, 0.0, 1.0])
    assert_identical(forms.into_ball(inside, 2.0), inside)
    assert_identical(forms.into_ball(torch.tensor([-3.0, -1.0]), 1.0), torch.zeros(2))
    ones = forms.into_ball(torch.full((4,), 7.0, dtype=torch.float64), 1.0)
    assert_near(ones, torch.full((4,), 0.25, dtype=torch.float64), 1e-12)


def test_the_form_with_sigmoid_weights_by_hand() -> None:
    network, v, u, gradients = a_point()
    batch, form = a_batch(), forms.sigmoid(decay=0.001)
    posed = form.problem(network)
    weights = 1 / (1 + torch.exp(-u[batch.index]))
    for name, rows in gradients.items():
        wanted = torch.einsum("b,b...->...", weights, rows) / 6 + 0.002 * v[name]
        assert_near(lower_gradient(posed, u, v, batch)[name], wanted, 1e-12)
    # H_uv q: row i has sigmoid' l_i' q / B, other rows nothing
    q = {name: torch.randn_like(leaf) for name, leaf in v.items()}
    found = linearize(posed, u, v, batch).cross(q)
    along = torch.stack([sum((rows[i] * q[name]).sum() for name, rows in gradients.items()) for i in range(6)])
    wanted = torch.zeros(10, dtype=torch.float64)
    wanted[batch.index] = weights * (1 - weights) * along / 6
    assert_near(found, wanted, 1e-12)
    f_u, f_v = upper_gradients(posed, u, v, batch)
    assert_identical(f_u, torch.zeros_like(u))
    assert set(f_v) == set(v)
    assert_near(form.start(torch.full((3,), 0.5), torch.Generator()), torch.zeros(3))
    assert_near(form.weights(u, lambda: u, 6), torch.sigmoid(u), 1e-12)
    assert posed.visited(batch) is batch.index


def test_the_normalised_form_by_hand() -> None:
    network, v, u, gradients = a_point()
    batch, form = a_batch(), forms.normalised()
    posed = form.problem(network)
    weights = u[batch.index] / u[batch.index].sum()
    for name, rows in gradients.items():
        assert_near(lower_gradient(posed, u, v, batch)[name], torch.einsum("b,b...->...", weights, rows), 1e-12)
    nothing = lower_gradient(posed, torch.zeros_like(u), v, batch)
    assert all(float(leaf.abs().max()) == 0 for leaf in nothing.values())
    # at zero the derivative by u is that of the unnormalised sum: a weight can come back
    assert float(linearize(posed, torch.zeros_like(u), v, batch).cross(v)[batch.index].abs().min()) > 0
    assert posed.project_upper(torch.tensor([-1.0, 0.5, 3.0])).tolist() == [0.0, 0.5, 3.0]
    assert_near(form.weights(torch.tensor([0.5, 3.0]), lambda: u, 2), torch.tensor([0.5, 1.0]))


@pytest.mark.parametrize(("radius", "scale"), [(None, 1 / 6), (4.0, 10 / 6 / 4.0)])
def test_the_form_in_a_ball_by_hand(radius: float | None, scale: float) -> None:
    network, v, u, gradients = a_point()
    batch, form = a_batch(), forms.ball(radius)
    posed = form.problem(network)
    for name, rows in gradients.items():
        wanted = scale * torch.einsum("b,b...->...", u[batch.index], rows)
        assert_near(lower_gradient(posed, u, v, batch)[name], wanted, 1e-12)
    assert_near(form.start(torch.full((10,), 0.5), torch.Generator()), torch.full((10,), 1.0 if radius is None else 0.4))
    projected = posed.project_upper(torch.full((10,), 2.0, dtype=torch.float64))
    assert_near(projected, torch.full((10,), 1.0 if radius is None else 0.4, dtype=torch.float64), 1e-12)


def test_a_full_batch_in_a_ball_stays_in_it() -> None:
    """Reverse mode with Adam, as Franceschi et al.: all of u moves, and its sum stays at the radius."""
    network, v, _, _ = a_point(rows=6)
    posed = forms.ball(2.0).problem(network)
    steps = {"lower_steps": 5, "lower_step_size": 0.1, "upper_step_size": 0.1, "restart": True}
    solver = make("itd", posed, upper_optimizer=SparseAdam("example"), **steps)
    start = forms.ball(2.0).start(torch.full((6,), 0.5, dtype=torch.float64), torch.Generator())
    state = solver.init(start, v)
    for _ in range(3):
        state, _ = solver.step(state, a_batch(rows=6))
        assert float(state.u.sum()) <= 2.0 + 1e-9 and 0 <= float(state.u.min()) <= float(state.u.max()) <= 1
    assert bool((state.u != start).all())


# --- weights by a rule ------------------------------------------------------------------------------------------------


def two_classes(labels: list[int], draw: int = 5) -> Batch:
    empty = torch.zeros(len(labels), 1, 8, 8, dtype=torch.float64)
    return Batch(empty, torch.tensor(labels), torch.arange(len(labels)), empty, torch.tensor(labels), torch.tensor(draw))


def test_weights_by_the_ratio_of_the_classes() -> None:
    found = weighting.ratio(torch.zeros(4, dtype=torch.float64), two_classes([0, 1, 1, 0]), 0.9)
    assert found.tolist() == pytest.approx([0.9, 0.1, 0.1, 0.9], rel=1e-12)


@pytest.mark.parametrize(
    ("labels", "taken"),
    # two fours, so the two nines with the largest losses; without a four one nine; without a nine nothing but fours
    [([0, 1, 1, 0, 1, 1], [0, 1, 3, 4]), ([1, 1, 1], [1]), ([0, 0], [0, 1])],
)
def test_hard_mining(labels: list[int], taken: list[int]) -> None:
    losses = torch.tensor([9.0, 2.0, 0.5, 0.1, 3.0, 0.2], dtype=torch.float64)[: len(labels)]
    losses = losses if len(labels) == 6 else torch.tensor([0.5, 2.0, 0.1], dtype=torch.float64)[: len(labels)]
    found = weighting.hard_mining(losses, two_classes(labels), 0.9)
    wanted = torch.zeros(len(labels), dtype=torch.float64)
    wanted[taken] = 1 / len(taken)
    assert_near(found, wanted, 1e-12)


def test_random_weights() -> None:
    many, losses = two_classes([0] * 4000), torch.zeros(4000, dtype=torch.float64)
    found = weighting.random(losses, many, 0.9)
    assert float(found.sum()) == pytest.approx(1.0, rel=1e-12) and float(found.min()) == 0
    assert float((found == 0).double().mean()) == pytest.approx(0.5, abs=0.04)
    # of a standard normal cut at zero the mean is 0.3989 and the second moment one half
    scale = 0.3989 * 4000
    assert float(((scale * found) ** 2).mean()) == pytest.approx(0.5, abs=0.06)
    assert_identical(found, weighting.random(losses, many, 0.9))
    assert not torch.equal(found, weighting.random(losses, two_classes([0] * 4000, draw=6), 0.9))


def test_training_with_weights_by_a_rule() -> None:
    network, v, u, gradients = a_point()
    batch = a_batch()
    posed = weighting.weighted_by_rule(network, lambda losses, batch, majority: losses / majority, 2.0)
    losses = torch.nn.functional.cross_entropy(network.logits(v, batch.images), batch.labels, reduction="none")
    for name, rows in gradients.items():
        # the rule's own derivative is no part of it
        assert_near(lower_gradient(posed, u, v, batch)[name], torch.einsum("b,b...->...", losses / 2, rows), 1e-12)


# --- recipes ----------------------------------------------------------------------------------------------------------


def test_a_recipe_by_hand() -> None:
    """Momentum with weight decay, the step size a tenth after two updates and a hundredth after three."""
    rule = optimizing.with_recipe(Momentum(), {"weight_decay": 0.5, "boundaries": [2, 3]}, epoch=7)
    x = torch.tensor([1.0, -2.0], dtype=torch.float64)
    state, momentum, by_hand = rule.init(x), np.zeros(2), x.numpy().copy()
    for size in (0.1, 0.1, 0.01, 0.001, 0.001):
        gradient = by_hand**2
        x, state = rule.update(torch.from_numpy(gradient), state, x, 0.1)
        momentum = gradient + 0.5 * by_hand + 0.9 * momentum
        by_hand = by_hand - size * momentum
        np.testing.assert_allclose(x.numpy(), by_hand, rtol=1e-7)
    assert int(state.updates) == 5


def test_a_recipe_in_epochs() -> None:
    rule = optimizing.with_recipe(GradientDescent(), {"after_epochs": [2, 4], "factor": 0.5}, epoch=3)
    x, state = torch.zeros(1), rule.init(torch.zeros(1))
    steps = []
    for _ in range(14):
        new, state = rule.update(-torch.ones(1), state, x, 1.0)
        steps.append(float(new - x))
        x = new
    assert steps == [1.0] * 6 + [0.5] * 6 + [0.25] * 2
    assert optimizing.with_recipe(Adam(), None, 3) == Adam()
    with pytest.raises(TypeError, match="either boundaries or after_epochs"):
        optimizing.with_recipe(Adam(), {"boundaries": [1], "after_epochs": [1]}, 3)


# --- settings that have no meaning ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared data set of twelve small images, and there one is."""
    place = tmp_path / "data/prepared/paper/some"
    images, labels = np.zeros((12, 28, 28), np.uint8), np.arange(12, dtype=np.uint8) % 10
    seen = {"train_images": images, "noisy_labels": labels[None], "seeds": np.array([0]), "validation_images": images,
            "validation_labels": labels, "selection_images": images, "selection_labels": labels,
            "test_images": images}  # fmt: skip
    write_prepared(place, {}, train=seen, sealed={"test_labels": labels, "train_labels": labels})
    (tmp_path / "pipelines/denoising").mkdir(parents=True)
    (tmp_path / "pipelines/denoising/params.yaml").write_text("paper: {prepared: {some: {}}}\n")
    monkeypatch.chdir(tmp_path)
    return place


def a_cell(**more: Any) -> Cell:
    plain = {
        "solver": "penalty", "preset": "released", "data": "some", "use": "train", "network": "softmax", "batch": 4,
        "epochs": 1, "evaluations": 1, "settings": {"lower_steps": 1},
    }  # fmt: skip
    return Cell("denoising", "paper", ("some", "cell"), {**plain, "moments": "example", **more}, {})


PLAIN = {"solver": "single-level", "settings": {}}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"pixels": "gray"}, "pixels is 'gray'; there are: .*grey"),
    ({"augment": "rotation"}, "augment is 'rotation'; there are: affine, crop"),
    ({"form": "spheres"}, "form is 'spheres'; there are: ball, importances, normalised, sigmoid, weight-net, weights"),
    ({"form": "ball", "form_settings": {"size": 3}}, r"form_settings is \{'size': 3\}: .*unexpected.*size"),
    ({"form_settings": {"radius": 3}}, r"form_settings is \{'radius': 3\}: .*"),
    (
        {"dropout": True},
        "dropout is True: network softmax has no dropout layers;"
        " those that have: cifar10, digits-dense, mnist, mnist-quarter, svhn",
    ),
    ({"renormalise": True, "form": "sigmoid"}, "renormalise is true; it is for the form importances alone"),
    ({"lower_optimizer": "sgd"}, "lower_optimizer is 'sgd'; there are: adam, gradient-descent, momentum"),
    ({"upper_optimizer": "sgd"}, "upper_optimizer is 'sgd'; there are: adam, gradient-descent, momentum"),
    ({"lower_optimizer": "adam", "lower_recipe": {"decay": 1}}, r"lower_recipe is \{'decay': 1\}: .*decay"),
    ({"iterations": 3}, "epochs: give either epochs or iterations"),
    ({"epochs": None}, "epochs: give either epochs or iterations"),
    ({"batch": 13}, "batch is 13: 12 examples to train on make no minibatch"),
    ({**PLAIN, "weighting": "easy"}, "weighting is 'easy'; there are: hard-mining, random, ratio"),
]


@pytest.mark.parametrize(("more", "words"), BAD, ids=[words.partition(" ")[0] + str(place) for place, (_, words) in
                                                      enumerate(BAD)])  # fmt: skip
def test_a_setting_without_meaning(folder: Path, more: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=rf"^pipelines/denoising/params.yaml: paper.cells.some.cell.{words}"):
        Run(a_cell(**more), CPU)


def test_the_same_without_the_mistake(folder: Path) -> None:
    work = Run(a_cell(), CPU)
    state = work.start([0])
    assert work.iterations == 3 and work._trial(0).pretraining is None
    assert_near(state.u, torch.zeros(12), 1e-6)  # importances of one half
    assert work.oracle_calls(0, 1)["gradients_f"] == 3


KINDS: dict[str, dict[str, Any]] = {"penalty": {}, "approxgrad": {"solver": "approxgrad", "augment": "crop"}, "plain": PLAIN}


@pytest.mark.parametrize("more", KINDS.values(), ids=KINDS)
def test_epochs_leave_no_memory_and_read_no_file(folder: Path, more: dict[str, Any]) -> None:
    """After thirty epochs as much is alive as after two; minibatches come out of memory, with the files gone."""
    work = Run(a_cell(epochs=30, **more), CPU)
    state = work.advance(work.start([0]), [0], 0, 6)
    shutil.rmtree(folder)
    before = alive()
    state = work.advance(state, [0], 6, work.iterations)
    assert work.iterations == 90 and int(state.iteration) == 90
    assert alive() == before


def test_losses_are_observed_where_a_cell_asks(folder: Path) -> None:
    work = Run(a_cell(losses=True), CPU)
    state = work.start([0])
    (seen,) = work.observe(state, [0], 0)
    # black images: the score is the bias
    bias = state.v["dense1.bias"].detach().numpy()
    labels = np.arange(12) % 10
    wanted = float(np.mean(np.log(np.exp(bias).sum()) - bias[labels]))
    assert seen.scalars["selection loss"] == pytest.approx(wanted, rel=1e-5)
    assert seen.scalars["validation loss"] == pytest.approx(wanted, rel=1e-5)
    (less,) = Run(a_cell(), CPU).observe(state, [0], 0)
    assert set(seen.scalars) - set(less.scalars) == {"selection loss", "validation loss"}


def test_workers_take_no_dropout(folder: Path) -> None:
    with pytest.raises(UserError, match="some cell trains with dropout, .*: one process"):
        parallel.Shared(a_cell(dropout=True, network="mnist"), CPU)


def test_weights_above_a_bound(folder: Path) -> None:
    weights = np.array([0, 200, 229, 230, 255, 40] * 2, np.uint8)[None]
    place = records.cell_folder("paper", "denoising", "other", "cell") / "train.json"
    records.write_json(place, {"trials": [{"seed": 0, "importances": records.pack(weights)}]})
    work = Run(a_cell(**PLAIN, use="both", weights_of=["other", "cell"], keep_above=0.9), CPU)
    # 0.9 of 255 is 229.5
    assert work.start([0]).u.tolist() == [0, 0, 0, 1, 1, 0] * 2 + [1] * 12


# --- what else follows ------------------------------------------------------------------------------------------------


def test_variants_on_several_data_sets_have_a_stage_for_each() -> None:
    block = settings.load_params("denoising")["paper"]["cells"]
    for parts, wanted in {
        ("described", "svhn-50-penalty"): "train_paper_described_penalty-svhn-50@svhn-50-penalty",
        ("wrn", "l2rw"): "train_paper_wrn_l2rw@l2rw",
        ("franceschi", "penalty-final"): "retrain_paper_franceschi_penalty-final@penalty-final",
    }.items():
        assert cells.stage_of("paper", *parts, block[parts[0]][parts[1]]) == wanted


def test_one_lower_step_of_approxgrad_is_no_cut_on_cifar() -> None:
    prepared = {"source": "cifar10", "train_size": None}
    one = {"solver": "approxgrad", "epochs": 201, "settings": {"lower_steps": 1}}
    assert comparison.denoising_cuts(prepared, one) == []
    assert len(comparison.denoising_cuts(prepared, {**one, "solver": "penalty"})) == 1


def test_without_a_wrong_label_nothing_is_told_apart(folder: Path) -> None:
    labels = np.arange(12, dtype=np.uint8) % 10
    one = {
        "seed": 0, "status": "finished", "test predictions": records.pack(labels[None]),
        "importances": {"iterations": [3], **records.pack(np.full((1, 12), 9, np.uint8))},
        "curve": {"iteration": [3], "selection accuracy": [50.0]},
    }  # fmt: skip
    found = metrics.measure(a_cell(history=True), {"trials": [one]})
    assert found["summary"]["last"]["test accuracy"]["mean"] == 100
    assert "importances" not in found["summary"] and "learned" not in found
