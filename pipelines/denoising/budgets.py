"""What a budget does: the tables of a longer one, and of where the time of an upper iteration goes."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.denoising import efforts
from pipelines.denoising.rows import (
    AGAINST_PENALTY,
    accuracies,
    against_penalty,
    as_numbers,
    chosen,
    data,
    has,
    label,
    method_of,
    table,
)
from pipelines.layout import Table, interval, listed, number
from pipelines.sources import Sources

PARTS_OF_BUDGET = (1 / 8, 1 / 2)
"""Of the longer budget, near which accuracies are shown beside its end."""
MOST_OUTSIDE = 0.1
"""The share of an upper iteration that may be spent outside of its products."""


def longer(inputs: Sources, experiment: str = "longer") -> Table:
    """What more training does to each method: accuracy at parts of the longer budget, and against Penalty at its end and
    where each is chosen on the selection split."""
    numbers, shown = [], []
    sizes = inputs.params["denoising"]["cells"][experiment]
    for method in has(inputs, experiment):
        cell = inputs.cell("denoising", experiment, method)
        curves, steps = cell["curves"], cell["curves"]["iteration"]
        row, read = accuracies(inputs, experiment, method)
        apart = against_penalty(inputs, experiment, method)
        picked = None if method == "penalty" else chosen(inputs, (experiment, method), (experiment, "penalty"))
        places = [_place(steps, share) for share in PARTS_OF_BUDGET if len(steps) > 1]
        parts = {
            f"{100 * steps[place] / steps[-1]:.3g}% of the budget": curves["test accuracy"]["mean"][place]
            for place in places
        }
        learnt = curves["train accuracy"]["mean"][-1] if steps else None
        size = sizes[method]["settings"]["lower_step_size"]
        head = {"method": label(method_of(method)), "step size": size, "upper iterations": steps[-1] if steps else None}
        fit = {"accuracy on its training labels": learnt}
        of_picked = {f"{name}, selected": value for name, value in as_numbers(picked).items()}
        numbers.append({**head, **parts, **fit, **row, **as_numbers(apart), **of_picked})
        said = {name: number(value, 2) for name, value in {**parts, **fit}.items()}
        beside = {"against Penalty": interval(apart, 2), "selected against Penalty's": interval(picked, 2)}
        shown.append({**head, **said, **read, **beside})
    notes = [
        f"On {data(inputs, experiment)}. Accuracy on the training labels, wrong ones included where a method trains on"
        " them, says how far it has learnt"
        f" them by heart.{AGAINST_PENALTY} Selected against Penalty's: the same of the iterates chosen on a clean split that"
        " no cost has seen, paired by trial.",
        *_twice(inputs, experiment),
        f"{efforts.longer(inputs, experiment)}: what happens at the end of those is not seen here;"
        f" {efforts.searched(inputs, experiment)}",
    ]
    return table(inputs, experiment, "A longer budget", numbers, shown, notes)


def _twice(inputs: Sources, experiment: str) -> list[str]:
    """Why a method stands in the table with two step sizes."""
    known = has(inputs, experiment)
    twice = [label(one) for one in known if f"{one}-small-steps" in known]
    if not twice:
        return []
    return [
        f"{listed(twice)} stands twice: with the step size that the search found, which looks at the last iterate, and with"
        " a smaller one of the grid, for the iterate that is stopped in time."
    ]


def _place(steps: Sequence[int], share: float) -> int:
    """The index of the recorded iteration next to that share of the last one; the start, before any step, is none."""
    return min(range(1, len(steps)), key=lambda place: abs(steps[place] - share * steps[-1]))


def profile(inputs: Sources) -> Table:
    """Where the time of an upper iteration goes: in products, optimisers, minibatches, and the rest."""
    numbers, shown = [], []
    cells = inputs.params["denoising"]["cells"]
    for row in inputs.measured["profiled"]:
        data_set, method = row["cell"]
        cell = cells[data_set][method]
        head = {"method": label(method), "network": cell["network"], "T": cell["settings"]["lower_steps"]}
        numbers.append({**head, **row["shares"]})
        shown.append({**head, **{part: f"{share:.1%}" for part, share in row["shares"].items()}})
    outside = dict.fromkeys(row["network"] for row in numbers if row["products"] < 1 - MOST_OUTSIDE)
    notes = [
        "Shares of the time of one upper iteration of the first trial. Products: gradients, and products with second"
        " derivatives, with all that they call. Python's profiler, which took them, makes what is Python look longer than it"
        f" is. With {', '.join(outside) or 'no network'} more than {MOST_OUTSIDE:.0%} lie outside the products.",
    ]
    return table(inputs, "profile", "Where the time goes", numbers, shown, notes, "denoising/costs.json")
