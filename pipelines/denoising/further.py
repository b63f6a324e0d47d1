"""The tables of experiments that stand beside other works' numbers: one form for all, and that of stocBiO's cleaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from pipelines import comparison, published
from pipelines.comparison import Cut, Difference, Estimate
from pipelines.denoising.rows import (
    AGAINST_PENALTY,
    NAMED,
    accuracies,
    as_numbers,
    has,
    label,
    method_of,
    paired,
    seconds_of,
    table,
)
from pipelines.denoising.setting import WITH_ADAM, iterations
from pipelines.denoising.setting import cuts as cuts_in_words
from pipelines.layout import Table, interval, listed, number, plus_minus, printed
from pipelines.published import Value
from pipelines.sources import Sources

MOST_CALLED = 0.9
"""The share of the examples beyond which a method calls nearly all of them wrong."""
TITLE = "Hyper-cleaning as in stocBiO"
LOSS = "selection loss"
"""The curve of cross entropy on examples that neither cost has seen."""
FINAL = {"rmd": "a new network trained with the weights it learned"}
"""Methods whose last fit weights the examples; that of others leaves out those of a low importance (`keep_above`)."""
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


def hypercleaning(inputs: Sources) -> Table:
    """stocBiO's hyper-cleaning: cross entropy and accuracy after as long a time, beside the published test loss."""
    numbers, shown = [], []
    seconds, name = seconds_of(inputs), "stocbio-hypercleaning"
    for variant in has(inputs, name):
        cell = inputs.cell("denoising", name, variant)
        row, read = accuracies(inputs, name, variant)
        data = data_of(inputs, name, variant)
        head = {"data": data, "method": label(method_of(variant)), "cell": changed(variant, data) or "-"}
        value = None if "described" in variant else published.find(f"stocbio-mnist-{_as_ji(method_of(variant))}")
        loss, iterations = last(cell["curves"], LOSS), (cell["curves"]["iteration"] or [None])[-1]
        weight = last(cell["curves"], "mean importance")
        each = seconds.get(f"{name}-{variant}")
        time = each and iterations and each * iterations
        calls = sum(cell["summary"].get("oracle calls", {}).values())
        apart = beside(inputs, name, variant)
        more = {"upper iterations": iterations, "seconds": time, "oracle calls": calls}
        numbers.append(
            {**head, "published test loss": value and value.mean, "held-out loss": loss.mean, "held-out loss sd": loss.sd,
             **row, "mean importance": weight.mean, **more, **as_numbers(apart)}
        )  # fmt: skip
        shown.append(
            {**head, "test loss, published": printed(value), "held-out loss": plus_minus(loss, 3), **read,
             "mean importance": number(weight.mean, 3), **more, "seconds": number(time),
             "against Penalty": interval(apart, 2)}
        )  # fmt: skip
    notes = [
        "Softmax regression on 20,000 images of MNIST, as many as published. Held-out loss: cross entropy on 1,000 clean"
        " images that neither cost has seen, at the last iterate. The published test losses are read off a figure at 143 to"
        " 150 seconds of its authors' machine; it does not say which share of labels was wrong, so they stand beside both."
        " Seconds: upper iterations times their measured time. An oracle call is one gradient or product, of a full batch or"
        f" of one example. RMD is truncated: it goes back over the last lower steps alone.{AGAINST_PENALTY}",
        "Mean importance: it starts at one half. Where it stays there, and the area under the ROC curve is near one half"
        " too, the outer step is too small for the importances to have moved, and the method is plain training with all"
        " labels.",
        *_settings_of_cleaning(inputs),
        *_all_called_wrong(inputs),
    ]
    return table(inputs, name, TITLE, numbers, shown, notes, "denoising/costs.json")


def _settings_of_cleaning(inputs: Sources) -> list[str]:
    """How the budget is cut, and that methods differ in T and in how they descend."""
    name, found = "stocbio-hypercleaning", dict[tuple[int, str], list[str]]()
    short = cuts_in_words(inputs, name)
    for variant in has(inputs, name):
        cell = inputs.params["denoising"]["cells"][name][variant]
        how = "of Adam" if cell["solver"] in WITH_ADAM else "of plain gradients"
        found.setdefault((cell["settings"]["lower_steps"], how), []).append(label(method_of(variant)))
    said = [f"{steps} {how} of {listed([*dict.fromkeys(names)])}" for (steps, how), names in sorted(found.items())]
    notes = [f"Lower steps are not equal: T = {'; '.join(said)}."] if len(said) > 1 else []
    return [f"The budget is cut: {short}.", *notes] if short else notes


def _all_called_wrong(inputs: Sources) -> list[str]:
    """A note on methods that call nearly every example wrong, by recall and precision over the share of wrong labels."""
    name, said = "stocbio-hypercleaning", []
    for variant in has(inputs, name):
        found = inputs.cell("denoising", name, variant)["summary"].get("importances", {})
        precision, recall = (found.get(one, {}).get("mean") for one in ("precision", "recall"))
        noise = inputs.params["denoising"]["prepared"][data_of(inputs, name, variant)]["noise"]
        called = noise * recall / precision if precision and recall else 0.0
        if called > MOST_CALLED:
            accuracy = plus_minus(inputs.accuracy(name, variant), 2)
            said.append(
                f"{label(method_of(variant))} on {data_of(inputs, name, variant)} {called:.0%} of all (precision"
                f" {number(precision, 3)} where {noise:g} of the labels are wrong; test accuracy {accuracy})"
            )
    if not said:
        return []
    return [
        f"Nearly every example has an importance below one half, so is called wrong, by {listed(said)}. Such a method hardly"
        " trains on the noisy examples: it is nearly training on the validation split alone, so its accuracy says little of"
        " finding wrong labels."
    ]


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


def _as_ji(method: str) -> str:
    """A method's name in the published figure."""
    return {"rmd": "reverse"}.get(method, method)


def last(curves: Mapping[str, Any], name: str) -> Estimate:
    """The end of a curve over the trials; its mean is None where no trial finished."""
    found = curves.get(name)
    return Estimate(None) if found is None else Estimate(found["mean"][-1], found["sd"][-1])


DRAWN: dict[str, Callable[[Sources], Table]] = {
    "stocbio-hypercleaning": hypercleaning,
    **{name: partial(study, experiment=name) for name in STUDIES},
}
"""By the name of the experiment that a table is drawn from."""
