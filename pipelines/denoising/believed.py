"""What a reader should believe of this section of the paper, in sentences made from the numbers: the evidence, question by
question; what follows from it stands in `pipelines.denoising.concluded`.

Each sentence says what a comparison found, with its interval; words like "above" are the interval's, never the means'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines import comparison
from pipelines.comparison import Difference
from pipelines.denoising import cells, efforts, further
from pipelines.denoising.rows import (
    WORDS,
    beside_equal_weights,
    best_stopped,
    chosen,
    data,
    has,
    is_idle,
    label,
    method_of,
    named,
    paired,
    quirk,
    tuned,
)
from pipelines.denoising.told import basis
from pipelines.layout import interval, listed, number
from pipelines.sources import Sources

LONGER = ("longer", "longer-50")
UNMOVED = 0.02
"""Importances whose means over clean and corrupted examples lie no further apart than this have hardly moved."""
BLIND = 0.9
"""Importances that call a larger share than this of all labels wrong sort out nothing."""


def believed(inputs: Sources) -> str:
    """The sentences, one paragraph for each question; those whose cells a profile has."""
    asked: list[Callable[[Sources], str]] = [margins, budget, edges, tuning, cleaning, worth, quirks]
    return "\n\n".join(text for text in (question(inputs) for question in asked) if text)


def margins(inputs: Sources) -> str:
    """Penalty against the baselines in the paper's table."""
    lines = ["**Is it better than not learning importances?**"]
    for name in inputs.params["denoising"]["data"]:
        found = against(inputs, name, "penalty", ("oracle", "val-only", "train-val"))
        if found:
            lines.append(f"- {name}: Penalty is {found}.")
    return "\n".join(lines) if len(lines) > 1 else ""


def budget(inputs: Sources) -> str:
    """What more training changes, and whether Train+Val learns wrong labels by heart."""
    lines = ["**Does the cut budget hide the paper's margin over Train+Val?**"]
    lines += [line for experiment in LONGER for line in _longer(inputs, experiment)]
    return "\n".join(lines) if len(lines) > 1 else ""


def _longer(inputs: Sources, experiment: str) -> list[str]:
    """What the longer run on one data set shows; [] where it was not made, or no trial finished."""
    if not {"penalty", "train-val"} <= set(has(inputs, experiment)):
        return []
    both = {method: inputs.cell("denoising", experiment, method)["curves"] for method in ("train-val", "penalty")}
    if not all(curves["iteration"] for curves in both.values()):
        return []
    where = further.data_of(inputs, experiment, "penalty")
    budget = f"- {efforts.longer(inputs, experiment)}; {efforts.searched(inputs, experiment)}"
    test, train = (both["train-val"][f"{split} accuracy"]["mean"] for split in ("test", "train"))
    best = max(range(len(test)), key=lambda place: test[place])
    lines = [
        budget,
        f"- {where}: Train+Val is at its best, {test[best]:.2f}%, after {both['train-val']['iteration'][best]:,} steps, and"
        f" ends at {test[-1]:.2f}%; on its own training labels, wrong ones included, it goes from {train[best]:.1f}% to"
        f" {train[-1]:.1f}%.",
        f"- {where}: at the longer budget's end Penalty is"
        f" {against(inputs, experiment, 'penalty', ('val-only', 'train-val'))}.",
    ]
    apart = paired(inputs, (experiment, "penalty"), (experiment, "train-val"))
    if apart is not None:
        lines.append(f"- {where}: {_reason(apart, test[best] - test[-1], train[-1] - train[best])}")
    lines += _not_above_clean(inputs, experiment, where)
    stopped = best_stopped(inputs, experiment, "train-val")
    picked = chosen(inputs, (experiment, "penalty"), (experiment, stopped))
    if picked is not None:
        lines.append(
            f"- {where}: where each takes the iterate that is best on a clean split no cost has seen, Penalty is"
            f" {WORDS[picked.sign]} {', '.join(filter(None, ('Train+Val', named(stopped))))} ({interval(picked, 2)})."
        )
    return lines


def _not_above_clean(inputs: Sources, experiment: str, where: str) -> list[str]:
    """Where Penalty ends no higher than Val-only, which sees no wrong label: how far it falls after its best, which wrong
    labels it still trains on, and how the iterates chosen on the selection split compare."""
    pair = ((experiment, "penalty"), (experiment, "val-only"))
    apart = paired(inputs, *pair) if "val-only" in has(inputs, experiment) else None
    if apart is None or apart.sign == 1:
        return []
    cell = inputs.cell("denoising", *pair[0])
    test, steps = cell["curves"]["test accuracy"]["mean"], cell["curves"]["iteration"]
    best = max(range(len(test)), key=lambda place: test[place])
    recall = cell["summary"].get("importances", {}).get("recall", {}).get("mean")
    kept = f"; {100 * (1 - recall):.0f}% of the wrong labels have an importance above one half there" if recall else ""
    text = (
        f"- {where}: why not above Val-only, which sees no wrong label: Penalty is at its best, {test[best]:.2f}%, after"
        f" {steps[best]:,} upper iterations, and ends at {test[-1]:.2f}%{kept}."
    )
    picked = chosen(inputs, *pair)
    if picked is not None:
        said = f"{WORDS[picked.sign]} Val-only ({interval(picked, 2)})"
        text += f" By the iterates that are best on the clean split it is {said}."
    return [text]


def tuning(inputs: Sources) -> str:
    """Which method is best after equal tuning."""
    lines = ["**Which margins survive an equal comparison?**"]
    for experiment in tuned(inputs):
        found = against(inputs, experiment, "penalty", [one for one in has(inputs, experiment) if one != "penalty"])
        if found:
            lines.append(f"- {data(inputs, experiment)}: after the same search Penalty is {found}.")
    return "\n".join(lines) if len(lines) > 1 else ""


def edges(inputs: Sources) -> str:
    """Which step sizes of the paper's table lie at an edge of the grid that they were chosen from."""
    params = inputs.params["denoising"]
    grid = params.get("search", {}).get("table", {}).get("space", {}).get("lower_step_size", [])
    if not grid:
        return ""
    sizes = {method: params["cells"][params["data"][0]][method]["settings"] for method in params["methods"]}
    found = {
        word: [label(method) for method, one in sizes.items() if one["lower_step_size"] == edge]
        for word, edge in (("largest", max(grid)), ("smallest", min(grid)))
    }
    tried = ", ".join(f"{size:g}" for size in grid)
    lines = [
        f"- Of {tried} the {word} step size was the best of {listed(names)}, so a"
        f" {'larger' if word == 'largest' else 'smaller'} one, which was not tried, may do better still."
        for word, names in found.items() if names
    ]  # fmt: skip
    if not lines:
        lines = [f"- Of {tried} neither the largest nor the smallest was any method's best."]
    return "\n".join(["**Was the search of the table's step sizes wide enough?**", *lines])


STUDIED = ("described", "cifar10-part", "franceschi", "stocbio-hypercleaning", "reweighting", "wrn")


def cleaning(inputs: Sources) -> str:
    """Penalty against other methods, in the experiments that have tables of their own."""
    lines = ["**Does it hold on other data, and against methods that the paper leaves out?**"]
    for experiment in STUDIED:
        found: dict[str, list[str]] = {}
        for variant in has(inputs, experiment):
            base = further.penalty_of(inputs, experiment, variant)
            if base is not None:
                found.setdefault(base, []).append(variant)
        for base, others in found.items():
            said = against(inputs, experiment, base, others)
            if said:
                more = _blind(inputs, experiment, base) + _unmoved(inputs, experiment, others)
                more += _above_oracle(inputs, experiment, base, others)
                more += efforts.said(inputs, experiment, [base, *others]) if experiment in efforts.UNEQUAL else ""
                more += efforts.of_reverse(inputs) if "rmd" in others else ""
                lines.append(f"- {_place(inputs, experiment, base)}: Penalty is {said}.{more}")
    return "\n".join(lines) if len(lines) > 1 else ""


def _place(inputs: Sources, experiment: str, base: str) -> str:
    """An experiment, its data, and what else the cell of Penalty is, in words."""
    where = further.data_of(inputs, experiment, base)
    return ", ".join(filter(None, (further.title_of(experiment), where, further.changed(base, where))))


def _unmoved(inputs: Sources, experiment: str, variants: Sequence[str]) -> str:
    """Which methods' importances have hardly moved apart, so that they are plain training; "" for none."""
    names = []
    for variant in variants:
        found = inputs.cell("denoising", experiment, variant)["summary"].get("importances")
        if found:
            apart = found["mean of clean"]["mean"] - found["mean of corrupted"]["mean"]
            names += [label(method_of(variant))] if abs(apart) < UNMOVED else []
    if not names:
        return ""
    return (
        f" Of {listed(names)} the importances of clean and corrupted examples have hardly moved apart: these are plain"
        " training with all labels."
    )


def _above_oracle(inputs: Sources, experiment: str, base: str, variants: Sequence[str]) -> str:
    """That a method above Oracle, which is told the labels, speaks of budgets and not of labels; "" where none is."""
    for variant in (one for one in variants if method_of(one) == "oracle"):
        apart = paired(inputs, (experiment, base), (experiment, variant))
        if apart is not None and apart.sign == 1:
            curve = inputs.cell("denoising", experiment, variant)["curves"]["test accuracy"]["mean"]
            rises = ", which still rises at its end," if len(curve) > 1 and curve[-1] > curve[-2] else ""
            return f" Above Oracle{rises} no choice of labels can bring it: the budgets are not alike."
    return ""


def _blind(inputs: Sources, experiment: str, variant: str) -> str:
    """Whether a cell's importances call nearly every label wrong, so that validation data alone train it; "" if not."""
    found = inputs.cell("denoising", experiment, variant)["summary"].get("importances")
    if not found or not found["precision"]["mean"]:
        return ""
    noise = inputs.params["denoising"]["prepared"][further.data_of(inputs, experiment, variant)]["noise"]
    precision, recall = found["precision"]["mean"], found["recall"]["mean"]
    called = min(recall * noise / precision, 1.0)
    if called < BLIND:
        return ""
    return (
        f" But {label(method_of(variant))}'s importances call {called:.0%} of all labels wrong, clean ones too (precision"
        f" {number(precision, 3)} where a share of {noise:g} is wrong, recall {number(recall, 3)}): by that threshold it"
        " finds none, and trains on little more than the validation set."
    )


def worth(inputs: Sources) -> str:
    """Whether importances serve a new network, by the controls."""
    lines = ["**Is it the importances that help, or the iterate that learned them?**"]
    for variant in has(inputs, "controls"):
        source = cells.from_of(inputs.params["denoising"]["cells"]["controls"][variant])
        apart = source and paired(inputs, ("controls", variant), source)
        if apart:
            lines.append(
                f"- {label(method_of(variant))}, {named(variant)}: {WORDS[apart.sign]} the iterate that learned them"
                f" ({interval(apart, 2)} points){_even(inputs, variant)}."
            )
    if "val-only-same-steps" in has(inputs, "controls"):
        for method in ("penalty", "approxgrad"):
            apart = paired(inputs, ("quirks", method), ("controls", "val-only-same-steps"))
            if apart:
                said = f"{WORDS[apart.sign]} Val-only with as many lower steps ({interval(apart, 2)} points)"
                spent = [
                    f"{label(method_of(one))} {efforts.effort(inputs, place, one)}, step size {size:g}"
                    for place, one in (("controls", "val-only-same-steps"), ("quirks", method))
                    if (size := inputs.params["denoising"]["cells"][place][one]["settings"]["lower_step_size"])
                ]
                lines.append(f"- {label(method)} is {said}: {'; '.join(spent)}.")
    return "\n".join(lines) if len(lines) > 1 else ""


def _even(inputs: Sources, variant: str) -> str:
    apart = beside_equal_weights(inputs, variant)
    return f", {WORDS[apart.sign]} the same with equal weights ({interval(apart, 2)})" if apart else ""


def quirks(inputs: Sources) -> str:
    """Which quirks of the released code change the accuracy."""
    effects: dict[str, Difference] = {}
    idle: list[str] = []
    for variant in has(inputs, "quirks"):
        apart = quirk(inputs, variant)
        if apart is not None and is_idle(apart):
            idle.append(f"{label(method_of(variant))}, {named(variant)}")
        elif apart is not None:
            effects[f"{label(method_of(variant))}, {named(variant)} ({interval(apart, 2)})"] = apart
    if not effects:
        return ""
    told = {sign: [name for name, apart in effects.items() if apart.sign == sign] for sign in (1, -1)}
    chance = (1 - comparison.CONFIDENCE) * len(effects)
    lines = [
        "**Which quirks of the released code matter?**",
        f"- On {basis(inputs)}: of {len(effects)} changes, {len(told[1]) + len(told[-1])} move the accuracy; if none did,"
        f" {chance:.1f} would still seem to, by chance.",
    ]
    lines += [f"- Raised by: {'; '.join(told[1])}."] if told[1] else []
    lines += [f"- Lowered by: {'; '.join(told[-1])}."] if told[-1] else []
    lines += [f"- Not in play within this budget, every trial the same to the last bit: {'; '.join(idle)}."] if idle else []
    return "\n".join(lines)


def _reason(apart: Difference, fall: float, learnt: float) -> str:
    """Why Penalty lies where it does against Train+Val, as far as the longer run tells."""
    memorised = fall > 0 and learnt > 0
    if apart.sign == 1 and memorised:
        return (
            "so the margin is one of training time: a network learns what most labels agree on first and the wrong ones by"
            " heart later, and only then do importances pay."
        )
    if memorised:
        return (
            "Train+Val does pay for wrong labels as it learns them by heart, but at this budget not so much that Penalty"
            " lies above it."
        )
    return "Train+Val has not learnt the wrong labels by heart at this budget, so there is little for importances to mend."


def against(inputs: Sources, group: str, method: str, others: Sequence[str]) -> str:
    """ "above A (+1.00 ± 0.50) and B (...); not told apart from C (...)", by trial; "" where nothing can be compared."""
    found: dict[int, list[str]] = {}
    for other in others:
        apart = paired(inputs, (group, method), (group, other))
        if apart is not None:
            found.setdefault(apart.sign, []).append(f"{_called(inputs, group, other, method)} ({interval(apart, 2)})")
    return "; ".join(f"{WORDS[sign]} {listed(found[sign])}" for sign in (1, 0, -1) if sign in found)


def _called(inputs: Sources, group: str, variant: str, base: str) -> str:
    """A variant's method, and what it is that the cell which it is compared with is not."""
    where = inputs.params["denoising"]["cells"][group][variant].get("data", group)
    shared = further.changed(base, where).split(", ")
    more = [one for one in further.changed(variant, where).split(", ") if one and one not in shared]
    return ", ".join([label(method_of(variant)), *more])
