"""The tables of the denoising experiments: each quirk alone, controls, and the effect of T."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pipelines import comparison, published, searches
from pipelines.comparison import Difference
from pipelines.denoising import budgets, cells, further, tuning
from pipelines.denoising.hypercleaning import hypercleaning
from pipelines.denoising.rows import (
    accuracies,
    as_numbers,
    beside_equal_weights,
    data,
    has,
    is_idle,
    label,
    method_of,
    named,
    paired,
    quirk,
    seconds_of,
    table,
    tuned,
)
from pipelines.denoising.setting import iterations, same_at_every_t, setting, untrained
from pipelines.layout import Table, interval, listed, number, printed
from pipelines.sources import Sources

SIGNS = {1: "raises", -1: "lowers", 0: "not told apart"}
IDLE = "not in play"


def quirks(inputs: Sources) -> Table:
    """The effect of each quirk alone, in points of test accuracy."""
    numbers, shown = [], []
    for variant in has(inputs, "quirks"):
        method = method_of(variant)
        apart = quirk(inputs, variant)
        row, read = accuracies(inputs, "quirks", variant)
        head = {"method": label(method), "what is changed": named(variant) or "nothing: as released"}
        numbers.append({**head, **row, **as_numbers(apart)})
        shown.append({**head, **read, "effect": interval(apart, 2), "accuracy": _word(variant == method, apart)})
    notes = [
        f"On {data(inputs, 'quirks')}; test accuracy in percent, mean ± s.d. over trials. Effect: points of the last"
        " iterate against the method as released, paired by trial, with its 95% interval by Student's t. One change at a"
        " time, but for the row that says all. SVHN's divisor is no matter of training: where the last minibatch is counted"
        " as full, an accuracy is printed as its 0.99359 part (26,032 test images of 26,200), half a point too low.",
        _chance(shown),
    ]
    return table(inputs, "quirks", "Each quirk alone", numbers, shown, notes)


def controls(inputs: Sources) -> Table:
    """What the learned importances are worth without the iterate that learned them."""
    numbers, shown = [], []
    params = inputs.params["denoising"]["cells"]
    rows: list[tuple[str, str]] = []
    for variant in has(inputs, "controls"):
        source = cells.from_of(params["controls"][variant])
        rows += [one for one in ([source] if source else []) if one not in rows] + [("controls", variant)]
    rows.sort(key=lambda one: (method_of(one[1]), one[0] == "controls"))
    for parts in rows:
        source = cells.from_of(params[parts[0]][parts[1]])
        apart = None if source is None else paired(inputs, parts, source)
        even = beside_equal_weights(inputs, parts[1]) if parts[0] == "controls" else None
        row, read = accuracies(inputs, *parts)
        head = {"method": label(method_of(parts[1])), "control": named(parts[1]) or "the iterate that learned them"}
        of_even = {f"{name}, equal weights": value for name, value in as_numbers(even).items()}
        numbers.append({**head, **row, **as_numbers(apart), **of_even})
        beside = {"difference": interval(apart, 2), "against equal weights": interval(even, 2)}
        shown.append({**head, **read, **beside})
    notes = [
        f"On {data(inputs, 'controls')}. Difference: points of test accuracy of the last iterate against the bilevel"
        " method's own iterate, paired by trial, with the 95% interval. Against equal weights: the same against a new"
        " network that is trained on the same examples for as long, each with the same weight.",
        *_steps_of_control(inputs),
    ]
    return table(inputs, "controls", "Controls", numbers, shown, notes)


def lower_steps(inputs: Sources) -> Table:
    """Figure 5(a): final accuracy and seconds of an upper iteration, by method and T."""
    numbers, shown = [], []
    seconds = seconds_of(inputs)
    for variant in has(inputs, "lower-steps"):
        method, _, steps = variant.rpartition("-")
        row, read = accuracies(inputs, "lower-steps", variant)
        paper = {what: published.find(f"fig5a-{what}-T{steps}-{method}") for what in ("acc", "time")}
        time = seconds.get(f"lower-steps-{variant}")
        head = {"method": label(method), "T": int(steps)}
        numbers.append(
            {
                **head,
                "paper accuracy": paper["acc"] and paper["acc"].mean,
                **row,
                "paper seconds": paper["time"] and paper["time"].mean,
                "seconds of an iteration": time,
            }
        )
        shown.append(
            {
                **head,
                "MNIST, paper": printed(paper["acc"]),
                **read,
                "seconds, paper": printed(paper["time"]),
                "seconds, ours": number(time),
            }
        )
    notes = [
        f"On {setting(inputs, 'lower-steps')}: {iterations(inputs, 'lower-steps')} upper iterations at every T. Seconds of"
        " one upper iteration; the paper's are of its own network and machine.",
        *filter(None, [same_at_every_t(inputs), _untrained(inputs)]),
    ]
    return table(inputs, "lower-steps", "The effect of T", numbers, shown, notes, "denoising/costs.json")


DRAWN: dict[str, Callable[[Sources], Table]] = {
    "quirks": quirks,
    "tuned": tuning.tuned,
    "longer": budgets.longer,
    "longer-50": partial(budgets.longer, experiment="longer-50"),
    "profile": budgets.profile,
    "controls": controls,
    "lower-steps": lower_steps,
    "stocbio-hypercleaning": hypercleaning,
    **further.DRAWN,
}
"""By the name of the experiment that a table is drawn from; that of `tuned` stands for all of equal tuning."""


def drawing(inputs: Sources) -> dict[str, Callable[[Sources], Table]]:
    """The tables whose experiment the profile has, and that of where time goes, where that was measured."""
    measured = ["profile"] if inputs.measured.get("profiled") else []
    found: dict[str, Callable[[Sources], Table]] = {}
    for name, draw in DRAWN.items():
        if name == searches.TUNED:
            found |= {one: partial(tuning.tuned, experiment=one) for one in tuned(inputs)}
        elif has(inputs, name) or name in measured:
            found[name] = draw
    return found


def drawn(inputs: Sources) -> list[str]:
    """Their names."""
    return list(drawing(inputs))


def _steps_of_control(inputs: Sources) -> list[str]:
    """What Val-only and Penalty each train, where the control has as many lower steps."""
    name, known = "val-only-same-steps", inputs.params["denoising"]["cells"]
    if name not in has(inputs, "controls") or "penalty" not in has(inputs, "quirks"):
        return []
    control, penalty = known["controls"][name], known["quirks"]["penalty"]
    steps = iterations(inputs, "controls", name)
    start, size = penalty["pretrain"], control["settings"]["lower_step_size"]
    return [
        f"As many lower steps is not as much training: Val-only takes {steps} steps of {size:g} from a new start, Penalty"
        f" {iterations(inputs, 'quirks', 'penalty')} upper iterations of"
        f" {penalty['settings']['lower_steps']} steps of {penalty['settings']['lower_step_size']:g} after"
        f" {start['epochs']} epochs of pre-training on the validation split at {start['step_size']:g}."
    ]


def _untrained(inputs: Sources) -> str:
    """Which rows of the effect of T show the pre-trained network as the selected iterate."""
    found = [
        f"{label(method_of(one))} at T = {one.rpartition('-')[2]}" for one in untrained(inputs, "lower-steps")
    ]
    return f"Selected is the network before any upper iteration, pre-trained alone, of {listed(found)}." if found else ""


def _word(base: bool, apart: Difference | None) -> str:
    return "-" if base or apart is None else IDLE if is_idle(apart) else SIGNS[apart.sign]


def _chance(shown: list[dict[str, Any]]) -> str:
    """How many effects are told from none, and how many would be by chance; those that changed no trial are no test."""
    told = [row for row in shown if row["accuracy"] in (SIGNS[1], SIGNS[-1])]
    idle = [row for row in shown if row["accuracy"] == IDLE]
    tested = len([row for row in shown if row["effect"] != "-"]) - len(idle)
    chance = (1 - comparison.CONFIDENCE) * tested
    said = f"{len(told)} of {tested} effects are told from none; were there none, {chance:.1f} would be by chance."
    if idle:
        said += (
            f" Not in play: {len(idle)} changes left every trial as it was, since what they change does not happen within"
            " this budget, as when the tolerance is never met."
        )
    return said
