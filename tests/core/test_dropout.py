"""Dropout as a function of a drawn number: how much is dropped, where, and that it is pure."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from core.networks import registry
from core.networks.dropout import RATES, dropped, with_dropout
from tests.core.checks import assert_identical, assert_near

DRAW = torch.tensor(12345678901234567, dtype=torch.int64)


def kept(rate: float, draw: Tensor = DRAW, stream: int = 0) -> Tensor:
    return dropped(torch.ones(200, 100, dtype=torch.float64), rate, draw, stream)


@pytest.mark.parametrize("rate", [0.25, 0.3, 0.5])
def test_a_share_is_dropped_and_the_rest_scaled(rate: float) -> None:
    found = kept(rate)
    assert set(found.unique().tolist()) == {0.0, 1 / (1 - rate)}
    # 20,000 entries: five standard deviations are 0.018 at most
    assert float((found == 0).double().mean()) == pytest.approx(rate, abs=0.018)
    assert float((found == 0).double().mean(0).std()) < 0.06  # no column of its own


def test_a_mask_is_a_function_of_draw_and_stream() -> None:
    assert_identical(kept(0.5), kept(0.5))
    for other in (kept(0.5, DRAW + 1), kept(0.5, stream=1), kept(0.5, DRAW + 2**40)):
        # half of the entries agree by chance
        assert float((other == kept(0.5)).double().mean()) == pytest.approx(0.5, abs=0.02)
    # what a smaller share drops, a larger one drops too
    assert bool(((kept(0.25) == 0) <= (kept(0.5) == 0)).all())


@pytest.mark.parametrize("name", sorted(RATES))
def test_layers_of_the_paper_are_followed_by_dropout(name: str) -> None:
    """Against the network taken layer by layer, with the masks put in by hand."""
    plain = registry.make(name)
    network = with_dropout(name, plain)
    parameters = network.initial(torch.Generator().manual_seed(0), torch.float64)
    assert_identical(parameters, plain.initial(torch.Generator().manual_seed(0), torch.float64))
    x = images = torch.rand(2, *network.image_shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert_identical(network.logits(parameters, images), plain.logits(parameters, images))
    layers = dict(plain.module.named_children())
    assert set(RATES[name]) <= set(layers)
    for stream, (layer, module) in enumerate(layers.items()):
        own = {key.partition(".")[2]: leaf for key, leaf in parameters.items() if key.startswith(f"{layer}.")}
        x = functional_call(module, own, (x,))
        if layer in RATES[name]:
            x = x * dropped(torch.ones_like(x), RATES[name][layer], DRAW, 2 * stream + 1)
    assert_near(network.dropped_logits(parameters, images, DRAW, 1), x, 1e-12)
    assert not torch.equal(network.dropped_logits(parameters, images, DRAW, 0), x)
    with pytest.raises(ValueError, match="images are "):
        network.dropped_logits(parameters, images[:, :, 1:], DRAW)


def test_a_network_without_dropout_layers() -> None:
    known = "cifar10, digits-dense, mnist"
    with pytest.raises(ValueError, match=f"network softmax has no dropout layers; those that have: {known}"):
        with_dropout("softmax", registry.make("softmax"))
