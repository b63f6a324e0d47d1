"""What data sets and experiments are called where their numbers are read."""

from __future__ import annotations

from pipelines import searches

GROUPS = {
    "mnist": "MNIST", "cifar10": "CIFAR-10", "svhn": "SVHN", "digits": "digits", "cifar10-part": "a part of CIFAR-10",
    "longer": "the longer run, 25% wrong", "longer-50": "the longer run, 50% wrong",
    "tuned": "equal tuning", "tuned-softmax": "equal tuning, softmax regression",
    "tuned-quarter": "equal tuning, convolutional network",
    "franceschi": "softmax regression", "quirks": "quirks", "wrn": "WRN-28-10", "lower-steps": "MNIST, T varied",
    "mnist-untargeted": "untargeted attack", "mnist-targeted": "targeted attack",
    "converged-targeted": "targeted attack in full",
    "long-tail": "long tail", "reweighting": "reweighting of digits", "stocbio-hypercleaning": "hyper-cleaning",
}  # fmt: skip
"""By their names in params.yaml; that of a data set without its noise."""


def group_name(group: str) -> str:
    """A data set with its noise, or an experiment, as it is read."""
    if group not in GROUPS and searches.is_tuned(group):
        return f"{GROUPS[searches.TUNED]}, {group_name(group.removeprefix(f'{searches.TUNED}-'))}"
    source, _, noise = group.rpartition("-")
    if group not in GROUPS and noise.isdigit() and source in GROUPS:
        return f"{GROUPS[source]}, {noise}% wrong"
    return GROUPS.get(group, group)
