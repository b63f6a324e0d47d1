"""What a reader should believe of this section of the paper, in sentences made from the numbers.

Each sentence says what a comparison found, with its interval; words like "above" are the interval's, never the means'.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines import comparison
from pipelines.comparison import Difference
from pipelines.denoising import cells, further
from pipelines.denoising.rows import data, has, label, method_of, named, paired, quirk
from pipelines.layout import interval, listed
from pipelines.sources import Sources

WORDS = {1: "above", -1: "below", 0: "not told apart from"}
Part = tuple[str, str]


def believed(inputs: Sources) -> str:
    """The sentences, one paragraph for each question; those whose cells a profile has."""
    asked: list[Callable[[Sources], str]] = [margins, budget, edges, tuning, cleaning, worth, quirks]
    return "\n\n".join(text for text in (question(inputs) for question in asked) if text)


def margins(inputs: Sources) -> str:
    """Penalty against the baselines in the paper's table."""
    lines = ["**Is it better than not learning importances?**"]
    for name in inputs.params["denoising"]["data"]:
        found = _against(inputs, name, "penalty", ("oracle", "val-only", "train-val"))
        if found:
            lines.append(f"- {name}: Penalty is {found}.")
    return "\n".join(lines) if len(lines) > 1 else ""


def budget(inputs: Sources) -> str:
    """What more training changes, and whether Train+Val learns wrong labels by heart."""
    if not {"penalty", "train-val"} <= set(has(inputs, "longer")):
        return ""
    lines = ["**Does the cut budget hide the paper's margin over Train+Val?**"]
    both = {method: inputs.cell("denoising", "longer", method)["curves"] for method in ("train-val", "penalty")}
    if not all(curves["iteration"] for curves in both.values()):
        return ""
    test, train = (both["train-val"][f"{split} accuracy"]["mean"] for split in ("test", "train"))
    best = max(range(len(test)), key=lambda place: test[place])
    lines.append(
        f"- Train+Val is at its best, {test[best]:.2f}%, after {both['train-val']['iteration'][best]} steps, and ends at"
        f" {test[-1]:.2f}%; on its own training labels, wrong ones included, it goes from {train[best]:.1f}% to"
        f" {train[-1]:.1f}%."
    )
    ends = _against(inputs, "longer", "penalty", ("val-only", "train-val"))
    lines.append(f"- At the longer budget's end Penalty is {ends}.")
    apart = paired(inputs, ("longer", "penalty"), ("longer", "train-val"))
    if apart is not None:
        lines.append(f"- {_reason(apart, test[best] - test[-1], train[-1] - train[best])}")
    return "\n".join(lines)


def tuning(inputs: Sources) -> str:
    """Which method is best after equal tuning."""
    rivals = [method for method in has(inputs, "tuned") if method != "penalty"]
    found = _against(inputs, "tuned", "penalty", rivals)
    if not found:
        return ""
    lines = ["**Which margins survive an equal comparison?**"]
    lines.append(f"- {data(inputs, 'tuned')}: after the same search Penalty is {found}.")
    return "\n".join(lines)


def edges(inputs: Sources) -> str:
    """Which step sizes of the paper's table lie at an edge of the grid that they were chosen from."""
    params = inputs.params["denoising"]
    grid = params.get("search", {}).get("table", {}).get("space", {}).get("lower_step_size", [])
    if not grid:
        return ""
    chosen = {method: params["cells"][params["data"][0]][method]["settings"] for method in params["methods"]}
    found = {
        word: [label(method) for method, one in chosen.items() if one["lower_step_size"] == edge]
        for word, edge in (("largest", max(grid)), ("smallest", min(grid)))
    }
    lines = [
        f"- Of {', '.join(f'{size:g}' for size in grid)} the {word} step size was the best of {listed(names)}, so a"
        f" {'larger' if word == 'largest' else 'smaller'} one, which was not tried, may do better still."
        for word, names in found.items() if names
    ]  # fmt: skip
    return "\n".join(["**Was the search wide enough?**", *lines]) if lines else ""


def cleaning(inputs: Sources) -> str:
    """Penalty against other bilevel methods, in softmax regression at full size and on the part of CIFAR-10."""
    lines = ["**Does it hold on other data, and against methods that the paper leaves out?**"]
    for experiment in ("cifar10-part", "franceschi", "stocbio-hypercleaning", "reweighting", "wrn"):
        found: dict[str, list[str]] = {}
        for variant in has(inputs, experiment):
            base = further.penalty_of(inputs, experiment, variant)
            if base is not None:
                found.setdefault(base, []).append(variant)
        for base, others in found.items():
            said = _against(inputs, experiment, base, others)
            if said:
                lines.append(f"- {experiment}, {base}: Penalty is {said}.")
    return "\n".join(lines) if len(lines) > 1 else ""


def worth(inputs: Sources) -> str:
    """Whether importances serve a new network, by the controls."""
    lines = ["**Is it the importances that help, or the iterate that learned them?**"]
    for variant in has(inputs, "controls"):
        source = cells.from_of(inputs.params["denoising"]["cells"]["controls"][variant])
        apart = source and paired(inputs, ("controls", variant), source)
        if apart:
            lines.append(
                f"- {label(method_of(variant))}, {named(variant)}: {WORDS[apart.sign]} the iterate that learned them"
                f" ({interval(apart, 2)} points)."
            )
    if "penalty" in has(inputs, "quirks") and "val-only-same-steps" in has(inputs, "controls"):
        apart = paired(inputs, ("quirks", "penalty"), ("controls", "val-only-same-steps"))
        if apart:
            word, said = WORDS[apart.sign], interval(apart, 2)
            lines.append(f"- Penalty is {word} Val-only with as many lower steps ({said} points).")
    return "\n".join(lines) if len(lines) > 1 else ""


def quirks(inputs: Sources) -> str:
    """Which quirks of the released code change the accuracy."""
    effects: dict[str, Difference] = {}
    for variant in has(inputs, "quirks"):
        apart = quirk(inputs, variant)
        if apart is not None:
            effects[f"{label(method_of(variant))}, {named(variant)} ({interval(apart, 2)})"] = apart
    if not effects:
        return ""
    told = {sign: [name for name, apart in effects.items() if apart.sign == sign] for sign in (1, -1)}
    chance = (1 - comparison.CONFIDENCE) * len(effects)
    lines = [
        "**Which quirks of the released code matter?**",
        f"- Of {len(effects)} changes, {len(told[1]) + len(told[-1])} move the accuracy;"
        f" {chance:.1f} would seem to by chance.",
    ]
    lines += [f"- Raised by: {'; '.join(told[1])}."] if told[1] else []
    lines += [f"- Lowered by: {'; '.join(told[-1])}."] if told[-1] else []
    return "\n".join(lines)


def _reason(apart: Difference, fall: float, learnt: float) -> str:
    """Why Penalty lies where it does against Train+Val, as far as the longer run tells."""
    memorised = fall > 0 and learnt > 0
    if apart.sign == 1 and memorised:
        return (
            "So the margin is one of training time: a network learns what most labels agree on first and the wrong ones by"
            " heart later, and only then do importances pay."
        )
    if memorised:
        return (
            "Train+Val does pay for wrong labels as it learns them by heart, but at this budget not so much that Penalty"
            " lies above it."
        )
    return "Train+Val has not learnt the wrong labels by heart at this budget, so there is little for importances to mend."


def _against(inputs: Sources, group: str, method: str, others: tuple[str, ...] | list[str]) -> str:
    """ "above A (+1.00 ± 0.50) and B (...); not told apart from C (...)", by trial; "" where nothing can be compared."""
    found: dict[int, list[str]] = {}
    for other in others:
        apart = paired(inputs, (group, method), (group, other))
        if apart is not None:
            found.setdefault(apart.sign, []).append(f"{_called(inputs, group, other)} ({interval(apart, 2)})")
    return "; ".join(f"{WORDS[sign]} {listed(found[sign])}" for sign in (1, 0, -1) if sign in found)


def _called(inputs: Sources, group: str, variant: str) -> str:
    """A variant's method, and what else it is."""
    data = inputs.params["denoising"]["cells"][group][variant].get("data", group)
    more = further.changed(variant, data)
    return label(method_of(variant)) + (f", {more}," if more else "")
