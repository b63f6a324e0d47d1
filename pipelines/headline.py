"""The table of the README: a line for each result, the published one and ours, verdict, command, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipelines import accuracies, comparison, distances, published
from pipelines.clean_label import rows as clean_label
from pipelines.comparison import Estimate
from pipelines.few_shot import tables as few_shot
from pipelines.layout import Table, counted, duration, listed, number, plus_minus, printed
from pipelines.poisoning import rows as poisoning
from pipelines.published import LABELS
from pipelines.sources import MADE_BY, Sources

PRESET = distances.MAIN_PRESET
TRAIN = "python -m pipelines.train {family} {profile} {cell}"
Row = dict[str, str]


def by_steps(verdicts: Mapping[int, str]) -> str:
    """One word where all T agree on it, else each with its T."""
    words = list(dict.fromkeys(verdicts.values()))
    if len(words) == 1:
        return words[0]
    return "; ".join(
        f"{word} at T = {', '.join(str(steps) for steps, held in verdicts.items() if held == word)}"
        for word in words
    )


def figure_rows(inputs: Sources) -> list[Row]:
    """Figures 1 and 2: a line for each example and method, over all T."""
    steps = inputs.common["synthetic"]["lower_steps"]
    rows = []
    for figure, examples in distances.FIGURES.items():
        for example in examples:
            for method in inputs.params["synthetic"]["methods"]:
                values = {t: published.find(f"fig12-{example}-T{t}-{method}") for t in steps}
                parts = (example, method, PRESET)
                found = {t: distances.compared(inputs, parts, t, value) for t, value in values.items()}
                rows.append(
                    {
                        "result": f"Figure {figure[-1]}, example {example[2:]}, {LABELS[method]}: distance",
                        "paper": " / ".join(number(v.mean, v.decimals) if v else "-" for v in values.values()),
                        "ours": " / ".join(number(one["mean"]) for one in found.values()),
                        "verdict": by_steps({t: one["verdict"] for t, one in found.items()}),
                        "command": _command(inputs, "synthetic", *parts),
                        "time": duration(inputs.seconds("synthetic", *parts)),
                    }
                )
    return rows


def ablation_rows(inputs: Sources) -> list[Row]:
    """Figure 7: a line for each half, over its panels."""
    steps = inputs.common["synthetic"]["lower_steps"]
    rows = []
    for nu in ("with", "without"):
        variants = [v for v in inputs.params["synthetic"]["variants"] if v.endswith("-nu") == (nu == "with")]
        verdicts, seconds = [], []
        theirs, mine = [], []
        for variant in variants:
            block, lambda_0 = distances.ablation(variant)
            seconds.append(inputs.seconds("synthetic", "ablation", variant, PRESET))
            for t in steps:
                value = published.value(f"fig7-{block}-T{t}-lam{lambda_0}")
                found = distances.compared(inputs, ("ablation", variant, PRESET), t, value)
                verdicts.append(found["verdict"])
                theirs.append(value.mean)
                mine.append(found["mean"])
        each = _bare(inputs, "synthetic", "ablation", "$v", PRESET)
        rows.append(
            {
                "result": f"Figure 7, {nu} nu, {len(variants)} lambda_0: distance, range",
                "paper": _range(theirs),
                "ours": _range(mine),
                "verdict": f"{verdicts.count(comparison.AGREES)} of {len(verdicts)} agree",
                "command": f"`for v in {' '.join(variants)}; do {each}; done`",
                "time": duration(_sum(seconds)),
            }
        )
    return rows


def timing_rows(inputs: Sources, times: Mapping[tuple[str, int, str], Estimate]) -> list[Row]:
    """Wall clock at T = 10: a line for each example, as ratios to Penalty."""
    rows = []
    others = ("gd", "approxgrad", "rmd")
    for example in inputs.params["synthetic"]["examples"]:
        if not all((example, 10, method) in times for method in (*others, "penalty")):
            continue
        values = {method: published.value(f"time-{example}-T10-{method}") for method in (*others, "penalty")}
        base, there = times[example, 10, "penalty"], values["penalty"]
        verdicts = {}
        for method in others:
            pair = (comparison.theirs(values[method]), comparison.theirs(there))
            verdicts[LABELS[method]] = comparison.order((times[example, 10, method], base), pair)
        rows.append(
            {
                "result": f"Wall clock, example {example[2:]}, T = 10: {' / '.join(verdicts)} over Penalty",
                "paper": " / ".join(number(values[method].mean / there.mean) for method in others),
                "ours": " / ".join(number(_ratio(times[example, 10, method], base)) for method in others),
                "verdict": _grouped(verdicts),
                "command": f"`{MADE_BY['timings.json'].format(profile=inputs.profile)}`",
                "time": "-",
            }
        )
    return rows


def denoising_rows(inputs: Sources) -> list[Row]:
    """Denoising: a line for each data set and method, last iterate."""
    rows = []
    for data in inputs.params["denoising"]["data"]:
        for method in inputs.params["denoising"]["methods"]:
            values = accuracies.published_of(data, method)
            source = accuracies.source_of(data)[0]
            prefix = "" if data.startswith(source) else f"{source.upper()}: "
            order = accuracies.order(inputs, data, method)
            verdict = accuracies.verdict(inputs, data, method)
            rows.append(
                {
                    "result": f"Denoising, {data}, {LABELS[method]}: test accuracy",
                    "paper": prefix + " or ".join(printed(value) for value in values) if values else "-",
                    "ours": plus_minus(inputs.accuracy(data, method), 2),
                    "verdict": f"{verdict}; {order}"
                    if order and verdict == comparison.NOT_COMPARABLE
                    else verdict,
                    "command": _command(inputs, "denoising", data, method),
                    "time": duration(inputs.seconds("denoising", data, method)),
                }
            )
    return rows


def few_shot_rows(inputs: Sources) -> list[Row]:
    """Few-shot learning: a line for each data set and each of the paper's own methods, selected iterate."""
    family, params, rows = few_shot.FAMILY, inputs.params[few_shot.FAMILY], []
    for data in params["data"]:
        for method in (one for one in few_shot.methods_of(inputs) if one in LABELS):
            prepared = params["prepared"][data]
            value, (one, width) = few_shot.theirs(prepared, method), few_shot.ours(inputs, data, method, "selected")
            cuts, verdict = few_shot.cuts_of(prepared, params["cells"][data][method]), comparison.NOT_PUBLISHED
            if value is not None:
                verdict = comparison.verdict(one, comparison.theirs(value), cuts)
            lite = "mini-ImageNet: " if prepared["source"] == "mini-imagenet-lite" else ""
            rows.append(
                {
                    "result": f"Few-shot, {data}, {LABELS[method]}: accuracy on meta-test",
                    "paper": f"{lite}{printed(value)}" if value else "-",
                    "ours": few_shot.read(one, width),
                    "verdict": verdict,
                    "command": _command(inputs, family, data, method),
                    "time": duration(inputs.seconds(family, data, method)),
                }
            )
    return rows


def poisoned(inputs: Sources) -> list[poisoning.Place]:
    """The methods that the paper trains, on each attack, with the most poisons."""
    params = inputs.params[poisoning.FAMILY]
    known = [method for method in params["methods"] if method in LABELS]
    return [poisoning.places(inputs, data, method)[-1] for data in params["data"] for method in known]


def poisoning_rows(inputs: Sources) -> list[Row]:
    """Data poisoning, Table 5: a line for each attack and method at the most poisons, and its order against Penalty."""
    rows = []
    for place in poisoned(inputs):
        data, method = place.parts
        value, base = poisoning.published_of(inputs, place), poisoning.Place((data, "penalty"), place.points)
        verdict, stand_in = poisoning.verdict(inputs, place, value), poisoning.prepared(inputs, data)["source"] != "mnist"
        there = poisoning.published_of(inputs, base)
        if verdict == comparison.NOT_COMPARABLE and place != base and value and there:
            pair = comparison.theirs(value), comparison.theirs(there)
            order = comparison.order((poisoning.strength(inputs, place), poisoning.strength(inputs, base)), pair)
            verdict = f"{verdict}; {order}"
        share, measure = poisoning.percent(inputs, data, place.points), poisoning.measure_of(inputs, *place.parts)
        attack = poisoning.attack_of(inputs, data)
        rows.append(
            {
                "result": f"Poisoning, {attack}, {share:g}% poisons, {LABELS[method]}: {measure}",
                "paper": f"{'MNIST: ' * stand_in}{printed(value)}" if value else "-",
                "ours": plus_minus(poisoning.strength(inputs, place), 2),
                "verdict": verdict,
                "command": _command(inputs, poisoning.FAMILY, *place.parts),
                "time": duration(inputs.seconds(poisoning.FAMILY, *place.parts)),
            }
        )
    return rows


def clean_label_rows(inputs: Sources) -> list[Row]:
    """The clean-label attack: a line for each data set and attack, at its largest bound, or without one."""
    rows = []
    for data in inputs.params[clean_label.FAMILY]["data"]:
        for method in clean_label.attacks(inputs):
            finite = [one for one in clean_label.bounds(inputs, data, method) if one is not None]
            bound = max(finite, default=None)
            value = clean_label.published_of(inputs, data, method, bound)
            within = "without a bound" if bound is None else f"at the bound {bound:g} alone"
            rows.append(
                {
                    "result": f"Clean-label, {data}, {clean_label.label(method)}: targets broken {within}",
                    "paper": f"dog against fish: {printed(value)}" if value else "-",
                    "ours": clean_label.percent(clean_label.share(inputs, data, method, bound)),
                    "verdict": clean_label.verdict(inputs, data, method, bound),
                    "command": _command(inputs, clean_label.FAMILY, data, method),
                    "time": duration(inputs.seconds(clean_label.FAMILY, data, method)),
                }
            )
    return rows


def table(inputs: Sources, times: Mapping[tuple[str, int, str], Estimate]) -> Table:
    """All lines. `times`: (example, T, method) -> seconds, as the paper took them."""
    figures = figure_rows(inputs)
    shown = pd.DataFrame(
        [
            *figures, *ablation_rows(inputs), *timing_rows(inputs, times), *denoising_rows(inputs), *few_shot_rows(inputs),
            *poisoning_rows(inputs), *clean_label_rows(inputs),
        ]
    )  # fmt: skip
    steps = " / ".join(str(t) for t in inputs.common["synthetic"]["lower_steps"])
    panels = [
        distances.compared(inputs, (e, m, PRESET), t, published.find(f"fig12-{e}-T{t}-{m}"))["verdict"]
        for e in inputs.params["synthetic"]["examples"]
        for m in inputs.params["synthetic"]["methods"]
        for t in inputs.common["synthetic"]["lower_steps"]
    ]
    notes = [
        f"Distances: to the nearest solution after 40,000 upper iterations at T = {steps}, preset {PRESET}."
        f" {counted(panels, 'Panels of Figures 1 and 2')} Accuracies: percent, last iterate, mean ± s.d."
        f" Time: of training all trials of the line, on {inputs.devices()}."
    ]
    methods = inputs.params["denoising"]["methods"]
    for data in inputs.params["denoising"]["data"]:
        cuts = [cut for method in methods for cut in accuracies.cuts_of(inputs, data, method)]
        if cuts:
            notes.append(f"Not comparable: {data}, {listed(comparison.said(cuts))}.")
    if inputs.params[few_shot.FAMILY].get("methods"):
        notes.append(
            "Few-shot: percent, the iterate that meta-validation selects, mean ± s.d. over trials where there are several;"
            " in brackets the half width of a trial's 95% interval over tasks."
        )
        notes += few_shot.budgets(inputs)
    cuts = [cut for place in poisoned(inputs) for cut in poisoning.cuts(inputs, place)]
    if cuts:
        notes.append(
            "Poisoning: percent, mean ± s.d. over seeds, the accuracy that an untargeted attack leaves and the share of"
            " targets that a targeted one hits. Not comparable with the paper's numbers, and with one another where they are"
            f" cut alike: {listed(comparison.said(cuts))}."
        )
    for data in inputs.params[clean_label.FAMILY]["data"]:
        cuts = [cut for method in clean_label.attacks(inputs) for cut in clean_label.cuts(inputs, data, method)]
        if cuts:
            notes.append(f"Clean-label: {data}, {listed(comparison.said(cuts))}.")
    names = (name for name in inputs.hashes if "published" not in name and "/search/" not in name)
    drawn = inputs.drawn_from(*names, by="pipelines.tables")
    return Table("results", "Results", shown, shown, notes, drawn)


def _command(inputs: Sources, family: str, *parts: str) -> str:
    return f"`{_bare(inputs, family, *parts)}`"


def _bare(inputs: Sources, family: str, *parts: str) -> str:
    return TRAIN.format(family=family, profile=inputs.profile, cell=" ".join(parts))


def _ratio(one: Estimate, base: Estimate) -> float | None:
    return one.mean / base.mean if one.mean is not None and base.mean else None


def _range(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    return f"{number(min(known))} to {number(max(known))}" if known else "-"


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _grouped(verdicts: Mapping[str, str]) -> str:
    words = list(dict.fromkeys(verdicts.values()))
    if len(words) == 1:
        return words[0]
    return "; ".join(
        f"{word}: {', '.join(n for n, held in verdicts.items() if held == word)}" for word in words
    )
