"""Write dvc.yaml and pipelines/<family>/<profile>/dvc.yaml: `python -m pipelines.stages [--check]`.

A cell's deps are the modules it really runs, which only a program can keep true: they are read from the sources'
imports, and the lists of cells from the family's params.yaml. Run this after adding a solver, a cell or an import.
A file for each profile, because DVC writes the whole dvc.lock beside it anew after every stage that has run.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import io
import itertools
import json
import operator
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from core.networks import registry
from pipelines import attacks, evaluations, searches, settings, solver_modules, summary
from pipelines.closure import closure, imports_of
from pipelines.datasets import preparing
from pipelines.datasets.entries import params
from pipelines.datasets.prepared import INDEX_FILE, folder_of
from pipelines.datasets.sources import FEATURES, files_of, module_of
from pipelines.denoising import cells as denoised
from pipelines.errors import UserError, run
from pipelines.few_shot import cells as few
from pipelines.pages import NOTEBOOKS
from pipelines.settings import FAMILIES, PROFILES
from pipelines.sources import CODE, THEORY
from pipelines.theory import complexity, demonstrations, entries

WDIR = "../../.."
"""The root, from pipelines/<family>/<profile>/."""
LISTS = {
    "synthetic": ("examples", "methods", "presets", "ablations", "variants"),
    "denoising": ("data", "methods", "experiments"),
    "few_shot": ("data", "methods", "experiments"),
    "poisoning": ("data", "methods", "experiments"),
    "clean_label": ("data", "methods", "experiments"),
}
"""The lists of a family's params.yaml that say which cells a profile has."""
HEAD = "# Written by `python -m pipelines.stages` from params.yaml and the sources' imports.\n"


def in_git(*paths: str) -> list[Any]:
    """Outs that are kept in git instead of DVC's cache."""
    return [{path: {"cache": False}} for path in paths]


def solver_of(family: str, profile: str, data: str, method: str) -> str:
    """The module of the solver that a cell runs; raises UserError for a cell that is listed and not described."""
    return solver_modules.module_of(settings.cell(family, profile, data, method).settings["solver"])


def trainer(family: str, profile: str, parts: list[str], matrix: Mapping[str, Any], modules: list[str], data: list[str],
            key: str) -> dict[str, Any]:
    """A training stage; `parts` name the cell, with ${item...} for what the matrix fills in."""
    folder = f"results/{profile}/{family}/{'-'.join(parts)}"
    return {
        "desc": f"train {' '.join(parts)}",
        "matrix": matrix,
        "wdir": WDIR,
        "cmd": f"python -m pipelines.train {family} {profile} {' '.join(parts)}",
        "deps": [*closure("pipelines.train", f"pipelines.{family}.run", *modules), *data],
        "params": [{f"pipelines/{family}/params.yaml": ["common", key]}],
        "outs": in_git(f"{folder}/train.json", f"{folder}/run.json"),
    }


def evaluator(family: str, profile: str, parts: list[str], matrix: Mapping[str, Any], data: list[str]) -> dict[str, Any]:
    """An evaluation stage."""
    folder = f"results/{profile}/{family}/{'-'.join(parts)}"
    return {
        "desc": f"evaluate {' '.join(parts)}",
        "matrix": matrix,
        "wdir": WDIR,
        "cmd": f"python -m pipelines.evaluate {family} {profile} {' '.join(parts)}",
        "deps": [f"{folder}/train.json", *closure("pipelines.evaluate", f"pipelines.{family}.metrics"), *data],
        "outs": in_git(f"{folder}/metrics.json"),
    }


def together(family: str, profile: str, stages: dict[str, Any], but: str = "") -> None:
    """Put one stage in the place of those that evaluate a family's cells, where a profile evaluates them in one process.

    It has the deps and outs of all of them. Args: stages: changed. but: the method whose cells have stages of their own.
    """
    if profile not in evaluations.TOGETHER:
        return
    block = settings.profile_params(family, profile)
    paths: dict[str, None] = {}
    for name in [name for name in stages if name.startswith(f"evaluate_{profile}")]:
        stage = stages.pop(name)
        named = [*stage["deps"], *(out for held in stage["outs"] for out in held)]
        paths |= dict.fromkeys(path for item in items(stage.get("matrix", {}), block) for path in filled(named, item))
    outs = [path for path in paths if path.endswith("/metrics.json")]
    deps = {*closure("pipelines.evaluations"), *paths} - set(outs)
    left_out = f" --but {but}" if but else ""
    if outs:
        stages[f"evaluate_{profile}"] = {
            "desc": f"evaluate the cells of {family}",
            "wdir": WDIR,
            "cmd": f"python -m pipelines.evaluations {family} {profile}{left_out}",
            "deps": sorted(deps),
            "outs": in_git(*outs),
        }


def items(matrix: Mapping[str, Any], block: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a matrix runs through, {key: value} of each; `block` is the profile's, which "${<profile>.<key>}" names."""
    named = [one[2:-1].split(".")[1:] if isinstance(one, str) else None for one in matrix.values()]
    lists = [one if path is None else functools.reduce(operator.getitem, path, block)
             for one, path in zip(matrix.values(), named, strict=True)]  # fmt: skip
    return [dict(zip(matrix, values, strict=True)) for values in itertools.product(*lists)]


def filled(paths: Iterable[str], item: Mapping[str, str]) -> list[str]:
    """Paths with the values of a matrix filled in."""
    found = list(paths)
    for key, value in item.items():
        found = [path.replace(f"${{item.{key}}}", value) for path in found]
    return found


def timer(family: str, profile: str, desc: str, modules: Iterable[str], data: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The timing stage of a family whose profile lists what to time; none where nothing is timed.

    Args: modules: those that the timed cells load by name. data: the prepared files that they open.
    """
    if not summary.is_timed(family, profile):
        return {}
    return {
        f"time_{profile}": {
            "desc": desc,
            "wdir": WDIR,
            "cmd": f"python -m pipelines.{family}.timing {profile}",
            "deps": [*closure(f"pipelines.{family}.timing", *sorted(set(modules))), *sorted(set(data))],
            "params": [{f"pipelines/{family}/params.yaml": ["common", f"{profile}.timing"]}],
            "outs": in_git(f"results/{profile}/{family}/timings.json"),
        }
    }


def timed_cells(block: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(data set, settings) of the cells whose time is taken."""
    cells = [(first, block["cells"][first][second]) for first, second in block.get("timing", {}).get("cells", [])]
    return [(str(cell.get("data", first)), cell) for first, cell in cells]


def gatherers(family: str, profile: str) -> dict[str, Any]:
    """The two stages that gather a family's metrics and costs; they name every cell's file."""
    cells = ["-".join(parts) for parts in summary.names(family, profile)]
    base = f"results/{profile}/{family}"
    # a cell that is taken out is no changed file: the lists themselves are what these stages depend on
    block = settings.profile_params(family, profile)
    lists = [f"{profile}.{key}" for key in LISTS[family] if key in block]
    common = {"wdir": WDIR, "params": [{f"pipelines/{family}/params.yaml": lists}]}
    timed = [f"{base}/timings.json"] if summary.is_timed(family, profile) else []
    return {
        f"summary_{profile}": {
            "desc": f"gather the metrics of {family}",
            **common,
            "cmd": f"python -m pipelines.summary {family} {profile}",
            "deps": [*closure("pipelines.summary"), *(f"{base}/{cell}/metrics.json" for cell in cells)],
            "outs": in_git(f"{base}/summary.json"),
        },
        f"costs_{profile}": {
            "desc": f"gather seconds and memory of {family}",
            **common,
            "cmd": f"python -m pipelines.summary {family} {profile} --costs",
            "deps": [*closure("pipelines.summary"), *(f"{base}/{cell}/run.json" for cell in cells), *timed],
            "outs": in_git(f"{base}/costs.json"),
        },
    }


def synthetic() -> dict[str, Any]:
    """Training, evaluation, timing and gathering of the synthetic family."""
    stages: dict[str, Any] = {}
    family = "synthetic"
    for profile in _profiles(family):
        block = settings.profile_params(family, profile)
        over = {"example": f"${{{profile}.examples}}", "preset": f"${{{profile}.presets}}"}
        for method in block["methods"]:
            parts = ["${item.example}", method, "${item.preset}"]
            solver, *_ = [solver_of(family, profile, example, method) for example in block["examples"]]
            key = f"{profile}.cells.${{item.example}}.{method}"
            stages[f"train_{profile}_{method}"] = trainer(family, profile, parts, over, [solver], [], key)
        ablations = {"variant": f"${{{profile}.variants}}", "preset": f"${{{profile}.presets}}"}
        parts = ["ablation", "${item.variant}", "${item.preset}"]
        solver = solver_of(family, profile, "ablation", block["variants"][0])
        key = f"{profile}.cells.ablation.${{item.variant}}"
        stages[f"train_{profile}_ablation"] = trainer(family, profile, parts, ablations, [solver], [], key)
        every = {"example": over["example"], "method": f"${{{profile}.methods}}", "preset": over["preset"]}
        stages[f"evaluate_{profile}"] = evaluator(
            family, profile, ["${item.example}", "${item.method}", "${item.preset}"], every, []
        )
        stages[f"evaluate_{profile}_ablation"] = evaluator(family, profile, parts, ablations, [])
        stages[f"time_{profile}"] = {
            "desc": "seconds of 10,000 upper iterations",
            "wdir": WDIR,
            "cmd": f"python -m pipelines.timing {profile}",
            # the values of step sizes cost no time, so cells' settings are no deps here
            "deps": closure("pipelines.timing", *(solver_of(family, profile, "ex1", one) for one in block["methods"])),
            "params": [{f"pipelines/{family}/params.yaml": ["common", f"{profile}.methods", f"{profile}.timing"]}],
            "outs": in_git(f"results/{profile}/{family}/timings.json"),
        }
        together(family, profile, stages)
        stages.update(gatherers(family, profile))
    return stages


def preparation(family: str, profile: str) -> dict[str, Any]:
    """Preparation of a family's data in a profile, a stage for each source, so that a data set needs no other's files; and
    the stage that gathers its facts."""
    block = params(family)[0][profile]
    names = preparing.data_sets(block)
    of_source: dict[str, list[str]] = {}
    for name in names:
        of_source.setdefault(block["prepared"][name]["source"], []).append(name)
    folder = folder_of(profile, "${item.data}", family).as_posix()
    files = [*importlib.import_module(f"pipelines.{family}.prepare").FILES, INDEX_FILE]
    read = [INDEX_FILE, "train.npz"] if family == "few_shot" else [INDEX_FILE]
    stages: dict[str, Any] = {}
    for source, members in of_source.items():
        ending = f"_{source}" if len(of_source) > 1 else ""
        asked = [block["prepared"][one] for one in members]
        networks = {one.get("features", "") for one in asked} & set(FEATURES)
        networks |= {one["learned"]["source"] for one in asked if "learned" in one} - {source}
        used = [source, *sorted(networks)]
        stages[f"corrupt_{profile}{ending}"] = {
            "desc": f"prepare data for {family}",
            "matrix": {"data": f"${{{profile}.data}}" if members == block["data"] else members},
            "wdir": WDIR,
            "cmd": f"python -m pipelines.corrupt {family} {profile} ${{item.data}}",
            "deps": [
                *closure("pipelines.corrupt", f"pipelines.{family}.prepare", *map(module_of, used)),
                *(file for one in used for file in files_of(one)),
            ],
            "params": [{f"pipelines/{family}/params.yaml": [f"{profile}.prepared.${{item.data}}"]}],
            "outs": [f"{folder}/{name}" for name in files],
        }
    stages[f"facts_{profile}"] = {
        "desc": f"gather what there is to know of the data of {family}",
        "wdir": WDIR,
        "cmd": f"python -m pipelines.facts {family} {profile}",
        "deps": [
            *closure("pipelines.facts"),
            *(f"{folder_of(profile, data, family).as_posix()}/{name}" for data in names for name in read),
        ],
        "params": [{f"pipelines/{family}/params.yaml": [f"{profile}.data"]}],
        "outs": in_git(f"results/{profile}/{family}/data.json"),
    }
    return stages


def preparations(family: str) -> dict[str, Any]:
    """Those of all profiles, for a family of which nothing else runs yet."""
    return {name: stage for profile in PROFILES for name, stage in preparation(family, profile).items()}


def denoising() -> dict[str, Any]:
    """Preparation, training, evaluation and gathering of the denoising family; its experiments see `experiments`."""
    stages: dict[str, Any] = {}
    family = "denoising"
    for profile in _profiles(family):
        block = settings.profile_params(family, profile)
        over = {"data": f"${{{profile}.data}}"}
        folder = f"data/prepared/{profile}/${{item.data}}"
        stages.update(preparation(family, profile))
        for method in block["methods"]:
            cell = block["cells"][block["data"][0]][method]
            modules = sorted({name for data in block["data"] for name in modules_of(block["cells"][data][method])})
            names = ["train.npz", "oracle.npz"] if cell["use"] == "oracle" else ["train.npz"]
            stages[f"train_{profile}_{method}"] = trainer(
                family,
                profile,
                ["${item.data}", method],
                over,
                modules,
                [f"{folder}/{name}" for name in names],
                f"{profile}.cells.${{item.data}}.{method}",
            )
        every = {**over, "method": f"${{{profile}.methods}}"}
        opened = [f"{folder}/train.npz", f"{folder}/sealed.npz"]
        stages[f"evaluate_{profile}"] = evaluator(family, profile, ["${item.data}", "${item.method}"], every, opened)
        stages.update(experiments(profile, block))
        together(family, profile, stages)
        stages.update(gatherers(family, profile))
    return stages


def modules_of(cell: Mapping[str, Any]) -> list[str]:
    """The modules that a denoising cell loads by name: its solver, the one of its pre-training, its network, and what
    augments its images."""
    solver = solver_modules.module_of(cell["solver"])
    augmented = {denoised.AUGMENTED[cell["augment"]]} if "augment" in cell else set()
    return sorted({solver, "core.solvers.single_level", registry.module_of(cell["network"]), *augmented})


def experiments(profile: str, block: Mapping[str, Any]) -> dict[str, Any]:
    """Training, evaluation and timing of the experiments of the denoising family.

    Variants that load the same modules are one stage with a matrix; one evaluation serves an experiment. What trains with
    the importances of another cell is a stage of its own, of another kind, since it has to wait for that cell.
    """
    stages: dict[str, Any] = {}
    family = "denoising"
    for name, variants in denoised.experiments(block).items():
        cells = {variant: block["cells"][name][variant] for variant in variants}
        groups: dict[str, list[str]] = {}
        for variant in variants:
            stage, _, _ = denoised.stage_of(profile, name, variant, cells[variant]).partition("@")
            groups.setdefault(stage, []).append(variant)
        for stage, members in groups.items():
            first = cells[members[0]]
            data = [f"data/prepared/{profile}/{one}/train.npz" for one in sorted({cells[key]["data"] for key in members})]
            if any(cells[key]["use"] == "oracle" for key in members):
                data += [one.replace("train.npz", "oracle.npz") for one in data]
            source = denoised.from_of(first)
            if source is not None:
                data.append(f"results/{profile}/{family}/{'-'.join(source)}/train.json")
            modules = sorted({module for key in members for module in modules_of(cells[key])})
            key = f"{profile}.cells.{name}.${{item.variant}}"
            parts = [name, "${item.variant}"]
            stages[stage] = trainer(family, profile, parts, {"variant": members}, modules, data, key)
        opened = [
            f"data/prepared/{profile}/{data}/{file}"
            for data in sorted({cell["data"] for cell in cells.values()}) for file in ("train.npz", "sealed.npz")
        ]  # fmt: skip
        folders = [f"results/{profile}/{family}/{name}-{variant}" for variant in variants]
        code = closure("pipelines.evaluate", f"pipelines.{family}.metrics")
        stages[f"evaluate_{profile}_{name}"] = {
            "desc": f"evaluate {name}",
            "wdir": WDIR,
            "cmd": f"python -m pipelines.evaluate {family} {profile} {name}",
            "deps": [*(f"{folder}/train.json" for folder in folders), *code, *opened],
            "outs": in_git(*(f"{folder}/metrics.json" for folder in folders)),
        }
    timed = timed_cells(block)
    modules = [module for _, cell in timed for module in modules_of(cell)]
    opened = [f"data/prepared/{profile}/{data}/train.npz" for data, _ in timed]
    return stages | timer(family, profile, "seconds of an upper iteration", modules, opened)


def theory() -> dict[str, Any]:
    """Demonstrations, ledger, and the memory and time of Table 1; they have no cells, and are the same in every profile."""
    stages: dict[str, Any] = {}
    for profile in PROFILES:
        base = f"results/{profile}/theory"
        methods, shown = [entry.solver for entry in entries.SOLVERS], demonstrations.SOLVERS
        every = [f"core.hypergradients.{file.stem}" for file in sorted(Path("core/hypergradients").glob("[!_]*.py"))]
        for name, what, module, solvers, part in (
            ("demonstrations", "the paper's claims on the method, computed", "demonstrations", shown, "demonstrations"),
            ("ledger", "every estimator and solver against the exact hypergradient", "ledger", methods, "ledger"),
            ("memory", "bytes of Table 1", "complexity", list(complexity.METHODS), "complexity"),
            ("timings", "seconds of Table 1", "complexity", list(complexity.METHODS), "complexity"),
        ):
            more = {"memory": " memory", "timings": " time"}.get(name, "")
            own = [solver_modules.module_of(solver) for solver in sorted(set(solvers))]
            stages[f"{name}_{profile}"] = {
                "desc": what,
                "wdir": WDIR,
                "cmd": f"python -m pipelines.theory.{module} {profile}{more}",
                "deps": closure(f"pipelines.theory.{module}", *own, *(every if part != "complexity" else [])),
                "params": [{"pipelines/theory/params.yaml": ["common", part, *own_part(profile, part)]}],
                "outs": in_git(f"{base}/{name}.json"),
            }
    return stages


def few_shot() -> dict[str, Any]:
    """Preparation, training, evaluation, timing and gathering of the few-shot family."""
    stages: dict[str, Any] = {}
    family = "few_shot"
    for profile in _profiles(family):
        block = settings.profile_params(family, profile)
        stages.update(preparation(family, profile))
        stages.update(gatherers(family, profile))
        if not block["methods"]:
            continue
        every = {"data": f"${{{profile}.data}}", "method": f"${{{profile}.methods}}"}
        folder = folder_of(profile, "${item.data}", family).as_posix()
        opened = [f"{folder}/{name}" for name in ("train.npz", "test.npz", INDEX_FILE)]
        for method in block["methods"]:
            modules = sorted({name for data in block["data"] for name in learned_by(block["cells"][data][method])})
            stages[f"train_{profile}_{method}"] = trainer(
                family, profile, ["${item.data}", method], {"data": every["data"]}, modules, opened,
                f"{profile}.cells.${{item.data}}.{method}",
            )  # fmt: skip
        sealed = [f"{folder}/{name}" for name in ("test.npz", "sealed.npz", INDEX_FILE)]
        stages[f"evaluate_{profile}"] = evaluator(family, profile, ["${item.data}", "${item.method}"], every, sealed)
        for name, variants in denoised.experiments(block).items():
            cells = [block["cells"][name][variant] for variant in variants]
            (data,) = {cell["data"] for cell in cells}
            folder = folder_of(profile, data, family).as_posix()
            of = {"variant": f"${{{profile}.experiments.{name}}}"}
            stages[f"train_{profile}_{name}"] = trainer(
                family, profile, [name, "${item.variant}"], of, sorted({one for cell in cells for one in learned_by(cell)}),
                [f"{folder}/{file}" for file in ("train.npz", "test.npz", INDEX_FILE)],
                f"{profile}.cells.{name}.${{item.variant}}",
            )  # fmt: skip
            sealed = [f"{folder}/{file}" for file in ("test.npz", "sealed.npz", INDEX_FILE)]
            stages[f"evaluate_{profile}_{name}"] = evaluator(family, profile, [name, "${item.variant}"], of, sealed)
        together(family, profile, stages)
        timed = timed_cells(block)
        desc = "seconds of an upper iteration, and with the encoder in every lower step"
        modules = [module for _, cell in timed for module in learned_by(cell)]
        read = [f"{folder_of(profile, data, family).as_posix()}/train.npz" for data, _ in timed]
        stages.update(timer(family, profile, desc, modules, read))
    return stages


def learned_by(cell: Mapping[str, Any]) -> list[str]:
    """The modules that a few-shot cell loads by name: its form, its solver, and the solver that adapts at meta-test."""
    solver = solver_modules.module_of(cell["solver"])
    return [few.learner_of(cell.get("form", "heads"))[0], solver, "core.solvers.single_level"]


def own_part(profile: str, part: str) -> list[str]:
    """The key of a profile's own settings for a part of the theory family, where it has any."""
    params = YAML(typ="safe", pure=True).load(Path("pipelines/theory/params.yaml"))
    return [f"{profile}.{part}"] if part in params.get(profile, {}) else []


def imported(notebook: Path) -> set[str]:
    """The modules of ours that a notebook imports."""
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return set(imports_of(code))


DESCRIBED = ("cpu", "paper")
"""Profiles whose cells the scorecard speaks of, whichever profile is drawn."""


def drawing() -> dict[str, Any]:
    """What is drawn from all families, for the profile that params.yaml names."""
    profile = "${item.profile}"
    results = [f"results/{profile}/{family}/{file}" for family in FAMILIES for file in ("summary.json", "costs.json")]
    measured = [f"results/{profile}/theory/{name}.json" for name in THEORY]
    data = [f"results/{profile}/{family}/data.json" for family in preparing.FAMILIES]
    sources = [*results, f"results/{profile}/synthetic/timings.json", *measured, *data]
    # of every profile: one that a profile has not yet is no file that its stages could wait for
    tuned = sorted(searches.place("denoising", "*", "*").parent.glob(f"*-{searches.TUNED}*.json"))
    published = [f"pipelines/published/{name}.yaml" for name in ("paper_results", "figure_curves")]
    # the scorecard says what would run a claim, and how far a budget falls short of the paper's
    params = [{f"pipelines/{family}/params.yaml": ["common", profile, *DESCRIBED]} for family in FAMILIES]
    drawn = [f"reports/{profile}/tables", f"reports/{profile}/figures"]
    notebooks = [Path(f"notebooks/{name}.ipynb") for name in NOTEBOOKS]
    frame = ["pipelines/page/shell.html", "pipelines/page/style.css"]
    written = [*(path.as_posix() for path in notebooks), *frame, *drawn]
    stages = {}
    for name, more, outs in (
        ("tables", frame, drawn[:1]),
        ("figures", [], drawn[1:]),
        ("pages", written, [f"reports/{profile}/pages", f"reports/{profile}/index.html"]),
    ):
        modules = [f"pipelines.{name}", *CODE]
        if name == "pages":
            modules += sorted({module for path in notebooks for module in imported(path)})
        stages[name] = {
            "desc": f"draw the {name}",
            "matrix": {"profile": ["${profile}"]},
            "cmd": f"python -m pipelines.{name} {profile}",
            "deps": [*closure(*modules), *sources, *map(Path.as_posix, tuned), *published, *more],
            "params": params,
            "outs": in_git(*outs),
        }
    return stages


def by_profile(stages: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A family's stages by the profile that stands second in their names."""
    parts = {profile: {name: one for name, one in stages.items() if name.split("_")[1] == profile} for profile in PROFILES}
    return {profile: some for profile, some in parts.items() if some}


def text(stages: dict[str, Any], variables: list[str]) -> str:
    """A dvc.yaml."""
    writer = YAML()
    writer.width = 200
    writer.representer.ignore_aliases = lambda *_: True
    writer.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    writer.dump({**({"vars": variables} if variables else {}), "stages": stages}, stream)
    return HEAD + stream.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.stages", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail where a file is out of date")
    given = parser.parse_args(arguments)
    files = {Path("dvc.yaml"): text(drawing(), [])}  # DVC reads the root's params.yaml by itself
    builders = {"synthetic": synthetic, "denoising": denoising, "theory": theory, "few_shot": few_shot}
    builders |= {family: functools.partial(attacks.stages, family) for family in attacks.FAMILIES}
    for family in preparing.FAMILIES:
        builders.setdefault(family, functools.partial(preparations, family))
    for family, build in builders.items():
        home = Path("pipelines") / family
        variables = [] if family == "theory" else ["../params.yaml"]
        files |= {home / profile / "dvc.yaml": text(some, variables) for profile, some in by_profile(build()).items()}
    for path, wanted in files.items():
        if given.check and (not path.exists() or path.read_text() != wanted):
            raise UserError(f"{path} is out of date: run `python -m pipelines.stages` and commit it")
        if not given.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted)
    for left in set(Path("pipelines").glob("*/*/dvc.yaml")) - set(files):  # a profile that is no longer in params.yaml
        if given.check:
            raise UserError(f"{left} is of no profile: run `python -m pipelines.stages` and commit it")
        left.unlink()
        left.with_suffix(".lock").unlink(missing_ok=True)


def _profiles(family: str) -> list[str]:
    return [profile for profile in PROFILES if profile in settings.load_params(family)]


if __name__ == "__main__":
    run(main)
