"""Made-up results of exactly the shapes that stages write: numbers near the published ones."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from pipelines import facts, published, settings
from pipelines.clean_label import key_of
from pipelines.comparison import FULL_BUDGET
from pipelines.datasets.prepared import Prepared
from pipelines.denoising import metrics
from pipelines.denoising.cells import experiments
from pipelines.distances import ablation
from pipelines.proportions import share
from pipelines.records import pack
from pipelines.statistics import curve_over_trials, over_trials
from pipelines.summary import is_timed
from pipelines.synthetic.metrics import FALLING, on_the_way
from pipelines.theory.figures import OTHERS, PENALTY
from pipelines.theory.tables import DERIVED

PANELS = (*PENALTY, *OTHERS)

OFF_BY = 0.125  # of the other distance on example 3, so that it is told apart
ITERATIONS = [*range(0, 40001, 202), 40001]


def write_results(root: Path, profile: str, off: float = 0.0) -> None:
    """results/<profile>/ below `root`. `off` is added to every distance of Penalty on example 1."""
    for name, content in contents(profile, off).items():
        path = root / "results" / profile / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@functools.cache
def contents(profile: str, off: float) -> dict[str, str]:
    """The files of a profile, by their place."""
    files: dict[str, Any] = {}
    trained = {
        "synthetic": synthetic(profile, off),
        "denoising": denoising(profile),
        "few_shot": few_shot(profile),
        "poisoning": poisoning(profile),
        "clean_label": clean_label(profile),
    }
    for family, cells in trained.items():
        head = {"schema": 1, "family": family, "profile": profile}
        cost = {
            "seconds": 70.0,
            "cpu_seconds": 61.5,
            "peak_memory_bytes": 1,
            "device": "a processor",
            "commit": "0",
            "date": "2000-01-01",
        }
        files[f"{family}/summary.json"] = {**head, "cells": cells}
        costs = {name: {"parts": cell["parts"], **cost} for name, cell in cells.items()}
        files[f"{family}/costs.json"] = {**head, "cells": costs}
        timed = settings.profile_params(family, profile)["timing"]["cells"] if is_timed(family, profile) else []
        if timed and family == "few_shot":
            times = few_shot_times(timed)
            files[f"{family}/costs.json"]["timings"] = {**head, "machine": {"device": "a processor"}, **times}
        elif timed:
            rows = [
                {"cell": parts, "seconds_per_iteration": over_trials([0.1, 0.11, 0.12]), "seconds_before": 0.5}
                for parts in timed
            ]
            if family == "poisoning":
                speed = {"lower_steps": 20, "lower_steps_per_second": 500.0, "bounds": {"reading": 0.01, "products": 0.02}}
                files["poisoning/costs.json"]["timings"] = {**head, "rows": [{**row, **speed} for row in rows]}
                continue
            shares = {"products": 0.875, "optimisers": 0.0625, "minibatches": 0.03125, "rest": 0.03125}
            profiled = [
                {"cell": parts, "shares": shares} for parts in settings.profile_params(family, profile)["timing"]["profiled"]
            ]
            files[f"{family}/costs.json"]["timings"] = {
                **head, "machine": {"device": "a processor"}, "rows": rows, "profiled": profiled,
            }  # fmt: skip
    machine = {"device": "a processor", "threads": 1}
    files["synthetic/timings.json"] = {
        "schema": 1,
        "profile": profile,
        "machine": machine,
        "rows": timings(profile),
    }
    files |= theory(profile)
    files |= {f"{family}/data.json": {"schema": 1, "family": family, "profile": profile, "data": found}
              for family, found in data(profile).items()}  # fmt: skip
    return {name: json.dumps(value, allow_nan=False) for name, value in files.items()}


def data(profile: str) -> dict[str, dict[str, Any]]:
    """Facts of one data set for each family; few-shot data in the profile `embedded` alone."""
    denoising = {
        "settings": {"source": "mnist", "noise": 0.4, "rule": "uniform", "long_tail": None, "seeds": [0, 1]},
        "classes": 10, "sizes": {"train": 2000, "validation": 1000, "selection": 1000, "test": 10000}, "bytes": 11_000_000,
        "noise": {"nominal": 0.4, "expected": 0.36, "effective": {"0": 0.355, "1": 0.367}},
    }  # fmt: skip
    poisoning = {
        "settings": {"source": "mnist", "attack": "targeted", "points": 60, "seeds": [0]},
        "classes": 10, "sizes": {"train": 1000, "validation": 400, "selection": 100, "test": 5000}, "bytes": 5_000_000,
        "poisons": {"points": 60, "share of train": 0.06},
    }  # fmt: skip
    clean_label = {
        "settings": {"source": "mnist", "pair": [4, 9], "features": "pixels"},
        "classes": 2, "sizes": {"train": 1700, "selection": 100, "test": 600}, "bytes": 2_000_000,
    }  # fmt: skip
    drawn = np.random.default_rng(0).integers(0, 255, (260, 20, 8, 8)).astype(np.uint8)
    few_shot = {
        "settings": {"source": "glyphs", "way": 5, "shot": 1, "test_tasks": 600, "seeds": [0]},
        "classes": {"train": 700, "validation": 150, "test": 250}, "bytes": 1_000_000, "made_with": ["a pen"],
        "look_alikes": {"before": 1500, "after": 1100, "least": 0.25},
        "nearest_neighbour": {"accuracy": 51.24, "standard error": 0.52, "tasks": 300}, "sheet": facts.sheet(drawn),
    }  # fmt: skip
    found: dict[str, dict[str, Any]] = {
        "denoising": {"mnist-uniform": denoising}, "poisoning": {"mnist-targeted": poisoning},
        "few_shot": {}, "clean_label": {"mnist-4-9": clean_label},
    }  # fmt: skip
    if profile == "embedded":
        found["few_shot"] = {"glyphs-5way-1shot": few_shot}
    return found


def theory(profile: str) -> dict[str, Any]:
    """Table 1 as the paper has it, and a ledger of two methods on two problems."""
    head = {"schema": 1, "profile": profile}
    rows: dict[str, list[dict[str, Any]]] = {"space": [], "time": []}
    for method, wanted in DERIVED.items():
        for what, key in (("space", "bytes"), ("time", "seconds")):
            for varied, exponent in wanted[what].items():
                costs = [3.0 + value**exponent for value in (4, 8, 16, 32)]
                rows[what].append({"method": method, "varied": varied, "values": [4, 8, 16, 32], key: costs,
                                   "exponent": exponent})  # fmt: skip
    ledger = [
        {"problem": problem, "condition": 1.0, "kind": kind, "method": method, "steps": 9, "error": 1e-3,
         "rate": 0.5, "derived rate": 0.5, "exponent": None, "seeds": 5, "verdict": "order as derived"}
        for problem in ("a ridge", "a network") for kind, method in (("estimator", "reverse"), ("solver", "Penalty"))
    ]  # fmt: skip
    shown = [
        {"claim": "C09", "computed": "a |bias|", "number": 1e-12, "bound": "at most 1e-09", "verdict": "holds"},
        {"claim": "C06", "computed": "a distance", "number": None, "bound": "at most 0.05", "verdict": "does not hold"},
    ]
    curves = {name: {"x": [1.0, 10.0, 100.0], "one": [1.0, 0.1, 0.0], "another": [2.0, None, 0.5]} for name in PANELS}
    return {
        "theory/demonstrations.json": {**head, "rows": shown, "curves": curves},
        "theory/ledger.json": {**head, "rows": ledger},
        "theory/memory.json": {**head, "rows": rows["space"]},
        "theory/timings.json": {**head, "machine": {"device": "a processor", "threads": 1}, "rows": rows["time"]},
    }


def synthetic(profile: str, off: float = 0.0) -> dict[str, Any]:
    """Cells whose mean curves are the published ones, with trials scattered about them."""
    params, random = settings.profile_params("synthetic", profile), np.random.default_rng(0)
    cells = {}
    pairs = [(example, method, 20) for example in params["examples"] for method in params["methods"]]
    pairs += [("ablation", variant, 5) for variant in params["variants"]]
    for first, second, count in pairs:
        for preset in params["presets"]:
            summary: dict[str, Any] = {}
            ends: list[dict[str, Any]] = []
            curves: dict[str, Any] = {"iteration": ITERATIONS}
            for steps in (1, 5, 10):
                if first == "ablation":
                    block, lambda_0 = ablation(second)
                    curve = published.ablation_curve(block, steps, float(lambda_0))
                else:
                    curve = published.curve(int(first[2:]), steps, second)
                mean = np.interp(ITERATIONS, curve.x, curve.mean) + (
                    off if (first, second) == ("ex1", "penalty") else 0
                )
                noise = random.normal(size=(count, 1)) * 0.03
                trials = mean * (1 + noise - noise.mean())
                ends += [
                    {"seed": seed, "T": steps, "status": "finished", "last": {"error": float(end)}}
                    for seed, end in enumerate(trials[:, -1])
                ]
                if (first, second) == FALLING:
                    for end, line in zip(ends[-count:], trials, strict=True):
                        end["on the way"] = on_the_way({"iteration": ITERATIONS, "error": line})
                summary[f"T={steps}"] = {
                    "error": over_trials(trials[:, -1]),
                    "penalty updates": over_trials([80.0] * count),
                    "diverged": 0,
                }
                if (first, second) == ("ex3", "approxgrad"):
                    summary[f"T={steps}"]["error by first block"] = over_trials(trials[:, -1] - OFF_BY)
                curves[f"T={steps}"] = {"error": curve_over_trials(trials.tolist())}
            cells["-".join((first, second, preset))] = {
                "parts": [first, second, preset], "record": "0" * 64, "summary": summary, "curves": curves, "trials": ends,
            }  # fmt: skip
    return cells


def denoising(profile: str) -> dict[str, Any]:
    """Cells with accuracies about the published ones."""
    params, random = settings.profile_params("denoising", profile), np.random.default_rng(1)
    cells = {}
    for data in params["data"]:
        source, _, noise = data.rpartition("-")
        source = source if source in FULL_BUDGET else "mnist"
        for method in params["methods"]:
            value = published.value(f"denoise-{source}-{noise}-{method.replace('train-val', 'trainval')}")
            last = value.mean + random.normal(size=5) * (value.sd or 0.1)
            summary: dict[str, Any] = {
                name: {"test accuracy": over_trials(last + more)}
                for name, more in (("last", 0.0), ("selected", 0.05), ("best on test", 0.1))
            }
            if method in ("approxgrad", "penalty"):
                summary["importances"] = {
                    name: over_trials([0.9, 0.91, 0.92, 0.9, 0.91])
                    for name in (
                        "mean of clean",
                        "mean of corrupted",
                        "area under ROC",
                        "precision",
                        "recall",
                    )
                }
            summary["by seed"] = {str(seed): float(value) for seed, value in enumerate(last)}
            summary["diverged"] = 0
            places = list(range(0, 1001, 50))
            rise = np.linspace(0.8, 1.0, len(places))

            def curve(end: float, rise: Any = rise) -> dict[str, Any]:
                return curve_over_trials([(end * rise + shift).tolist() for shift in (-0.2, 0.0, 0.2)])

            curves = {
                "iteration": places,
                "test accuracy": curve(value.mean),
                "selection accuracy": curve(value.mean),
                "train accuracy": curve(100.0 - float(noise)),
                "validation accuracy": curve(100.0),
            }
            cells[f"{data}-{method}"] = {
                "parts": [data, method], "record": "0" * 64, "summary": summary, "curves": curves, "trials": ends_of(last),
            }  # fmt: skip
    return cells | experiment_cells(profile)


def ends_of(last: Iterable[float], more: float = 0.0) -> list[dict[str, Any]]:
    """Trials that end at these accuracies; the selected iterate is so much better."""
    return [
        {"seed": seed, "status": "finished", "last": {"test accuracy": float(end)},
         "selected": {"test accuracy": float(end) + more}}
        for seed, end in enumerate(last)
    ]  # fmt: skip


def few_shot(profile: str) -> dict[str, Any]:
    """Cells of one trial at 90 percent and more, the next method a point higher."""
    params, random = settings.profile_params("few_shot", profile), np.random.default_rng(3)
    names = [(data, method) for data in params["data"] for method in params["methods"]]
    names += [(name, variant) for name, variants in experiments(params).items() for variant in variants]
    cells = {}
    for place, parts in enumerate(names):
        end = 90.0 + place % 8
        curve = {name: curve_over_trials([[20.0, end - 5, end]]) for name in (
            "selection accuracy", "train accuracy", "test accuracy, first tasks",
        )}  # fmt: skip
        summary: dict[str, Any] = {
            name: {"test accuracy": over_trials([end + more]), "over tasks": 0.25, "tasks": 600}
            for name, more in (("last", 0.0), ("selected", 0.5))
        }
        summary |= {"by seed": {"0": end}, "diverged": 0, "oracle calls": {"gradients_f": 100, "gradients_g": 200}}
        places = {
            when: {str(one): random.integers(0, 256, (4, 2)).tolist() for one in range(5)} for when in ("before", "after")
        }
        images = random.integers(0, 256, (5, 5, 8, 8)).astype(np.uint8)
        cells["-".join(parts)] = {
            "parts": list(parts), "record": "0" * 64, "summary": summary, "curves": {"iteration": [0, 40, 80], **curve},
            "trials": ends_of([end], 0.5),
            "learned": {
                "said": [[one, (one + 1) % 5, one, one] for one in range(5)], "embedding": places,
                "support": pack(images[:, :1]), "query": pack(images[:, 1:]),
            },
        }  # fmt: skip
    return cells


def few_shot_times(timed: list[list[str]]) -> dict[str, Any]:
    """Encoding once is five times faster than in every lower step; prototypes and MAML have one way."""
    rows = [
        {"cell": parts, "way": way, "seconds_per_iteration": over_trials([seconds - 0.01, seconds, seconds + 0.01])}
        for parts in timed
        for way, seconds in (("as trained", 0.5), ("naive", 2.5))
        if way == "as trained" or parts[1] not in ("protonet", "maml")
    ]
    twice = [row["cell"] for row in rows if row["way"] == "naive"]
    compared = [{"cell": parts, "iterations": 20, "largest difference": 3e-12} for parts in twice]
    return {"rows": rows, "compared": compared}


def experiment_cells(profile: str) -> dict[str, Any]:
    """Cells of the denoising experiments: five trials about 90, apart by what their name is."""
    params, random = settings.profile_params("denoising", profile), np.random.default_rng(2)
    cells = {}
    for name, variants in experiments(params).items():
        for place, variant in enumerate(variants):
            last = 90.0 + place + random.normal(size=5) * 0.1
            summary: dict[str, Any] = {
                iterate: {"test accuracy": over_trials(last)} for iterate in ("last", "selected", "best on test")
            }
            summary["by seed"] = {str(seed): float(value) for seed, value in enumerate(last)}
            summary["diverged"], summary["oracle calls"] = 0, {"gradients_f": 100, "gradients_g": 200}
            test = curve_over_trials([[10.0, 80.0, end] for end in last])
            curves = {"iteration": [0, 27, 54], "test accuracy": test, "train accuracy": test}
            if params["cells"][name][variant].get("losses"):
                loss = curve_over_trials([[2.5, 0.5, 0.01 * end] for end in last])
                curves |= {"selection loss": loss, "validation loss": loss}
                curves |= {"mean importance": curve_over_trials([[0.5] * 3] * 5)}
            cells[f"{name}-{variant}"] = {
                "parts": [name, variant], "record": "0" * 64, "summary": summary, "curves": curves, "trials": ends_of(last),
            }  # fmt: skip
            if params["cells"][name][variant].get("history"):
                cells[f"{name}-{variant}"]["learned"] = learned()
    return cells


def poisoning(profile: str) -> dict[str, Any]:
    """Cells in which more poisons are stronger, and every method a point stronger than the one before it."""
    params = settings.profile_params("poisoning", profile)
    parts = [(data, method) for data in params["data"] for method in params["methods"]]
    parts += [(name, variant) for name, variants in experiments(params).items() for variant in variants]
    image = pack(np.arange(2 * 64, dtype=np.uint8).reshape(2, 8, 8))
    cells = {}
    for place, pair in enumerate(parts):
        cell = params["cells"][pair[0]][pair[1]]
        ends = {"clean": {"judge": _attacked(0.0)}}
        trials: list[dict[str, Any]] = []
        curves: dict[str, Any] = {"iteration": [0, 40, 80]}
        for points in cell["points"]:
            one = _attacked(0.2 * points + place)
            seeds = {str(seed): {"test accuracy": 90.0 - 0.2 * points - place + seed / 16,
                                 "attack success": 5.0 + 0.2 * points + place + seed / 16} for seed in range(5)}  # fmt: skip
            trials += [
                {"seed": int(seed), "points": points, "status": "finished", "judge": held} for seed, held in seeds.items()
            ]
            ends[f"points={points}"] = {"judge": one, "Adam": one, "by seed": seeds, "diverged": 0}
            curve = curve_over_trials([[0.5, 0.75, 1.0], [0.5, 0.75, 1.25]])
            curves[f"points={points}"] = {"upper cost": curve, "selection accuracy": curve}
        cells["-".join(pair)] = {
            "parts": list(pair), "record": "0" * 64, "summary": ends, "curves": curves, "trials": trials,
            "poisons": {"points": max(cell["points"]), "seed": 0, "labels": [3, 8], "before": image, "after": image},
        }  # fmt: skip
    return cells


def _attacked(strength: float) -> dict[str, Any]:
    ends = {"test accuracy": 90.0 - strength, "attack success": 5.0 + strength, "accuracy on others": 88.0}
    return {name: over_trials([end, end + 0.25, end + 0.5]) for name, end in ends.items()}


def clean_label(profile: str) -> dict[str, Any]:
    """Cells of ten targets, of which a tenth more is broken at every bound, and one more by every method."""
    params = settings.profile_params("clean_label", profile)
    images = {name: pack(np.arange(2 * 64, dtype=np.uint8).reshape(2, 1, 8, 8)) for name in ("targets", "bases", "poisons")}
    calls = {"oracle calls": {"gradients_f": 100, "gradients_g": 200}}
    cells = {}
    for data in params["data"]:
        for place, method in enumerate(params["methods"]):
            parts = {"parts": [data, method], "record": "0" * 64}
            if method == "clean":
                ends = {"RMSProp": 98.0, "judge": 99.0, "tests": 150, "targets": 147, **calls}
                one = {"seed": 0, "status": "finished", "RMSProp": 98.0, "judge": 99.0}
                cells[f"{data}-{method}"] = {**parts, "summary": ends, "curves": {"iteration": [0]}, "trials": [one]}
                continue
            bounds = params["cells"][data][method]["epsilons"]
            summary: dict[str, Any] = {}
            curves: dict[str, Any] = {"iteration": [0, 40, 80]}
            broken: dict[int, list[Any]] = {}
            trials: list[dict[str, Any]] = []
            for step, bound in enumerate(bounds):
                key = key_of(bound)
                done = [one < min(10, step + place) for one in range(10)]
                trials += [
                    {"target": one, "label": 0, "epsilon": bound, "status": "finished", "judge": int(done[one])}
                    for one in range(10)
                ]
                for one in np.flatnonzero(done):
                    broken.setdefault(int(one), [bound, 0.9 * (bound or 5.0)])
                summary[key] = {"judge": share(done), "RMSProp": share(done), "diverged": 0}
                measures = ("distortion", "projection", "rounding", "violation")
                summary[key] |= {name: over_trials([0.25, 0.5]) for name in measures}
                summary[key]["by target"] = {str(one): int(done[one]) for one in range(10)}
                curve = curve_over_trials([[0.5, 0.75, 1.0], [0.5, 0.75, 1.25]])
                curves[key] = dict.fromkeys(("violation", "feature distance", "margin", "upper cost"), curve)
            summary["smallest"] = {name: [*broken.values()] for name in ("judge", "RMSProp")}
            shown = {**images, "labels": [0, 1], "epsilons": [bounds[0], bounds[-1]], "broken": [1, 0]}
            cells[f"{data}-{method}"] = {**parts, "summary": {**summary, **calls}, "curves": curves, "trials": trials,
                                        "poisons": shown}  # fmt: skip
    return cells


def learned() -> dict[str, Any]:
    """What `metrics.learned` makes of importances that part clean from corrupted labels more and more."""
    clean = np.arange(40) >= 10
    history = np.stack([np.where(clean, 0.5 + step, 0.5 - step) for step in (0.0, 0.2, 0.38)])
    prepared = Prepared(
        np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8) % 17, np.zeros((1, 40), np.uint8), np.array([0]),
        *(np.zeros(1, np.uint8),) * 5,
    )  # fmt: skip
    return {
        **metrics.learned([0, 27, 54], [history, history], [clean, clean]),
        "least trusted": metrics.least_trusted(history[-1], prepared, 0, np.where(clean, 0, 1)),
    }


def timings(profile: str) -> list[dict[str, Any]]:
    """The published seconds, halved; twenty stacked for one tenth of twenty times the time."""
    params = settings.profile_params("synthetic", profile)
    rows = []
    for compiled, stacked in ((False, 1), (False, 20), (True, 1), (True, 20)):
        for example in params["timing"]["compiled" if compiled else "eager"]["examples"]:
            for steps in (1, 5, 10):
                for method, variant in (
                    *((method, "") for method in params["methods"]),
                    ("penalty", "reused test"),
                ):
                    mean = published.value(f"time-{example}-T{steps}-{method}").mean / (50 if compiled else 2)
                    mean *= (2.0 if stacked == 20 else 1.0) * (0.9 if variant else 1.0)
                    rows.append(
                        {
                            "example": example, "T": steps, "method": method, "variant": variant,
                            "preset": "released", "stacked": stacked, "compiled": compiled,
                            "seconds_per_10000": over_trials([mean * (1 + off / 2000) for off in (-2, -1, 0, 1, 2)]),
                        }
                    )  # fmt: skip
    return rows


def write_params(root: Path, small: dict[str, Any] | None = None) -> None:
    """The families' params.yaml, with every preset and noise level in the profile `cpu`, whatever it trains today, and with
    the paper's methods alone, whatever has been added.

    Args: small: changes of how digits-25 is prepared.
    """
    cells = {family: settings.load_params(family)["cpu"]["cells"] for family in ("few_shot", "poisoning")}
    full: dict[str, Any] = {
        "synthetic": {"presets": ["described", "released"]},
        "denoising": {"data": ["mnist-25", "mnist-50"]},
        "few_shot": {
            "methods": ["maml", "protonet", "itd", "approxgrad", "penalty"],
            "experiments": {name: [*cells["few_shot"][name]] for name in ("meta-learners", "one-task", "lower-steps")},
        },
        "poisoning": {
            "data": ["mnist-untargeted", "mnist-targeted"],
            "methods": ["label-flipping", "approxgrad", "penalty"],
            "experiments": {name: [*held] for name, held in cells["poisoning"].items() if not name.startswith("mnist")},
        },
        "clean_label": {"methods": ["clean", "feature-collision", "influence", "penalty", "unconstrained"]},
    }
    for family, lists in full.items():
        params = copy.deepcopy(settings.load_params(family))  # kept for whoever asks next
        params["cpu"].update(lists)
        for profile in settings.PROFILES:
            block = params[profile]
            if family in ("synthetic", "denoising"):
                block["methods"] = [method for method in block["methods"] if method in published.LABELS]
        if family == "denoising":
            params["embedded"]["prepared"]["digits-25"].update(small or {})
        path = root / "pipelines" / family / "params.yaml"
        path.parent.mkdir(parents=True)
        with path.open("w") as stream:
            YAML().dump(json.loads(json.dumps(params)), stream)
