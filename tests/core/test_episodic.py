"""Encoders of few-shot learning, layer for layer, and heads of all tasks at once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.networks import episodic
from core.trees import dimension

SIZES = {
    "omniglot": (111_424, 64),
    "omniglot-32": (28_064, 32),
    "omniglot-16": (7_120, 16),
    # ConvBase: a 3-channel and three further convolutions, each with its bias and batch norm's two numbers a channel
    "conv-base": (27 * 64 + 3 * 9 * 64 * 64 + 4 * 3 * 64, 1600),
    "conv-base-fc100": (27 * 64 + 3 * 9 * 64 * 64 + 4 * 3 * 64, 256),
    "mini-imagenet": (3_543_424, 384),
    "conv-base-32": (27 * 32 + 3 * 9 * 32 * 32 + 4 * 3 * 32, 800),
}


def started(name: str, dtype: torch.dtype = torch.float64) -> tuple[episodic.Network, dict[str, Tensor]]:
    net = episodic.ENCODERS[name]()
    draws = torch.Generator().manual_seed(3)
    parameters = net.initial(draws, dtype)
    # no zeros, so that every parameter counts
    return net, {key: leaf + 0.1 * torch.randn(leaf.shape, generator=draws, dtype=dtype) for key, leaf in parameters.items()}


def images(tasks: int, count: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.rand(tasks, count, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", episodic.ENCODERS)
def test_the_numbers_of_parameters_and_features(name: str) -> None:
    net = episodic.ENCODERS[name]()
    parameters = net.initial(torch.Generator().manual_seed(0))
    assert (dimension(parameters), episodic.features_of(net)) == SIZES[name]


def written_out(parameters: dict[str, Tensor], x: Tensor, known: Tensor, epsilon: float, scaled: bool) -> Tensor:
    """Features of one task's images x [n, C, H, W], normalised by those of `known`: four times convolution, normalisation,
    ReLU (none in the last block of the encoder without scales), pooling, in the paper's order."""
    for block in range(1, 5):
        weight, bias = parameters[f"conv{block}.weight"], parameters.get(f"conv{block}.bias")
        x, known = (F.conv2d(one, weight, bias, padding=1) for one in (x, known))
        mean = known.mean((0, 2, 3), keepdim=True)
        spread = ((known - mean) ** 2).mean((0, 2, 3), keepdim=True)
        factor = 1 + parameters[f"norm{block}.scale"] if scaled else torch.ones(len(weight), dtype=x.dtype)
        shift = parameters[f"norm{block}.bias"][:, None, None]
        x, known = (factor[:, None, None] * (one - mean) / torch.sqrt(spread + epsilon) + shift for one in (x, known))
        if scaled or block < 4:
            x, known = x.clamp(min=0), known.clamp(min=0)
        x, known = F.max_pool2d(x, 2), F.max_pool2d(known, 2)
    return x.flatten(1)


def drawings(tasks: int, count: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Images of which two thirds are empty, as a drawing is: many entries of a pool are equal."""
    found = images(tasks, count, shape, seed)
    found[..., 8:, :] = 0
    return found


@pytest.mark.parametrize("by_known", [False, True], ids=["transductive", "support"])
@pytest.mark.parametrize("name", ["omniglot-16", "conv-base-32"])
def test_the_encoder_and_its_gradient_written_out(name: str, by_known: bool) -> None:
    """Contrib's epsilon, or torch's; the gradient by plain autograd, of the statistics too."""
    net, parameters = started(name)
    scaled = name != "omniglot-16"
    parameters = {key: leaf.requires_grad_() for key, leaf in parameters.items()}
    x, known = (drawings(2, count, net.image_shape, seed) for count, seed in ((4, 0), (3, 1)))
    found = episodic.encoded_by(net, parameters, x, known) if by_known else episodic.encoded(net, parameters, x)
    wanted = torch.stack(
        [
            written_out(parameters, one, other, 1e-5 if scaled else 1e-3, scaled)
            for one, other in zip(x, known if by_known else x, strict=True)
        ]
    )
    torch.testing.assert_close(found, wanted)
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    slopes, expected = (
        torch.autograd.grad((one * weight).sum(), list(parameters.values())) for one in (found, wanted)
    )
    largest = max(float(one.abs().max()) for one in expected)  # that in a convolution's bias is zero but for rounding
    for key, one, other in zip(parameters, slopes, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10 * largest, msg=key)
    assert all(bool(one.any()) for key, one in zip(parameters, slopes, strict=True) if key.startswith("norm"))


@pytest.mark.parametrize("scaled", [False, True])
def test_normalising_by_others_is_differentiated_in_them(scaled: bool) -> None:
    """First and second derivatives against differences, in x, in the others and in the parameters."""
    draws = torch.Generator().manual_seed(0)
    norm = episodic.SetNorm(2, scaled, 1e-3).double()
    names = [name for name, _ in norm.named_parameters()]

    def by(x: Tensor, known: Tensor, *parameters: Tensor) -> Tensor:
        layer = episodic._Both(torch.nn.Sequential(norm))
        given = dict(zip((f"layers.0.{name}" for name in names), parameters, strict=True))
        found: Tensor = torch.func.functional_call(layer, given, (x, known))
        return found

    shapes = [(2, 2, 2, 3), (3, 2, 2, 3), *[(2,)] * len(names)]
    inputs = [torch.randn(shape, generator=draws, dtype=torch.float64).requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(by, inputs) and torch.autograd.gradgradcheck(by, inputs)


def test_a_scale_starts_at_one() -> None:
    net = episodic.ENCODERS["conv-base-32"]()
    parameters = net.initial(torch.Generator().manual_seed(0), torch.float64)
    x = images(1, 3, net.image_shape)
    more = {key: leaf + 1 if key == "norm4.scale" else leaf for key, leaf in parameters.items()}
    torch.testing.assert_close(episodic.encoded(net, more, x), 2 * episodic.encoded(net, parameters, x))


@pytest.mark.parametrize("name", ["omniglot-16", "mini-imagenet"])
def test_statistics_of_the_support_images(name: str) -> None:
    """By its own images a set is encoded as by default; one query more changes no other query's features."""
    net, parameters = started(name)
    known, asked = images(2, 3, net.image_shape), images(2, 3, net.image_shape, 1)
    torch.testing.assert_close(
        episodic.encoded_by(net, parameters, known, known), episodic.encoded(net, parameters, known)
    )
    every = episodic.encoded_by(net, parameters, asked, known)
    torch.testing.assert_close(episodic.encoded_by(net, parameters, asked[:, :1], known), every[:, :1])
    alone = episodic.encoded(net, parameters, asked[:, :2])
    assert (alone - episodic.encoded(net, parameters, asked)[:, :2]).abs().max() > 1e-3


def test_tasks_do_not_see_each_other() -> None:
    net, parameters = started("omniglot-16")
    x = images(3, 4, net.image_shape)
    torch.testing.assert_close(episodic.encoded(net, parameters, x)[1:2], episodic.encoded(net, parameters, x[1:2]))


def test_the_cosine_head() -> None:
    """10 (x'w + 0.001 b) / (|x|_eps |(w, b)|), one task and one class after the other."""
    draws = torch.Generator().manual_seed(0)
    head = episodic.Cosine.initial(2, 3, 4, draws)
    assert head["bias"].unique().tolist() == [pytest.approx(1e-3)]
    x = torch.randn(2, 5, 4, generator=draws)
    scores = episodic.Cosine.scores(head, x)
    for task in range(2):
        for row in range(5):
            for k in range(3):
                w, b, one = head["weight"][task, k], head["bias"][task, k], x[task, row]
                wanted = 10 * (one @ w + 0.001 * b) / (torch.sqrt(one @ one + 1e-6) * torch.sqrt(w @ w + b * b))
                torch.testing.assert_close(scores[task, row, k], wanted)


def test_the_cosine_head_s_first_weights() -> None:
    weight = episodic.Cosine.initial(50, 5, 64, torch.Generator().manual_seed(0))["weight"]
    assert weight.std() == pytest.approx(0.01, rel=0.02)
    assert not torch.equal(weight[0], weight[1])


def test_the_linear_head_is_shared_at_the_start() -> None:
    draws = torch.Generator().manual_seed(0)
    head = episodic.Linear.initial(3, 5, 8, draws)
    assert torch.equal(head["weight"][0], head["weight"][2])
    x = torch.randn(3, 2, 8, generator=draws)
    head["bias"] = torch.randn(3, 5, generator=draws)
    wanted = torch.stack([F.linear(x[i], head["weight"][i], head["bias"][i]) for i in range(3)])
    torch.testing.assert_close(episodic.Linear.scores(head, x), wanted)
