"""The tables of few-shot learning: the paper's Table 4 (in the published version Table 3), and what encoding once saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from pipelines import comparison, published
from pipelines.comparison import Cut, Estimate
from pipelines.layout import Table, number, plus_minus, printed
from pipelines.published import Value
from pipelines.records import significant
from pipelines.sources import Sources

FAMILY = "few_shot"
SUMMARY = ("few_shot/summary.json", "few_shot/params.yaml")
COSTS = "few_shot/costs.json"
NAMES = {
    "maml": "MAML",
    "imaml": "iMAML",
    "anil": "ANIL",
    "protonet": "Prototypical networks",
    "relationnet": "Relation networks",
    "snail": "SNAIL",
    "rmd": "RMD",
    "itd": "ITD-BiO",
    "fo-itd": "first-order ITD-BiO",
    "aid": "AID-BiO",
    "probe": "linear probe",
    "approxgrad": "ApproxGrad",
    "penalty": "Penalty",
}
"""Our name of a method -> as it is read, in the order of the table."""
PUBLISHED_ONLY = ("relationnet", "snail")
SOURCES = {"omniglot": "omni", "mini-imagenet": "mini", "mini-imagenet-images": "mini", "mini-imagenet-lite": "mini"}
"""Source of a data set -> what the published numbers' names call it."""
FULL = {"omniglot": {5: 5000, 20: 10000}, "mini-imagenet": {5: 20001}}
"""Upper iterations of the released code, by source and way."""
FIRST_TASKS = "test accuracy, first tasks"
"""The curve on meta-test, as `pipelines.few_shot.metrics` names it."""
TASKS = {"omniglot": {5: 30, 20: 15}, "mini-imagenet": {5: 2}}
"""Tasks of a meta-batch there."""


def label(method: str) -> str:
    """A method's name as it is read."""
    return NAMES.get(method, method)


def methods_of(inputs: Sources) -> list[str]:
    """The methods of a profile, in the order of the table."""
    methods = inputs.params[FAMILY]["methods"]
    return [*(one for one in NAMES if one in methods), *(one for one in methods if one not in NAMES)]


def theirs(prepared: Mapping[str, Any], method: str) -> Value | None:
    """The published number of a method in a data set's setting, None where there is none."""
    source = SOURCES.get(prepared["source"])
    return None if source is None else published.find(f"fewshot-{source}-{prepared['way']}w{prepared['shot']}s-{method}")


def ours(inputs: Sources, data: str, method: str, iterate: str) -> tuple[Estimate, float | None]:
    """(test accuracy over trials, mean half width of a trial's 95% interval over tasks)."""
    found = inputs.cell(FAMILY, data, method)["summary"][iterate]
    return comparison.ours(found["test accuracy"]), found["over tasks"]


def best_on_test(inputs: Sources, data: str, method: str) -> float | None:
    """The best point of the mean curve on the first tasks of meta-test."""
    curve = inputs.cell(FAMILY, data, method)["curves"].get(FIRST_TASKS, {"mean": []})
    return max((mean for mean in curve["mean"] if mean is not None), default=None)


def cuts_of(prepared: Mapping[str, Any], cell: Mapping[str, Any]) -> list[Cut]:
    """How a cell's budget falls short of the released code's; empty where it does not."""
    source = prepared["source"].removesuffix("-images")
    whole, cuts = source.removesuffix("-lite"), []
    if source not in FULL:
        cuts.append(Cut(f"the data are {source}, which the paper does not use"))
    if whole not in FULL:
        return cuts
    full = FULL[whole].get(prepared["way"], 0)
    if cell["iterations"] < full:
        cuts.append(Cut("upper iterations", cell["iterations"], full))
    if cell.get("query", prepared["query"]) < prepared["query"]:
        cuts.append(Cut("queries of a class in meta-training", cell["query"], prepared["query"]))
    wanted = TASKS[whole].get(prepared["way"], 0)
    tasks = cell.get("meta_batch", prepared["meta_batch"])
    if tasks < wanted:
        cuts.append(Cut("tasks of a meta-batch", tasks, wanted))
    return cuts


def judged(value: Value | None, selected: Estimate, prepared: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    """The verdict on a cell's selected iterate."""
    if value is None:
        return comparison.NOT_PUBLISHED
    return comparison.verdict(selected, comparison.theirs(value), cuts_of(prepared, cell))


def read(one: Estimate, width: float | None) -> str:
    """Mean and s.d. over trials where there are several, in brackets the interval over tasks."""
    if one.mean is None:
        return "diverged"
    said = plus_minus(one, 2) if one.sd is not None else number(one.mean, 2)
    return f"{said} [± {number(width, 2)}]"


def table_4(inputs: Sources) -> Table:
    """Accuracy on the tasks of meta-test: each method of the profile, and those that are published only."""
    params = inputs.params[FAMILY]
    numbers, shown = [], []
    for data in params["data"]:
        prepared = params["prepared"][data]
        trained = methods_of(inputs)
        others = [method for method in NAMES if method not in trained and theirs(prepared, method) is not None]
        for method in [*trained, *others]:
            value = theirs(prepared, method)
            head = {"data": data, "method": label(method)}
            row = {**head, "paper mean": value and value.mean, "paper sd": value and value.sd}
            line = {**head, "paper": printed(value)}
            if method in trained:
                cell = params["cells"][data][method]
                for iterate in ("last", "selected"):
                    one, width = ours(inputs, data, method, iterate)
                    row |= {f"{iterate} mean": one.mean, f"{iterate} sd": one.sd, f"{iterate} n": one.n}
                    row[f"{iterate} half width over tasks"] = width
                    line[f"ours, {iterate}"] = read(one, width)
                best, tasks = best_on_test(inputs, data, method), cell["curve_tasks"]
                row |= {"best on test mean": best, "best on test tasks": tasks}
                line["best on test, first tasks"] = "-" if best is None else f"{number(best, 2)} [{tasks} tasks]"
                row["verdict"] = line["verdict"] = judged(value, ours(inputs, data, method, "selected")[0], prepared, cell)
                row["iterations"], line["iterations"] = cell["iterations"], f"{cell['iterations']:,}"
                row["network"] = line["network"] = cell["network"]
                row["batch norm"] = line["batch norm"] = cell.get("statistics", "transductive")
            else:
                row["verdict"] = line["verdict"] = "published only"
            numbers.append(row)
            shown.append(line)
    tasks = params["prepared"][params["data"][0]]["test_tasks"] if params["data"] else 0
    notes = [
        f"Accuracy in percent on {tasks} tasks of meta-test classes, mean ± s.d. over trials where there are several; in"
        " brackets the half width of a trial's 95% interval over tasks. Selected: the iterate with the best accuracy on"
        " meta-validation classes; last: the end of training; best on test: the best iterate that was evaluated on the"
        " way, by the first tasks of meta-test, on which it is also judged. The paper does not say which iterate it"
        " prints; its scripts print the accuracy on test classes every 1,000 iterations. Transductive batch norm"
        " normalises the queries of a task by each other, as the released code does; support: by the support images."
        " Published only: methods that are not trained in this profile.",
        *budgets(inputs),
    ]
    frame = pd.DataFrame(shown).fillna("-")
    drawn = inputs.drawn_from(*SUMMARY, by=__name__)
    return Table("few-shot", "Few-shot learning", pd.DataFrame(numbers), frame, notes, drawn)


def budgets(inputs: Sources) -> list[str]:
    """How the budgets fall short of the paper's, a sentence for each data set."""
    cells = inputs.params[FAMILY]["cells"]
    return _short(inputs, {data: [*cells[data].values()] for data in inputs.params[FAMILY]["data"]})


def _short(inputs: Sources, groups: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    """The sentence for each group of cells whose budgets fall short; a group is a data set, or its cells name theirs."""
    prepared, lines = inputs.params[FAMILY]["prepared"], []
    for name, cells in groups.items():
        said = comparison.said([cut for cell in cells for cut in cuts_of(prepared[cell.get("data", name)], cell)])
        if said:
            lines.append(f"Not comparable with the paper's: {name}, {', '.join(said)}.")
    return lines


def speed(inputs: Sources) -> Table:
    """Seconds of an upper iteration, with the encoder once and in every lower step."""
    timed = inputs.timed[FAMILY]
    seconds: dict[tuple[str, str], dict[str, Estimate]] = {}
    for row in timed["rows"]:
        seconds.setdefault(tuple(row["cell"]), {})[row["way"]] = comparison.ours(row["seconds_per_iteration"])
    differences = {tuple(one["cell"]): one for one in timed["compared"]}
    numbers, shown = [], []
    for (data, method), ways in seconds.items():
        once, naive = ways["as trained"], ways.get("naive")
        gain = significant(naive.mean / once.mean) if naive and naive.mean and once.mean else None
        one = differences.get((data, method), {})
        head = {"data": data, "method": label(method)}
        numbers.append(
            {
                **head,
                "seconds": once.mean,
                "naive seconds": naive and naive.mean,
                "gain": gain,
                "iterations": one.get("iterations"),
                "largest difference": one.get("largest difference"),
            }
        )
        difference = one.get("largest difference")
        shown.append(
            {
                **head,
                "encoded once": plus_minus(once),
                "encoded in every lower step": plus_minus(naive) if naive else "-",
                "times faster": number(gain),
                "largest difference of u": "-" if difference is None else f"{difference:.1e}",
            }
        )
    counts = sorted({one["iterations"] for one in timed["compared"]})
    notes = [
        "Seconds of an upper iteration on one core, mean ± s.d. over repetitions, both ways measured in one run. The encoder"
        f" does not depend on the heads: encoded once, the numbers are the same but for rounding; the last column has the"
        f" largest difference of an entry of u after {', '.join(map(str, counts))} upper iterations in double precision.",
        f"Measured on {timed['machine'].get('device', 'an unknown device')}.",
    ]
    frames, drawn_from = (pd.DataFrame(numbers), pd.DataFrame(shown)), inputs.drawn_from(COSTS, by=__name__)
    return Table("few-shot-speed", "What encoding once saves", *frames, notes, drawn_from)


STEPS = "lower-steps"
"""The experiment on T."""
VARIED = {
    "meta-learners": "Further methods",
    "one-task": "The released rule of ApproxGrad, the implicit term of the first task of a meta-batch alone (-first), beside"
    " the terms of all",
    STEPS: "The effect of T, the number behind a method",
}
"""What an experiment asks."""
BESIDE = {"one-task": (STEPS, "approxgrad-20")}
"""The cell of another experiment that an experiment's are compared with."""


def further(inputs: Sources) -> Table:
    """The experiments: accuracy on meta-test, and what it cost."""
    params = inputs.params[FAMILY]
    plan = params.get("experiments", {})
    numbers, shown = [], []
    for name, variants in plan.items():
        cells = [(name, variant) for variant in variants]
        if name in BESIDE and BESIDE[name][1] in plan.get(BESIDE[name][0], []):
            cells.insert(0, BESIDE[name])
        for cell in cells:
            row, line = _row(inputs, name, cell)
            numbers.append(row)
            shown.append(line)
    notes = [
        *(f"{name}: {VARIED.get(name, name)}." for name in plan),
        "Accuracy in percent as in the table of few-shot learning. Oracle calls: gradients of f and g and products with"
        " second derivatives in all upper iterations. Seconds of an upper iteration, where it was timed.",
        *_short(inputs, {name: [params["cells"][name][variant] for variant in variants] for name, variants in plan.items()}),
    ]
    frames, drawn = (pd.DataFrame(numbers), pd.DataFrame(shown)), inputs.drawn_from(*SUMMARY, COSTS, by=__name__)
    return Table("few-shot-further", "Further methods and variants", *frames, notes, drawn)


def _row(inputs: Sources, experiment: str, cell: tuple[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A cell's numbers in an experiment's part of the table, and as they are read."""
    params, (_, variant) = inputs.params[FAMILY], cell
    settings = params["cells"][cell[0]][variant]
    calls = sum(inputs.cell(FAMILY, *cell)["summary"]["oracle calls"].values())
    value = theirs(params["prepared"][settings["data"]], variant)
    head = {"experiment": experiment, "data": settings["data"], "variant": label(variant)}
    row: dict[str, Any] = {**head, "paper mean": value and value.mean}
    line: dict[str, Any] = {**head, "paper": printed(value)}
    for iterate in ("last", "selected"):
        one, width = ours(inputs, *cell, iterate)
        row |= {f"{iterate} mean": one.mean, f"{iterate} sd": one.sd, f"{iterate} half width over tasks": width}
        line[f"ours, {iterate}"] = read(one, width)
    row["verdict"] = line["verdict"] = judged(value, one, params["prepared"][settings["data"]], settings)
    time = seconds_of(inputs).get(cell)
    row |= {"iterations": settings["iterations"], "oracle calls": calls, "seconds of an iteration": time}
    line |= {"iterations": settings["iterations"], "oracle calls": f"{calls:,}", "seconds": number(time)}
    return row, line


def seconds_of(inputs: Sources) -> dict[tuple[str, ...], float]:
    """Seconds of an upper iteration of the cells that were timed."""
    rows = inputs.timed.get(FAMILY, {}).get("rows", [])
    return {tuple(row["cell"]): row["seconds_per_iteration"]["mean"] for row in rows if row["way"] == "as trained"}


def in_training(inputs: Sources, data: str, method: str) -> float | None:
    """Processor seconds of an upper iteration of a trial while it was trained, its evaluations included."""
    whole, trials = inputs.seconds(FAMILY, data, method), ours(inputs, data, method, "last")[0].n
    if whole is None or not trials:
        return None
    return whole / trials / float(inputs.params[FAMILY]["cells"][data][method]["iterations"])


DRAWN: dict[str, Callable[[Sources], Table]] = {
    "few-shot": table_4,
    "few-shot-further": further,
    "few-shot-speed": speed,
}


def drawn(inputs: Sources) -> list[str]:
    """The tables that a profile has."""
    params = inputs.params[FAMILY]
    found = ["few-shot"] if params.get("methods") else []
    found += ["few-shot-further"] if params.get("experiments") else []
    return found + (["few-shot-speed"] if inputs.timed.get(FAMILY) else [])
