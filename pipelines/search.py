"""Choose settings on the selection split: `python -m pipelines.search <family> <profile> [--search NAME] [<method> ...]`.

A search (`search` in the family's params.yaml) tries the same points for every method, on data of tuning seeds that no
reported trial uses, and takes the one with the best score on the selection split at the last iterate: of denoising the
accuracy (`score`), of poisoning the harm (`pipelines.poisoning.choosing`), of the clean-label attack, which has no seeds,
its success on selection rows as targets (`pipelines.clean_label.choosing`). Ties go to the earlier point.
No test label is read. The validation split is the upper cost, so nothing is chosen on it.

    table   a grid of step sizes for the paper's table, where a profile's budget is cut and the published ones no longer fit
    tuned   equal tuning: so many draws from one space, by Optuna
    untargeted, targeted   of poisoning: a grid of as many step sizes for every attacker
    attacks   of the clean-label attack: the same

Writes pipelines/<family>/search/<profile>.json, for another search than `table` <profile>-<search>.json; params.yaml is
changed by hand, and a test compares the two. With --keep a point that is recorded there already is not trained again: for
a grid that was widened, or a search that was interrupted; cells that were changed since want a search without it.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from pipelines import machine, records, settings
from pipelines.clean_label import choosing as clean_label
from pipelines.errors import UserError, run
from pipelines.poisoning import choosing
from pipelines.searches import TABLE, place, recorded
from pipelines.settings import Cell
from pipelines.train import train

DIGITS = 3
"""Significant digits of a drawn value, so that what params.yaml says is what was tried."""

SCORE = "selection accuracy"

Point = dict[str, float]


def plan_of(family: str, profile: str, name: str) -> Mapping[str, Any]:
    """A search of a profile; raises UserError, listing those there are, for an unknown one."""
    known = settings.profile_params(family, profile).get("search", {})
    if name not in known:
        raise UserError(f"profile {profile} has no search {name!r}; there are: {', '.join(known) or 'none'}")
    plan: Mapping[str, Any] = known[name]
    return plan


def cell_of(family: str, profile: str, name: str, method: str) -> Cell:
    """The cell that a search varies, on the data of the tuning seeds.

    It is one of the experiment of the search's name, or of what the search says that it is `of`.
    """
    if name == TABLE:
        return settings.cell(family, profile, "tuning", method)
    plan = plan_of(family, profile, name)
    cell = settings.cell(family, profile, plan.get("of", name), method)
    return dataclasses.replace(
        cell, settings={**cell.settings, **plan.get("with", {}), "data": plan["data"], "history": False}
    )


def methods_of(plan: Mapping[str, Any], block: Mapping[str, Any], name: str) -> list[str]:
    """The methods that a search tries, in the order of the plan, or else of the profile's block."""
    if "spaces" in plan:
        return list(plan["spaces"])
    return list(block["methods"] if name == TABLE else block["experiments"][name])


def plan_for(plan: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    """The plan with the space of a method, where each has its own (`spaces`): step sizes of Adam and of plain gradient
    steps have no common scale."""
    return {**plan, "space": plan["spaces"][method]} if "spaces" in plan else plan


def with_point(cell: Cell, point: Mapping[str, Any], plan: Mapping[str, Any]) -> Cell:
    """The cell at a point of the space.

    Coordinates are settings of the solver, or stand for one of its own (`means`: {weight: {penalty: gamma_0}}); those that
    the cell does not set are left out. `tied` names settings that follow another, {solver_step_size: lower_step_size}.
    """
    inner = dict(cell.settings["settings"])
    for name, value in point.items():
        means = plan.get("means", {}).get(name)
        own = name if means is None else means.get(cell.parts[1])
        if own in inner:
            inner[own] = value
    inner.update({name: inner[other] for name, other in plan["tied"].items() if name in inner})
    return dataclasses.replace(cell, settings={**cell.settings, "settings": inner, "evaluations": 1})


def searched(plan: Mapping[str, Any], score: Callable[[Point], float]) -> list[tuple[Point, float]]:
    """The points of a plan's space and their scores, in the order of trying; they do not depend on the scores.

    A space of lists is a grid, tried whole in the order of the file; one of {low, high} is drawn from `draws` times,
    uniformly in the logarithm, with the plan's seed. What `score` raises is raised.
    """
    space = plan["space"]
    if all(isinstance(values, list) for values in space.values()):
        grid = (dict(zip(space, map(float, values), strict=True)) for values in itertools.product(*space.values()))
        return [(point, score(point)) for point in grid]
    import optuna  # takes a second, and only a random search needs it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=plan["seed"]))
    tried: list[tuple[Point, float]] = []
    for _ in range(plan["draws"]):
        # asked and told, so that what stops a training comes out as it is, without Optuna's own report of it
        trial = study.ask()
        point = {name: _suggested(trial, name, values) for name, values in space.items()}
        tried.append((point, score(point)))
        study.tell(trial, tried[-1][1])
    return tried


def _suggested(trial: Any, name: str, values: Any) -> float:
    if isinstance(values, list):
        return float(trial.suggest_categorical(name, values))
    drawn = trial.suggest_float(name, values["low"], values["high"], log=True)
    return float(f"{drawn:.{DIGITS}g}")


def score(record: Mapping[str, Any]) -> float:
    """Mean accuracy on the selection split at the last iterate, in percent; -1 where a trial diverged."""
    if any(trial["status"] != "finished" for trial in record["trials"]):
        return -1.0
    last = [trial["curve"]["selection accuracy"][-1] for trial in record["trials"]]
    return sum(last) / len(last)


SCORES: Mapping[str, tuple[str, Callable[[Cell, Mapping[str, Any]], float]]] = {
    "denoising": (SCORE, lambda _, record: score(record)),
    "poisoning": (choosing.SCORE, choosing.score),
    "clean_label": (clean_label.SCORE, clean_label.score),
}
"""Family -> what a point is judged by, and its name in the record."""


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.search", description=__doc__)
    parser.add_argument("family", choices=SCORES)
    parser.add_argument("profile")
    parser.add_argument("methods", nargs="*", help="search these alone, and keep what is recorded of the others")
    parser.add_argument("--search", default=TABLE, help="which search of the profile")
    parser.add_argument("--keep", action="store_true", help="train no point again that the record has")
    given = parser.parse_intermixed_args(arguments)  # methods may stand behind --search
    plan = plan_of(given.family, given.profile, given.search)
    block = settings.profile_params(given.family, given.profile)
    methods = methods_of(plan, block, given.search)
    path = place(given.family, given.profile, given.search)
    name, scored = SCORES[given.family]
    for method in given.methods or methods:
        if method not in methods:
            raise UserError(f"the search {given.search} does not try {method!r}; it tries: {', '.join(methods)}")
        own = plan_for(plan, method)
        cell = cell_of(given.family, given.profile, given.search, method)
        before = recorded(path).get(method, {}).get("tried", []) if given.keep else []

        def tried(
            point: Point, cell: Cell = cell, own: Mapping[str, Any] = own, before: list[dict[str, float]] = before
        ) -> float:
            again = [float(row[name]) for row in before if {**row, name: 0.0} == {**point, name: 0.0}]
            if again:
                return again[0]
            there = with_point(cell, point, own)
            return scored(there, train(there, machine.device(), steps=10**9))

        found = searched(own, tried)
        chosen, best = max(found, key=lambda one: one[1])
        print(f"{method}: {chosen} ({name} {best:.2f}%)", flush=True)
        # read again for each method: searches of several methods may run side by side
        kept = recorded(path)
        table = [{**point, name: value} for point, value in found]
        kept[method] = {"chosen": chosen, "tried": table}
        ordered = {one: kept[one] for one in methods if one in kept}
        records.write_json(path, {**plan, "methods": ordered})


if __name__ == "__main__":
    run(main)
