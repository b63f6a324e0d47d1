"""The stages of the two families of attacks, poisoning and clean_label, whose cells are named alike.

    <profile>:
      data, methods       the paper's table: cells.<data>.<method>
      experiments         {<experiment>: [<variant>, ...]}: cells.<experiment>.<variant>, each with its `data`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines import settings, solver_modules
from pipelines.clean_label.data import CLEAN
from pipelines.denoising.cells import experiments, table
from pipelines.repro import AFTER
from pipelines.settings import PROFILES, Cell

FAMILIES = ("poisoning", "clean_label")


def stage_of(cell: Cell) -> str:
    """The name of the stage that trains a cell, as DVC has it."""
    first, second = cell.parts
    block = settings.profile_params(cell.family, cell.profile)
    kind = kind_of(cell.family, second)
    if first in experiments(block):
        return f"{kind}_{cell.profile}_{first}_{_group(cell.settings)}@{second}"
    return f"{kind}_{cell.profile}_{second}@{first}"


def kind_of(family: str, method: str) -> str:
    """The kind of stage that trains a cell: one of its own for those that wait for the list of targets."""
    return AFTER if family == "clean_label" and method != CLEAN else "train"


def awaited(family: str, profile: str, data: str, method: str) -> list[str]:
    """The file that lists the targets, where a method waits for it: evaluation makes it of the clean victim."""
    return [f"results/{profile}/{family}/{data}-{CLEAN}/metrics.json"] if kind_of(family, method) == AFTER else []


def _group(cell: Mapping[str, Any]) -> str:
    """Variants with the same solver and data are one stage."""
    return f"{cell['solver']}-{cell['data']}"


def stages(family: str) -> dict[str, Any]:
    """Preparation, training, evaluation, timing and gathering of a family."""
    from pipelines import stages as shared  # which calls this

    made: dict[str, Any] = {}
    for profile in (one for one in PROFILES if one in settings.load_params(family)):
        block = settings.profile_params(family, profile)
        made.update(shared.preparation(family, profile))
        cells = block["cells"]

        def trained(stage: str, parts: list[str], matrix: dict[str, Any], some: list[Mapping[str, Any]], data: list[str],
                    key: str, profile: str = profile) -> None:
            modules = sorted({module for one in some for module in modules_of(one)})
            made[stage] = shared.trainer(family, profile, parts, matrix, modules, data, f"{profile}.cells.{key}")

        over = {"data": f"${{{profile}.data}}"}
        opens = opened(family, profile, "${item.data}")
        for method in block["methods"]:
            some = [cells[data][method] for data in block["data"]]
            wait = awaited(family, profile, "${item.data}", method)
            trained(f"{kind_of(family, method)}_{profile}_{method}", ["${item.data}", method], over, some,
                    [*opens[:1], *wait], f"${{item.data}}.{method}")  # fmt: skip
        methods = [method for method in block["methods"] if method != CLEAN]
        every = {**over, "method": f"${{{profile}.methods}}" if methods == block["methods"] else methods}
        if table(block):
            made[f"evaluate_{profile}"] = shared.evaluator(family, profile, ["${item.data}", "${item.method}"], every, opens)
        if CLEAN in block["methods"]:
            made[f"targets_{profile}"] = shared.evaluator(family, profile, ["${item.data}", CLEAN], over, opens)
        for name, variants in experiments(block).items():
            groups: dict[str, list[str]] = {}
            for variant in variants:
                groups.setdefault(_group(cells[name][variant]), []).append(variant)
            for group, members in groups.items():
                some, data = [cells[name][one] for one in members], cells[name][members[0]]["data"]
                parts, matrix = [name, "${item.variant}"], {"variant": members}
                read = [*opened(family, profile, data)[:1], *awaited(family, profile, data, members[0])]
                trained(f"{kind_of(family, members[0])}_{profile}_{name}_{group}", parts, matrix, some, read,
                        f"{name}.${{item.variant}}")  # fmt: skip
                made[f"evaluate_{profile}_{name}_{group}"] = shared.evaluator(
                    family, profile, parts, matrix, opened(family, profile, data)
                )
        shared.together(family, profile, made, CLEAN if CLEAN in block["methods"] else "")
        timed = shared.timed_cells(block)
        modules = [module for _, one in timed for module in modules_of(one)]
        timed_data = [file for data, _ in timed for file in opened(family, profile, data)[:1]]
        desc = "seconds of an upper iteration, and lower steps a second"
        made.update(shared.timer(family, profile, desc, modules, timed_data))
        made.update(shared.gatherers(family, profile))
    return made


def modules_of(cell: Mapping[str, Any]) -> list[str]:
    """The modules that a cell loads by name: its solver, and what trains the victim before the attack."""
    return sorted({solver_modules.module_of(cell["solver"]), "core.solvers.single_level"})


def opened(family: str, profile: str, data: str) -> list[str]:
    """The prepared files that evaluation opens; the first is all that training does."""
    return [f"data/prepared/{profile}/{family}/{data}/{name}" for name in ("train.npz", "sealed.npz")]
