"""One task's gradient by MAML, ANIL, iMAML and prototypical networks, against TorchOpt's and EasyFSL's.

Nothing of ours but the first parameters and the images goes into the references: convolutions and batch norm are
torch.nn's, differentiable steps and implicit gradients TorchOpt's (Ren et al., 2023), prototypes and distances EasyFSL's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchopt
from easyfsl import methods
from test_few_shot import PARAMS, gradient_of
from torch import Tensor, nn

from core.trees import flatten
from pipelines import corrupt

WIDTH, WAY, RATE = 16, 5, 0.1


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    root = tmp_path_factory.mktemp("reference")
    (root / "pipelines/few_shot").mkdir(parents=True)
    (root / "pipelines/few_shot/params.yaml").write_text(PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        corrupt.main(["few_shot", "embedded", "small"])
        yield


class Shift(nn.Module):
    """What batch norm adds, without what it multiplies by."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias[:, None, None]


def encoder(body: dict[str, Tensor]) -> nn.Sequential:
    """The paper's Omniglot encoder at 16 channels, of torch's layers, with our parameters of the same place."""
    layers: list[nn.Module] = []
    for block in range(4):
        layers += [nn.Conv2d(WIDTH if block else 1, WIDTH, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(WIDTH, eps=1e-3, affine=False, track_running_stats=False), Shift()]
        layers += [*([nn.ReLU()] if block < 3 else []), nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.Flatten()).double()
    _copied(list(net.parameters()), list(body.values()))
    return net


def whole(theta: Any) -> nn.Sequential:
    """Encoder and linear head."""
    head = nn.Linear(WIDTH, WAY).double()
    _copied([head.weight, head.bias], [theta.head["weight"], theta.head["bias"]])
    return nn.Sequential(encoder(theta.body), head)


def _copied(parameters: list[nn.Parameter], leaves: list[Tensor]) -> None:
    # convolution and shift of a block differ in shape, those of two blocks may not: both are in the order of the layers
    assert [one.shape for one in parameters] == [leaf.shape for leaf in leaves]
    with torch.no_grad():
        for one, leaf in zip(parameters, leaves, strict=True):
            one.copy_(leaf)


def same(before: Any, after: Any, wanted: list[Tensor] | tuple[Tensor, ...]) -> None:
    """A step of size one is the gradient, to 1e-5 of its largest entry in each parameter."""
    steps = [one - two for one, two in zip(flatten(before)[0], flatten(after)[0], strict=True)]
    assert max(float(one.abs().max()) for one in wanted) > 1e-3
    # the order of our leaves need not be that of the layers
    assert sorted(one.shape for one in steps) == sorted(one.shape for one in wanted)
    for one, two in zip(steps, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5 * float(two.abs().max()) + 1e-14)


@pytest.mark.parametrize("steps", [1, 3])
def test_maml_is_torchopts(steps: int) -> None:
    before, after, batch, _ = gradient_of("maml", lower_steps=steps)
    net = whole(before.u)
    first = list(net.parameters())
    inner = torchopt.MetaSGD(net, lr=RATE)
    for _ in range(steps):
        inner.step(F.cross_entropy(net(batch.support[0]), batch.support_labels[0]))
    wanted = torch.autograd.grad(F.cross_entropy(net(batch.query[0]), batch.query_labels[0]), first)
    same(before.u, after.u, wanted)


@pytest.mark.parametrize("steps", [1, 3])
def test_anil_is_torchopts(steps: int) -> None:
    before, after, batch, _ = gradient_of("anil", lower_steps=steps)
    body, head = whole(before.u)
    first = [*body.parameters(), *head.parameters()]
    inner = torchopt.MetaSGD(head, lr=RATE)
    known = body(batch.support[0])
    for _ in range(steps):
        inner.step(F.cross_entropy(head(known), batch.support_labels[0]))
    wanted = torch.autograd.grad(F.cross_entropy(head(body(batch.query[0])), batch.query_labels[0]), first)
    same(before.u, after.u, wanted)


def test_imaml_is_torchopts() -> None:
    """Its module for implicit gradients, which holds a copy of the network near the common one."""
    lam, rate = 30.0, 0.01
    before, after, batch, _ = gradient_of("imaml", lower_steps=3, lower_step_size=rate, solver_steps=40)
    solve = torchopt.linear_solve.solve_cg(maxiter=200, rtol=1e-12, atol=1e-14)

    class Near(torchopt.nn.ImplicitMetaGradientModule, linear_solve=solve):  # type: ignore[misc, call-arg]
        def __init__(self, common: nn.Module) -> None:
            super().__init__()
            self.common = common
            self.own = torchopt.module_clone(common, by="deepcopy", detach_buffers=True)

        def objective(self, images: Tensor, labels: Tensor) -> Tensor:
            pairs = zip(self.own.parameters(), self.common.parameters(), strict=True)
            away = sum(((one - two) ** 2).sum() for one, two in pairs)
            return F.cross_entropy(self.own(images), labels) + lam / 2 * away

        @torch.enable_grad()  # type: ignore[untyped-decorator]
        def solve(self, images: Tensor, labels: Tensor) -> None:
            own = list(self.own.parameters())
            plain = torch.optim.SGD(own, lr=rate)
            for _ in range(3):
                plain.zero_grad()
                self.objective(images, labels).backward(inputs=own)
                plain.step()

    common = whole(before.u)
    near = Near(common)
    near.solve(batch.support[0], batch.support_labels[0])
    cost = F.cross_entropy(near.own(batch.query[0]), batch.query_labels[0])
    wanted = torch.autograd.grad(cost, list(common.parameters()))
    same(before.u, after.u, wanted)


def test_prototypes_are_easyfsls() -> None:
    """Its prototypes and its distances, which it leaves unsquared."""
    before, after, batch, _ = gradient_of("protonet")
    net = encoder(before.v)
    reference = methods.PrototypicalNetworks(net)
    reference.process_support_set(batch.support[0], batch.support_labels[0])
    scores = -(reference(batch.query[0]) ** 2)
    wanted = torch.autograd.grad(F.cross_entropy(scores, batch.query_labels[0]), list(net.parameters()))
    same(before.v, after.v, wanted)


def test_a_wrong_step_size_is_seen() -> None:
    """The comparison tells MAML's gradient from the one at another rate of the inner step."""
    before, after, batch, _ = gradient_of("maml", lower_steps=1)
    net = whole(before.u)
    first = list(net.parameters())
    torchopt.MetaSGD(net, lr=2 * RATE).step(F.cross_entropy(net(batch.support[0]), batch.support_labels[0]))
    wanted = torch.autograd.grad(F.cross_entropy(net(batch.query[0]), batch.query_labels[0]), first)
    with pytest.raises(AssertionError):
        same(before.u, after.u, wanted)
