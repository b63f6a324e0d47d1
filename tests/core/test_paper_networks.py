"""The networks of the other data sets and of rivals: sizes, layers, starts, and batch norm as a pure function."""

from __future__ import annotations

import subprocess
import sys
from math import sqrt

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from core import Bilevel
from core.networks import registry, weight_net
from core.networks.classifiers import Network, Parameters
from core.networks.resnet import resnet
from core.networks.wide_resnet import BatchNorm, wide_resnet
from core.products import penalty_gradients
from core.trees import dimension, leaves
from tests.core.checks import assert_identical, assert_near

# published: supplement E.2, D.1.1; of WRN-28-10 the size that its authors give, 36.5 million
COUNTS = {
    "mnist": 1_389_578,
    "cifar10": 1_172_410,
    "svhn": 1_340_650,
    "softmax": 7_850,
    "wrn-28-10": 36_479_194,
    "mnist-quarter": (25 + 1) * 16 + (16 * 25 + 1) * 32 + (512 + 1) * 128 + (128 + 1) * 64 + (64 + 1) * 10,
    "lenet": (25 + 1) * 16 + (16 * 25 + 1) * 32 + (32 * 25 + 1) * 64 + (1024 + 1) * 100 + 101,
    "lenet-classes": 167_113,
    # conv and norm at the start; 10 convolutions of 16 channels, 1 + 9 of 32 and of 64, each with its norm; dense
    "resnet-32": 27 * 16 + 32 + 10 * (2304 + 32) + 4608 + 64 + 9 * (9216 + 64) + 18432 + 128 + 9 * (36864 + 128) + 650,
    "digits": 15_466,
    "digits-dense": 65 * 64 + 65 * 32 + 33 * 10,
    "softmax-digits": 650,
}
SMALL = sorted(set(COUNTS) - {"wrn-28-10"})


def initial(network: Network, seed: int = 0, dtype: torch.dtype = torch.float32) -> Parameters:
    return network.initial(torch.Generator().manual_seed(seed), dtype)


def images(count: int, network: Network, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(count, *network.image_shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("name", COUNTS)
def test_the_numbers_of_parameters(name: str) -> None:
    module = registry.make(name).module
    assert sum(leaf.numel() for leaf in module.parameters()) == COUNTS[name]
    assert list(module.buffers()) == []  # no state besides the parameters


def test_every_network_is_counted_above() -> None:
    assert set(COUNTS) == set(registry.MODULES)


def test_the_weight_net_has_one_hidden_layer_of_a_hundred() -> None:
    assert dimension(weight_net.initial(torch.Generator().manual_seed(0))) == 301


@pytest.mark.parametrize("name", SMALL)
def test_scores_and_starts(name: str) -> None:
    network = registry.make(name)
    parameters = initial(network)
    assert list(parameters) == [key for key, _ in network.module.named_parameters()]
    assert network.logits(parameters, images(3, network)).shape == (3, {"lenet": 1, "lenet-classes": 2}.get(name, 10))
    assert_identical(parameters, initial(network))
    assert not torch.equal(leaves(parameters)[0], leaves(initial(network, 1))[0])


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"no network 'cifar100' \(did you mean cifar10\?\); there are: cifar10, digits, "):
        registry.make("cifar100")


def test_a_network_loads_its_own_module_alone() -> None:
    code = "import sys; from core.networks import registry; registry.make('svhn'); print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("core.networks.")}
    assert ours == {f"core.networks.{name}" for name in ("registry", "classifiers", "convolutional")}


def test_the_cifar10_network_layer_for_layer() -> None:
    network = registry.make("cifar10")
    p, hidden = initial(network, dtype=torch.float64), images(2, network, torch.float64)
    x = hidden
    for block in (1, 2, 3):
        hidden = functional.conv2d(hidden, p[f"conv{block}a.weight"], p[f"conv{block}a.bias"], padding=1).relu()
        hidden = functional.conv2d(hidden, p[f"conv{block}b.weight"], p[f"conv{block}b.bias"]).relu()
        hidden = functional.max_pool2d(hidden, 2)
    assert hidden.shape == (2, 192, 2, 2)
    hidden = hidden.reshape(2, 768)
    for layer in (1, 2):
        hidden = (hidden @ p[f"dense{layer}.weight"].T + p[f"dense{layer}.bias"]).relu()
    assert_near(network.logits(p, x), hidden @ p["dense3.weight"].T + p["dense3.bias"], 1e-12)


def test_the_poolings_of_lenet_are_those_of_tensorflow() -> None:
    """28 -> 14 -> 7 -> 4 with windows of 3 by 2, an odd row of padding at the end; the last one on both sides."""
    network = registry.make("lenet")
    p, hidden = initial(network, dtype=torch.float64), images(2, network, torch.float64)
    x = hidden
    for layer, (before, after) in enumerate(((0, 1), (0, 1), (1, 1)), 1):
        hidden = functional.conv2d(hidden, p[f"conv{layer}.weight"], p[f"conv{layer}.bias"], padding=2)
        padded = functional.pad(hidden, (before, after, before, after), value=-torch.inf)
        hidden = functional.max_pool2d(padded, 3, 2).relu()
    assert hidden.shape == (2, 64, 4, 4)
    hidden = (hidden.reshape(2, 1024) @ p["dense1.weight"].T + p["dense1.bias"]).relu()
    assert_near(network.logits(p, x), hidden @ p["dense2.weight"].T + p["dense2.bias"], 1e-12)


def test_two_class_scores_give_the_logistic_loss() -> None:
    network, single = registry.make("lenet-classes"), registry.make("lenet")
    parameters, labels = initial(single), torch.tensor([0, 1, 1, 0])
    score = single.logits(parameters, images(4, single))[:, 0]
    found = functional.cross_entropy(network.logits(parameters, images(4, network)), labels, reduction="none")
    assert_near(found, functional.binary_cross_entropy_with_logits(score, labels.float(), reduction="none"), 1e-6)


def test_the_shortcut_of_a_residual_network_takes_every_second_pixel() -> None:
    """With convolutions of zeros a block is ReLU of its shortcut: every second pixel, between channels of zeros."""
    network = resnet(8, (3, 8, 8))
    parameters = initial(network, dtype=torch.float64)
    block = network.module.blocks[1]  # type: ignore[union-attr,index]
    names = [name for name in parameters if name.startswith("blocks.1.")]
    own = {name.removeprefix("blocks.1."): torch.zeros_like(parameters[name]) for name in names}
    x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = functional_call(block, own, (x,))
    wanted = torch.zeros(2, 32, 4, 4, dtype=torch.float64)
    wanted[:, 8:24] = x[:, :, ::2, ::2].relu()
    assert_identical(found, wanted)
    with pytest.raises(ValueError, match="8, 14, 20, ..., not 31"):
        resnet(31)


def test_lenet_starts_normal_and_cut_at_two_deviations() -> None:
    weight = initial(registry.make("lenet"))["dense1.weight"]
    assert 0.19 < weight.abs().max().item() <= 0.2
    # a normal cut at two deviations keeps 0.8796 of its deviation
    assert weight.std().item() == pytest.approx(0.08796, rel=0.02)


def batch_norm(channels: int) -> tuple[BatchNorm, dict[str, Tensor], Tensor]:
    draws = torch.Generator().manual_seed(2)
    p = {name: torch.randn(channels, generator=draws, dtype=torch.float64) for name in ("weight", "bias")}
    return BatchNorm(channels), p, torch.randn(5, channels, 2, 3, generator=draws, dtype=torch.float64) + 2


def test_batch_norm_is_that_of_torch_on_the_batch_alone() -> None:
    module, p, x = batch_norm(3)
    wanted = functional.batch_norm(x, None, None, p["weight"], p["bias"], training=True, eps=1e-5)
    assert_near(functional_call(module, p, (x,)), wanted, 1e-12)


def test_batch_norm_has_right_first_and_second_derivatives() -> None:
    module, p, x = batch_norm(2)
    inputs = tuple(leaf.requires_grad_() for leaf in (p["weight"], p["bias"], x))

    def called(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        value: Tensor = functional_call(module, {"weight": weight, "bias": bias}, (x,))
        return value

    assert torch.autograd.gradcheck(called, inputs)
    assert torch.autograd.gradgradcheck(called, inputs)


def test_moments_can_be_those_of_several_workers() -> None:
    """Half of a batch, with the moments of the whole one handed in, is normalised as in the whole."""
    module, p, x = batch_norm(3)
    first, mean = x[:2], x[:4].mean((0, 2, 3))
    variance = ((x[:4] - mean[:, None, None]) ** 2).mean((0, 2, 3))
    answers = iter((mean, variance))
    asked: list[Tensor] = []
    module.reduce = lambda moments: asked.append(moments) or next(answers)  # type: ignore[func-returns-value]
    assert_near(functional_call(module, p, (first,)), functional_call(BatchNorm(3), p, (x[:4],))[:2], 1e-12)
    assert_near(asked[0], first.mean((0, 2, 3)), 1e-12)


def test_a_small_wide_network_group_by_group() -> None:
    network = wide_resnet(16, 2, (3, 8, 8))
    p = initial(network)
    shapes = {name: tuple(leaf.shape) for name, leaf in p.items() if name.endswith("conv1.weight")}
    assert list(shapes.values()) == [
        (32, 16, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3), (128, 128, 3, 3),
    ]  # fmt: skip
    assert sum("shortcut" in name for name in p) == 3
    assert p["blocks.1.conv2.weight"].std().item() == pytest.approx(sqrt(2 / (32 * 9)), rel=0.05)
    assert_identical(p["norm.weight"], torch.ones(128))
    assert network.logits(p, images(4, network)).shape == (4, 10)
    with pytest.raises(ValueError, match="10, 16, 22, 28, ..., not 20"):
        wide_resnet(20, 2)


def test_the_penalty_gradients_of_a_wide_network() -> None:
    """Products through batch norm by `torch.func` are those of plain autograd twice."""
    network = wide_resnet(10, 1, (3, 8, 8))
    v, x = initial(network, dtype=torch.float64), images(4, network, torch.float64)
    y = torch.tensor([1, 3, 0, 3])
    u = torch.zeros(4, dtype=torch.float64)

    def lower(u: Tensor, v: Parameters, batch: None) -> Tensor:
        losses = functional.cross_entropy(network.logits(v, x), y, reduction="none")
        return (torch.sigmoid(u) * losses).mean()

    problem = Bilevel(lambda u, v, batch: functional.cross_entropy(network.logits(v, x.flip(3)), y), lower)
    gamma = 0.5
    found = penalty_gradients(problem, u, v, None, gamma=torch.tensor(gamma, dtype=torch.float64), wrt="v",
                              nu={name: torch.zeros_like(leaf) for name, leaf in v.items()},
                              lam=torch.zeros((), dtype=torch.float64)).lower  # fmt: skip
    free = {name: leaf.detach().clone().requires_grad_() for name, leaf in v.items()}
    inner = torch.autograd.grad(lower(u, free, None), list(free.values()), create_graph=True)
    total = problem.upper(u, free, None) + gamma / 2 * sum((leaf**2).sum() for leaf in inner)
    wanted = torch.autograd.grad(total, list(free.values()))
    assert_near(found, dict(zip(free, wanted, strict=True)), 1e-9)
