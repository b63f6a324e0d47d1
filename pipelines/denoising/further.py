"""The tables of experiments that stand beside other works' numbers: one form for all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from pipelines import comparison, published
from pipelines.comparison import Cut, Difference
from pipelines.denoising.rows import (
    AGAINST_PENALTY,
    NAMED,
    accuracies,
    as_numbers,
    has,
    label,
    method_of,
    paired,
    table,
)
from pipelines.denoising.setting import cuts as cuts_in_words
from pipelines.denoising.setting import iterations
from pipelines.layout import Table, interval, printed
from pipelines.published import Value
from pipelines.sources import Sources

FINAL = {"rmd": "a new network trained with the weights it learned"}
"""Methods whose last fit weights the examples; that of others leaves out those of a low importance (`keep_above`)."""
CLEANING = "stocbio-hypercleaning"
SHARES = {"900": "0.9", "950": "0.95", "980": "0.98", "990": "0.99", "995": "0.995"}
"""The share of nines, as the published values are named by it."""


class Study(NamedTuple):
    """An experiment that has a table of its own.

    Attributes:
        title: of the table. said: its note.
        published: variant -> id of the published number, which need not exist.
    """

    title: str
    said: str
    published: Callable[[str], str | None]


def _as_mehra(source: str) -> Callable[[str], str]:
    return lambda variant: f"denoise-{source}-{variant.replace('train-val', 'trainval')}"


def _of_small(variant: str) -> str | None:
    method, final = method_of(variant), variant.endswith("-final")
    if method == "rmd":
        return "softmax-mnist-50-rmd" if final else None
    # of the paper's own split; of Penalty the number is that of the last fit
    own = variant == ("penalty-final" if method == "penalty" else method)
    return f"softmax-mnist-50-{method.replace('train-val', 'trainval')}" if own else None


def _of_tail(variant: str) -> str:
    method, _, ratio = variant.rpartition("-")
    return f"mwnet-lt-cifar10-{ratio}-{ {'plain': 'basemodel', 'meta-weight-net': 'mw-net'}.get(method, method)}"


STUDIES: dict[str, Study] = {
    "franceschi": Study(
        "Softmax regression against reverse mode in a ball",
        "Ours and the published numbers are of 5,000 examples with a wrong label in two. Franceschi et al. take full"
        " batches, start every lower problem anew, and bound the sum of the weights by a radius; they and the paper fit"
        " a new network to what the weights leave. Which radius the published number of RMD belongs to is not known: it"
        " stands beside all.",
        _of_small,
    ),
    "cifar10-part": Study(
        "Part of CIFAR-10",
        "The data are a part of CIFAR-10 and no CIFAR-10: the published numbers, of all of it, stand beside ours for the"
        " order of the methods alone.",
        _as_mehra("cifar10-25"),
    ),
    "reweighting": Study(
        "Weights by a rule of the loss",
        "Learning to reweight sets the weights of a minibatch by one gradient step, the Meta-Weight-Net by a small network"
        " that looks at an example's loss. Every method takes as many lower steps.",
        lambda variant: None,
    ),
    "no-noise": Study(
        "Without noise", "What the networks reach on clean labels, as the paper quotes it.",
        lambda variant: f"clean-{variant}",
    ),
    "described": Study(
        "The text where the code does otherwise", "The preset *described* of the cells of the paper's table.",
        lambda variant: f"denoise-{variant.removesuffix('-grey-unit')}",
    ),
    "wrn": Study(
        "The wide residual network", "36% wrong labels: 40% drawn anew, the right one among those drawn.",
        lambda variant: {
            "plain": "mwnet-wrn-cifar10-40-basemodel", "meta-weight-net": "wrn-cifar10-36-mwnet",
        }.get(variant, f"wrn-cifar10-36-{variant}"),
    ),
    "four-nine": Study(
        "Fours against nines", "The published numbers are those of a re-implementation of learning to reweight by others.",
        lambda variant: f"l2rw-unofficial-mnist49-{SHARES[variant.rpartition('-')[2]]}" if "l2rw" in variant else None,
    ),
    "long-tail": Study(
        "CIFAR-10 with a long tail", "By the number of examples of the first class over that of the last.", _of_tail
    ),
}  # fmt: skip
"""By the name of the experiment."""


def title_of(experiment: str) -> str:
    """What the table of one of these experiments, or of stocBiO's hyper-cleaning, is called."""
    return "Hyper-cleaning as in stocBiO" if experiment == CLEANING else STUDIES[experiment].title


def data_of(inputs: Sources, experiment: str, variant: str) -> str:
    """The data set of a variant."""
    return str(inputs.params["denoising"]["cells"][experiment][variant]["data"])


def changed(variant: str, data: str) -> str:
    """What a variant is beside its method and its data set, in words; "" for nothing."""
    taken = {*method_of(variant).split("-"), *data.split("-")}
    return _words([one for one in variant.split("-") if one not in taken], FINAL.get(method_of(variant), NAMED["final"]))


def _words(parts: list[str], final: str) -> str:
    if parts and parts[-1] == "final":
        return ", ".join(filter(None, (_words(parts[:-1], final), final)))
    if parts and parts[0] == "ball":
        return f"weights in the ball of radius {parts[1]}"
    return NAMED.get("-".join(parts), " ".join(parts))


def penalty_of(inputs: Sources, experiment: str, variant: str) -> str | None:
    """The variant of Penalty on the same data, a last fit for a last fit; None for itself, and where there is none."""
    for other in has(inputs, experiment):
        same = data_of(inputs, experiment, other) == data_of(inputs, experiment, variant)
        if same and method_of(other) == "penalty" and other.endswith("-final") == variant.endswith("-final"):
            return None if other == variant else other
    return None


def beside(inputs: Sources, experiment: str, variant: str) -> Difference | None:
    """Points of test accuracy less those of Penalty on the same data, trial by trial."""
    base = penalty_of(inputs, experiment, variant)
    return None if base is None else paired(inputs, (experiment, variant), (experiment, base))


def study(inputs: Sources, experiment: str) -> Table:
    """Accuracies of an experiment beside the published ones."""
    one = STUDIES[experiment]
    cuts = [] if inputs.profile == "paper" else [Cut("the budget")]
    values = {variant: _published(one, variant) for variant in has(inputs, experiment)}
    some = any(values.values())
    numbers, shown = [], []
    for variant, value in values.items():
        row, read = accuracies(inputs, experiment, variant)
        apart = beside(inputs, experiment, variant)
        data = data_of(inputs, experiment, variant)
        head = {"data": data, "method": label(method_of(variant)), "cell": changed(variant, data) or "-"}
        theirs = {"published": printed(value)} if some else {}
        verdict = {"verdict": _verdict(inputs, experiment, variant, value, cuts)} if some else {}
        numbers.append({**head, "paper mean": value and value.mean, **row, **verdict, **as_numbers(apart)})
        shown.append({**head, **theirs, **read, **verdict, "against Penalty": interval(apart, 2)})
    notes = [f"{one.said} Test accuracy in percent, mean ± s.d. over trials.{AGAINST_PENALTY}"]
    short = cuts_in_words(inputs, experiment)
    if cuts and some:
        told = f": {short}" if short else ""
        notes.append(f"The budget is cut, so our numbers cannot be compared with the published ones{told}.")
    notes += NOTES[experiment](inputs) if experiment in NOTES else []
    return table(inputs, experiment, one.title, numbers, shown, notes)


def _published(one: Study, variant: str) -> Value | None:
    identity = one.published(variant)
    return None if identity is None else published.find(identity)


def _verdict(inputs: Sources, experiment: str, variant: str, value: Value | None, cuts: list[Cut]) -> str:
    if value is None:
        return comparison.NOT_PUBLISHED
    return comparison.verdict(inputs.accuracy(experiment, variant), comparison.theirs(value), cuts)


def _of_franceschi(inputs: Sources) -> list[str]:
    """What each method takes on Franceschi's split, and what it means where Penalty is above Oracle."""
    name, known = "franceschi", inputs.params["denoising"]["cells"]["franceschi"]
    oracle, penalty, rmd = "oracle-same-split", "penalty-same-split", "rmd"
    if not {oracle, penalty, rmd} <= set(has(inputs, name)):
        return []
    curve = inputs.cell("denoising", name, oracle)["curves"].get("test accuracy", {"mean": []})["mean"]
    rising = ", after which its accuracy is still rising" if len(curve) > 1 and curve[-1] > curve[-2] else ""
    steps = known[penalty]["settings"]["lower_steps"]
    said = (
        f"On Franceschi's split Oracle takes {iterations(inputs, name, oracle)} steps of full batches{rising}; Penalty"
        f" {iterations(inputs, name, penalty)} upper iterations of {steps} steps of Adam on minibatches, after"
        f" {known[penalty]['pretrain']['epochs']} epochs of pre-training. RMD's row without a last fit is an iterate after"
        f" {known[rmd]['settings']['lower_steps']} lower steps from a new start, so how far it lies below says little of its"
        " importances."
    )
    apart = paired(inputs, (name, penalty), (name, oracle))
    if apart is not None and apart.sign == 1:
        said += (
            f" Penalty above Oracle ({interval(apart, 2)}) is a warning: no method can know more than which labels are"
            " right, so Oracle is not trained to its end."
        )
    return [said]


def _of_part(inputs: Sources) -> list[str]:
    """That no step size was searched on CIFAR-10."""
    block = inputs.params["denoising"]
    plans = [plan["data"] for plan in block.get("search", {}).values() if "data" in plan]
    if any(block["prepared"][one]["source"].startswith("cifar10") for one in plans):
        return []
    return [
        "No step size was searched on CIFAR-10 or on a part of it: whether ApproxGrad is below Train+Val there after tuning"
        " is not answered."
    ]


NOTES: dict[str, Callable[[Sources], list[str]]] = {"franceschi": _of_franceschi, "cifar10-part": _of_part}
"""Further notes of an experiment's table, made of its numbers."""


DRAWN: dict[str, Callable[[Sources], Table]] = {name: partial(study, experiment=name) for name in STUDIES}
"""By the name of the experiment that a table is drawn from."""
