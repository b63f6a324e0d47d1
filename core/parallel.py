"""Data-parallel training: each worker (a process of `torch.distributed`) computes a cost's share of its own rows.

Of a sum over workers and the copies that all of them hold there are two linear maps, adjoint to each other:

    total   own values -> their sum, held by every worker          its derivative pulled back is spread
    spread  a value that every worker holds -> its use here        its derivative pulled back is total

A cost made of them, total(share(spread(u), spread(v))), is the joined batch's on every worker, and so are its derivatives
of every order. In particular grad_v g is summed over workers before anything is made of it: the products of
`core.products` with w = gamma grad_v g + nu, and all solvers, need no change. In a process that is no worker of a group
both maps are the identity.

torch.distributed.nn.functional.all_reduce and the functional collectives have no `setup_context` and refuse to run under
`torch.func`; hence the functions here.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

from core.networks.classifiers import Network, Parameters
from core.networks.wide_resnet import BatchNorm
from core.trees import Tree, flatten


def workers() -> int:
    """How many there are; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Total(Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        # in the order of the indices, whatever the strides, which need not be the same on all workers
        summed = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        pulled: Tensor = spread(cotangent)
        return pulled

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        summed: Tensor = total(tangent)
        return summed

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: Tensor) -> tuple[Tensor, int | None]:
        return _Total.apply(x), in_dims[0]


class _Spread(Function):
    @staticmethod
    def forward(*held: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.view_as(x) for x in held)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, ...]:
        summed: tuple[Tensor, ...] = total(cotangents)
        return summed

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        spread_ones: tuple[Tensor | None, ...] = spread(tangents)
        return spread_ones

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *held: Tensor) -> tuple[tuple[Tensor, ...], Any]:
        return _Spread.apply(*held), in_dims


def total(own: Tree) -> Tree:
    """The sum over workers of trees of one structure and shape, held by all of them; bitwise the same on each.

    One message, whatever the number of leaves. Every worker must call it, in the same order: one that does not leaves the
    others waiting.
    """
    tensors, rebuild = flatten(own)
    if workers() == 1 or not tensors:
        return own
    if len(tensors) == 1:
        return rebuild([_Total.apply(tensors[0])])
    summed = _Total.apply(torch.cat([leaf.reshape(-1) for leaf in tensors]))
    parts = summed.split([leaf.numel() for leaf in tensors])
    return rebuild([part.reshape(leaf.shape).to(leaf.dtype) for part, leaf in zip(parts, tensors, strict=True)])


def spread(held: Tree) -> Tree:
    """The same numbers, for a computation that differs from worker to worker: what is pulled back is summed over them.

    Args: held: a tree that is the same on every worker.
    """
    tensors, rebuild = flatten(held)
    return held if workers() == 1 or not tensors else rebuild(_Spread.apply(*tensors))


def mean(own: Tensor) -> Tensor:
    """The mean over workers of tensors of one shape, for use in a computation of one's own: `reduce` of a `BatchNorm`."""
    moments: Tensor = spread(total(own)) / workers()
    return moments


def weighted_mean(weights: Tensor, losses: Tensor) -> Tensor:
    """sum_i weights_i losses_i / sum_i weights_i over the rows of all workers, held by all of them.

    Both sums are taken over workers before the division, and so are their derivatives: the mean of the workers' own
    weighted means is another function wherever their sums of weights differ.

    Args: weights, losses: [rows of this worker]; they need not be equally many.
    Source: Mehra & Hamm (2021), Section 3.2: g of the denoising problem.
    """
    weighted: Tensor = total((weights * losses).sum()) / total(weights.sum())
    return weighted


def rows(count: int) -> slice:
    """This worker's part of `count` rows; raises ValueError where the workers do not divide them."""
    many = workers()
    if count % many:
        raise ValueError(f"{count} rows cannot be shared equally among {many} workers")
    here = dist.get_rank() if many > 1 else 0
    return slice(here * count // many, (here + 1) * count // many)


@dataclass(frozen=True)
class DataParallel(Network):
    """A network that every worker calls with the same parameters and images, and each runs on its own part of the images.

    Attributes: whole: the network, its batch norm over all workers.
    """

    whole: Network

    def initial(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Parameters:
        return self.whole.initial(generator, dtype)

    def logits(self, parameters: Parameters, images: Tensor) -> Tensor:
        """Class scores [B, classes] of all images [B, channels, height, width], held by every worker.

        Where the workers do not divide B, each runs on all images: the same scores, not faster. Raises ValueError for
        images of another shape.
        """
        count, many = len(images), workers()
        if many == 1 or count % many:
            return self.whole.logits(parameters, images)
        part = rows(count)
        own = self.whole.logits(spread(parameters), images[part])
        scores: Tensor = total(F.pad(own, (0, 0, part.start, count - part.stop)))
        return scores


def data_parallel(network: Network) -> DataParallel:
    """The network, run by all workers together; its own is left as it is.

    Raises: ValueError for a layer of torch.nn that takes moments of the batch: it would take this worker's alone.
    """
    module = copy.deepcopy(network.module)
    for name, layer in module.named_modules():
        if isinstance(layer, BatchNorm):
            layer.reduce = mean
        elif isinstance(layer, _BatchNorm):
            raise ValueError(f"{name} is a {type(layer).__name__}: use core.networks.wide_resnet.BatchNorm")
    return DataParallel(module, network.image_shape, replace(network, module=module))
