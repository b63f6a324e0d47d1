"""The table of hyper-cleaning as in stocBiO's experiment, and what its methods spend and call wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines import published
from pipelines.comparison import Estimate
from pipelines.denoising.further import CLEANING, beside, changed, data_of, title_of
from pipelines.denoising.rows import (
    AGAINST_PENALTY,
    accuracies,
    as_numbers,
    has,
    label,
    method_of,
    seconds_of,
    table,
)
from pipelines.denoising.setting import cuts as cuts_in_words
from pipelines.denoising.setting import is_of_adam
from pipelines.layout import Table, interval, listed, number, plus_minus, printed
from pipelines.sources import Sources

MOST_CALLED = 0.9
"""The share of the examples beyond which a method calls nearly all of them wrong."""
LOSS = "selection loss"
"""The curve of cross entropy on examples that neither cost has seen."""


def hypercleaning(inputs: Sources) -> Table:
    """stocBiO's hyper-cleaning: cross entropy and accuracy after as long a time, beside the published test loss."""
    numbers, shown = [], []
    seconds, name = seconds_of(inputs), CLEANING
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
    return table(inputs, name, title_of(name), numbers, shown, notes, "denoising/costs.json")


def _settings_of_cleaning(inputs: Sources) -> list[str]:
    """How the budget is cut, and that methods differ in T and in how they descend."""
    name, found = CLEANING, dict[tuple[int, str], list[str]]()
    short = cuts_in_words(inputs, name)
    for variant in has(inputs, name):
        cell = inputs.params["denoising"]["cells"][name][variant]
        how = "of Adam" if is_of_adam(cell) else "of plain gradients"
        found.setdefault((cell["settings"]["lower_steps"], how), []).append(label(method_of(variant)))
    said = [f"{steps} {how} of {listed([*dict.fromkeys(names)])}" for (steps, how), names in sorted(found.items())]
    notes = [f"Lower steps are not equal: T = {'; '.join(said)}."] if len(said) > 1 else []
    return [f"The budget is cut: {short}.", *notes] if short else notes


def _all_called_wrong(inputs: Sources) -> list[str]:
    """A note on methods that call nearly every example wrong, by recall and precision over the share of wrong labels."""
    name, said = CLEANING, []
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


def _as_ji(method: str) -> str:
    """A method's name in the published figure."""
    return {"rmd": "reverse"}.get(method, method)


def last(curves: Mapping[str, Any], name: str) -> Estimate:
    """The end of a curve over the trials; its mean is None where no trial finished."""
    found = curves.get(name)
    return Estimate(None) if found is None else Estimate(found["mean"][-1], found["sd"][-1])
