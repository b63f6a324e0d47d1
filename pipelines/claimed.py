"""The table of claims: each of claims.py, judged on the published numbers and on ours."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pipelines import accuracies, claims, comparison, distances, published
from pipelines.claims import Claim
from pipelines.comparison import Estimate
from pipelines.layout import Table
from pipelines.sources import Sources

METHODS = ("oracle", "val-only", "train-val", "approxgrad", "penalty")
GRID = range(0, 40001, 5000)


def paper_value(identity: str) -> Estimate:
    """A published number."""
    return comparison.theirs(published.value(identity))


def panels_of(inputs: Sources) -> list[tuple[str, int, str]]:
    """(example, T, method) of what the paper shows and the profile runs: the claims are about no other method."""
    params, steps = inputs.params["synthetic"], inputs.common["synthetic"]["lower_steps"]
    methods = [method for method in params["methods"] if method in published.LABELS]
    return [(example, t, method) for example in params["examples"] for t in steps for method in methods]


def on_paper(inputs: Sources) -> list[Claim]:
    """The claims on the published numbers of what the profile runs."""
    params, steps, panels = inputs.params["synthetic"], inputs.common["synthetic"]["lower_steps"], panels_of(inputs)
    data = list(inputs.params["denoising"]["data"])
    finals = [published.accuracy_curve(split, "penalty").mean[-1] for split in ("train", "validation")]
    return [
        *claims.synthetic_claims(
            {panel: paper_value("fig12-{}-T{}-{}".format(*panel)) for panel in panels},
            published.curve(2, 1, "penalty").mean,
        ),
        claims.ablation_claim(
            {
                (variant, t): paper_value("fig7-{0}-T{2}-lam{1}".format(*distances.ablation(variant), t))
                for variant in params["variants"]
                for t in steps
            }
        ),
        claims.timing_claim(
            {panel: paper_value("time-{}-T{}-{}".format(*panel)) for panel in panels}, params["examples"]
        ),
        *claims.denoising_claims(
            {(d, m): comparison.theirs(accuracies.published_of(d, m)[0]) for d in data for m in METHODS}, data
        ),
        claims.accuracy_claim({"mnist-25": (25.0, finals[0], finals[1])}),
    ]


def on_ours(inputs: Sources, preset: str, times: Mapping[tuple[str, int, str], Estimate]) -> list[Claim]:
    """The claims on our numbers; those on times and on denoising are the same under every preset."""
    params, steps, panels = inputs.params["synthetic"], inputs.common["synthetic"]["lower_steps"], panels_of(inputs)
    data = list(inputs.params["denoising"]["data"])
    return [
        *claims.synthetic_claims(
            {(e, t, m): inputs.distance(e, m, preset, t) for e, t, m in panels}, _falling(inputs, preset)
        ),
        claims.ablation_claim(
            {
                (variant, t): inputs.distance("ablation", variant, preset, t)
                for variant in params["variants"]
                for t in steps
            }
        ),
        claims.timing_claim(times, params["examples"]),
        *claims.denoising_claims({(d, m): inputs.accuracy(d, m) for d in data for m in METHODS}, data),
        claims.accuracy_claim({one: _finals(inputs, one) for one in data}),
    ]


def _falling(inputs: Sources, preset: str) -> list[float | None]:
    """Our mean distance of Penalty on example 2 at T = 1, at the published places."""
    curves = inputs.cell("synthetic", "ex2", "penalty", preset)["curves"]
    return at_places(curves["iteration"], curves["T=1"]["error"]["mean"])


def at_places(iterations: list[int], mean: list[float | None]) -> list[float | None]:
    """A curve at every 5,000 upper iterations, by the nearest point recorded."""
    nearest = [
        min(range(len(iterations)), key=lambda index: abs(iterations[index] - place)) for place in GRID
    ]
    return [mean[index] for index in nearest]


def _finals(inputs: Sources, data: str) -> tuple[float, float | None, float | None]:
    """The percentage of corrupted labels, and the last train and validation accuracy of Penalty."""
    curves = inputs.cell("denoising", data, "penalty")["curves"]
    train, validation = (
        curves[name]["mean"][-1] if name in curves else None
        for name in ("train accuracy", "validation accuracy")
    )
    return accuracies.source_of(data)[1], train, validation


def table(inputs: Sources, times: Mapping[tuple[str, int, str], Estimate]) -> Table:
    """A row for each claim. `times`: (example, T, method) -> seconds, as the paper took them."""
    columns = {"paper": on_paper(inputs)}
    columns |= {f"ours, {preset}": on_ours(inputs, preset, times) for preset in distances.presets(inputs)}
    numbers, shown = [], []
    for row in sorted(zip(*columns.values(), strict=True), key=lambda row: row[0].id):
        label = {"id": row[0].id, "claim": row[0].statement}
        verdicts = {name: claim.verdict for name, claim in zip(columns, row, strict=True)}
        numbers.append(
            {**label, **verdicts, **{f"evidence, {n}": c.evidence for n, c in zip(columns, row, strict=True)}}
        )
        shown.append({**label, **verdicts, "ours in numbers": row[1].evidence})
    notes = [
        "Each claim is judged by the same rule on the paper's numbers and on ours, through 95% intervals: it"
        " holds where all its parts do, fails where one does, else it is not settled. In numbers, for preset"
        f" {distances.presets(inputs)[0]}; parts that hold, of all, and those that do not."
    ]
    if any(accuracies.cuts_of(inputs, one, "penalty") for one in inputs.params["denoising"]["data"]):
        notes.append(
            "Denoising: the budgets are cut in this profile, so that only orders can be compared; beside data"
            " that the paper does not use stands its MNIST."
        )
    drawn = inputs.drawn_from(
        *(name for name in inputs.hashes if not name.endswith("costs.json") and "published" not in name)
    )
    return Table("claims", "Claims", pd.DataFrame(numbers), pd.DataFrame(shown), notes, drawn)
