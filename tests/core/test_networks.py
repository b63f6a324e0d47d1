"""The paper's networks: sizes, the values at the start, what they refuse, and their second derivatives."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from core import Bilevel
from core.networks.classifiers import NETWORKS, Network, Parameters, digits, mnist
from core.products import linearize, penalty_gradients
from core.trees import dimension, tree_map
from tests.core.checks import assert_identical, assert_near


def initial(network: Network, seed: int = 0, dtype: torch.dtype = torch.float32) -> Parameters:
    return network.initial(torch.Generator().manual_seed(seed), dtype)


def images(count: int, network: Network, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(count, *network.image_shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def test_the_numbers_of_parameters() -> None:
    assert dimension(initial(mnist())) == 1_389_578
    layers = [16 * 9 + 16, 32 * 16 * 9 + 32, 64 * 128 + 64, 32 * 64 + 32, 10 * 32 + 10]
    assert dimension(initial(digits())) == sum(layers) == 15_466


def test_the_table_of_networks() -> None:
    assert {name: make().image_shape for name, make in NETWORKS.items()} == {
        "mnist": (1, 28, 28),
        "digits": (1, 8, 8),
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_one_score_for_each_class(name: str) -> None:
    network = NETWORKS[name]()
    assert network.logits(initial(network), images(3, network)).shape == (3, 10)


def test_the_mnist_network_layer_for_layer() -> None:
    network = mnist()
    p = initial(network, dtype=torch.float64)
    x = images(2, network, torch.float64)
    hidden = functional.max_pool2d(functional.conv2d(x, p["conv1.weight"], p["conv1.bias"]).relu(), 2)
    hidden = functional.max_pool2d(functional.conv2d(hidden, p["conv2.weight"], p["conv2.bias"]).relu(), 2)
    hidden = (hidden.reshape(2, 2048) @ p["dense1.weight"].T + p["dense1.bias"]).relu()
    hidden = (hidden @ p["dense2.weight"].T + p["dense2.bias"]).relu()
    assert p["conv1.weight"].shape == (64, 1, 5, 5)
    assert p["conv2.weight"].shape == (128, 64, 5, 5)
    assert_near(network.logits(p, x), hidden @ p["dense3.weight"].T + p["dense3.bias"], 1e-12)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(28, 8), (1, 27, 28), (1, 8, 28), (3, 28, 28), (3, 8, 8), (64,)])
def test_images_of_another_shape_are_refused(name: str, shape: tuple[int, ...]) -> None:
    network = NETWORKS[name]()
    with pytest.raises(ValueError, match=r"the network takes \(1, "):
        network.logits(initial(network), torch.zeros(2, *shape))


# (fan in, fan out) of each layer, counted by hand
FANS = {
    "mnist": {
        "conv1": (25, 1600),
        "conv2": (1600, 3200),
        "dense1": (2048, 512),
        "dense2": (512, 256),
        "dense3": (256, 10),
    },
    "digits": {
        "conv1": (9, 144),
        "conv2": (144, 288),
        "dense1": (128, 64),
        "dense2": (64, 32),
        "dense3": (32, 10),
    },
}


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_start_uniform_within_the_bounds_of_glorot(name: str) -> None:
    parameters = initial(NETWORKS[name]())
    assert list(parameters) == [f"{layer}.{kind}" for layer in FANS[name] for kind in ("weight", "bias")]
    for layer, (fan_in, fan_out) in FANS[name].items():
        weight, bias = parameters[f"{layer}.weight"], parameters[f"{layer}.bias"]
        bound = sqrt(6 / (fan_in + fan_out))
        assert weight.abs().max() <= bound
        assert weight.abs().max() > 0.9 * bound
        # the standard deviation of a uniform draw, within five of its own standard errors
        error = 5 * sqrt(0.2 / weight.numel())
        assert weight.std().item() == pytest.approx(bound / sqrt(3), rel=error)
        assert abs(weight.mean().item()) < 5 * bound / sqrt(3 * weight.numel())
        assert_identical(bias, torch.zeros_like(bias))


def test_the_generator_alone_decides_the_start() -> None:
    network = digits()
    state = torch.get_rng_state()
    assert_identical(initial(network, 3), initial(network, 3))
    assert not torch.equal(initial(network, 3)["conv1.weight"], initial(network, 4)["conv1.weight"])
    assert torch.equal(torch.get_rng_state(), state)


def test_kernels_lie_channels_last() -> None:
    for parameters in (initial(mnist()), initial(digits(), dtype=torch.float64)):
        assert parameters["conv2.weight"].is_contiguous(memory_format=torch.channels_last)


def test_the_dtype_is_the_one_asked_for() -> None:
    assert {leaf.dtype for leaf in initial(digits()).values()} == {torch.float32}
    assert {leaf.dtype for leaf in initial(digits(), dtype=torch.float64).values()} == {torch.float64}


def test_products_through_a_network_are_those_of_double_backward() -> None:
    """H_vv q and H_uv q of weighted cross-entropy, and the penalty's gradients, against torch.autograd."""
    network = digits()
    v = initial(network, dtype=torch.float64)
    x, y = images(6, network, torch.float64), torch.tensor([0, 3, 1, 9, 3, 7])
    u = torch.linspace(-1, 1, 6, dtype=torch.float64)

    def lower(u: Tensor, v: Parameters, batch: None) -> Tensor:
        return (torch.sigmoid(u) * functional.cross_entropy(network.logits(v, x), y, reduction="none")).mean()

    def upper(u: Tensor, v: Parameters, batch: None) -> Tensor:
        return functional.cross_entropy(network.logits(v, x.flip(-1)), y)

    q = initial(network, 9, torch.float64)
    point = linearize(Bilevel(upper, lower), u, v, None)
    out = penalty_gradients(
        Bilevel(upper, lower), u, v, None, gamma=2.0, nu=tree_map(torch.zeros_like, v), lam=0.0
    )

    u_, v_ = u.clone().requires_grad_(), {name: leaf.clone().requires_grad_() for name, leaf in v.items()}
    first = torch.autograd.grad(lower(u_, v_, None), list(v_.values()), create_graph=True)
    product = sum((a * b).sum() for a, b in zip(first, q.values(), strict=True))
    expected = torch.autograd.grad(product, [u_, *v_.values()], retain_graph=True, materialize_grads=True)
    assert_near(point.cross(q), expected[0], 1e-10)
    for found, wanted in zip(point.hessian(q).values(), expected[1:], strict=True):
        assert_near(found, wanted, 1e-10)

    penalty = upper(u_, v_, None) + sum((a * a).sum() for a in first)
    expected = torch.autograd.grad(penalty, [u_, *v_.values()])
    assert_near(out.upper, expected[0], 1e-10)
    for found, wanted in zip(out.lower.values(), expected[1:], strict=True):
        assert_near(found, wanted, 1e-10)
