"""Parameters: every cell can be built, and what a search chose is what the cells say."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from small_project import ROOT

from core import solvers
from pipelines import families, published, search, searches, settings, summary
from pipelines.errors import UserError
from pipelines.synthetic.problem import EXAMPLES
from pipelines.synthetic.run import solver_settings

PAPERS = {
    "synthetic": ["gd", "rmd", "approxgrad", "penalty"],
    "denoising": ["oracle", "val-only", "train-val", "approxgrad", "penalty"],
}
"""The methods that the paper compares, in its order."""
EVERY = [
    (family, profile, parts)
    for family in PAPERS
    for profile in settings.PROFILES
    for parts in summary.names(family, profile)
]
"""The cells of the families whose methods these are; those of attacks and of few-shot learning have tests of their own."""


@pytest.fixture(scope="module")
def parameters() -> Callable[[str], dict[str, Any]]:
    return functools.cache(settings.load_params)


@pytest.fixture
def read_once(parameters: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading YAML takes most of the time of a test that does nothing else."""
    monkeypatch.setattr(settings, "load_params", parameters)


def added(family: str, profile: str, parts: tuple[str, ...]) -> bool:
    """Whether a cell is of a method that stands beside the paper's in the family's list, no variant of an experiment."""
    return parts[0] in places(settings.profile_params(family, profile)) and parts[1] not in published.LABELS


def places(block: Mapping[str, Any]) -> list[str]:
    """In what each of the methods is run: examples, or data sets."""
    found: list[str] = block.get("examples", block.get("data"))
    return found


@pytest.mark.usefixtures("read_once")
def test_how_many_cells_there_are() -> None:
    """The paper's methods are all there, each in all of its settings; one that was added is in all of them too."""
    count = dict.fromkeys(((family, profile) for family, profile, _ in EVERY), 0)
    more = dict(count)
    for family, profile, parts in EVERY:
        (more if added(family, profile, parts) else count)[family, profile] += 1
    for (family, profile), number in more.items():
        block = settings.profile_params(family, profile)
        assert [method for method in block["methods"] if method in published.LABELS] == PAPERS[family]
        settings_of_each = len(places(block)) * len(block.get("presets", [None]))
        assert number == settings_of_each * len(set(block["methods"]) - set(PAPERS[family]))
    # 4 examples of 4 methods and 8 ablations, by preset; 2 noise levels of 5 methods
    assert {key: value for key, value in count.items() if key[0] == "synthetic"} == {
        ("synthetic", "embedded"): 24, ("synthetic", "cpu"): 48, ("synthetic", "paper"): 48,
    }  # fmt: skip
    # 14 quirks, 6 tuned methods, 7 controls, 2 methods at 4 numbers of lower steps, 4 that reweight; a quirk, 2 by the text
    # and 6 tuned methods more, 6 and 4 with a longer budget, part of CIFAR-10, softmax regression, stocBiO's
    assert {key: value for key, value in count.items() if key[0] == "denoising"} == {
        ("denoising", "embedded"): 10 + 14 + 6 + 7 + 8 + 4,
        ("denoising", "cpu"): 10 + 20 + 2 + 6 + 7 + 8 + 6 + 6 + 4 + 5 + 17 + 14,
        # 6 data sets of 5 methods; references, text, wide network, softmax regression, stocBiO's, 4 against 9, long tails;
        # equal tuning of every data set, of softmax regression and of a smaller network;
        # then as above
        ("denoising", "paper"): 30 + 4 + 14 + 4 + 25 + 20 + 25 + 18 + 19 + 8 * 6 + 7 + 8,
    }  # fmt: skip


@pytest.mark.parametrize(("family", "profile", "parts"), EVERY, ids=lambda part: "-".join(part) if isinstance(part, tuple)
                         else part)  # fmt: skip
@pytest.mark.usefixtures("read_once")
def test_a_solver_knows_its_settings(family: str, profile: str, parts: tuple[str, ...]) -> None:
    cell = families.cell(family, profile, parts)
    chosen = cell.settings["settings"] if family == "denoising" else solver_settings(cell)
    preset = cell.settings["preset"] if family == "denoising" else parts[2]
    solver = solvers.make(cell.settings["solver"], EXAMPLES["ex1"].problem, preset=preset, **chosen)
    for name, value in chosen.items():
        assert getattr(solver, name) == value


def test_presets_are_told_apart() -> None:
    """The preset of a synthetic Penalty cell is the authors' code, or the text of the paper."""
    by_preset: dict[str, dict[str, Any]] = {}
    for preset in ("described", "released"):
        cell = families.cell("synthetic", "cpu", ("ex1", "penalty", preset))
        solver = solvers.make("penalty", EXAMPLES["ex1"].problem, preset=preset, **solver_settings(cell))
        by_preset[preset] = {name: getattr(solver, name) for name in ("test_power", "step_size_decay", "multiplier_gamma")}
    assert by_preset["described"] == {"test_power": 2, "step_size_decay": 1.0, "multiplier_gamma": "old"}
    assert by_preset["released"] == {"test_power": 4, "step_size_decay": 1 / 1.1, "multiplier_gamma": "new"}


SEARCHED = [("embedded", "digits-25"), ("embedded", "digits-50"), ("cpu", "mnist-25"), ("cpu", "mnist-50")]


@pytest.mark.parametrize(("profile", "data"), SEARCHED)
@pytest.mark.usefixtures("read_once")
def test_cells_use_what_the_search_chose(profile: str, data: str) -> None:
    found = json.loads((ROOT / f"pipelines/denoising/search/{profile}.json").read_text())
    block = settings.profile_params("denoising", profile)
    assert set(PAPERS["denoising"]) <= set(found["methods"]) <= set(block["methods"])
    for method, result in found["methods"].items():
        best = max(result["tried"], key=lambda row: row["selection accuracy"])
        assert {name: best[name] for name in result["chosen"]} == result["chosen"]
        cell = settings.cell("denoising", profile, data, method)
        point = search.with_point(cell, result["chosen"], found)
        assert point.settings["settings"] == cell.settings["settings"]


@pytest.mark.parametrize("profile", ["embedded", "cpu"])
@pytest.mark.usefixtures("read_once")
def test_every_method_searched_the_same_grid(profile: str) -> None:
    found = json.loads((ROOT / f"pipelines/denoising/search/{profile}.json").read_text())
    sizes = {method: [row["lower_step_size"] for row in result["tried"]] for method, result in found["methods"].items()}
    assert set(map(tuple, sizes.values())) == {tuple(found["space"]["lower_step_size"])}


EQUALLY = [("embedded", "tuned", "digits-25"), ("cpu", "tuned", "mnist-25"), ("cpu", "tuned-quarter", "mnist-25")]


@pytest.mark.parametrize(("profile", "name", "data"), EQUALLY)
@pytest.mark.usefixtures("read_once")
def test_tuned_cells_use_what_their_search_chose(profile: str, name: str, data: str) -> None:
    found = json.loads((ROOT / f"pipelines/denoising/search/{profile}-{name}.json").read_text())
    methods = found.pop("methods")
    block = settings.profile_params("denoising", profile)
    assert found == block["search"][name]
    spaces = {method: search.plan_for(found, method)["space"] for method in methods}
    assert list(methods) == block["experiments"][name] == ["approxgrad", "penalty", "stocbio", "l2rw", "f2sa", "bome"]
    seeds = {prepared: set(entry["seeds"]) for prepared, entry in block["prepared"].items()}
    assert seeds[found["data"]].isdisjoint(seeds[data])
    points: list[list[float]] = []
    for method, result in methods.items():
        tried = [tuple(row[one] for one in spaces[method]) for row in result["tried"]]
        assert len(tried) == len(set(tried)) == found["draws"]
        # the same for every method, as shares of its ranges
        ends = [(one["low"], one["high"]) for one in spaces[method].values()]
        points.append([
            math.log(value / low) / math.log(high / low)
            for row in tried for value, (low, high) in zip(row, ends, strict=True)
        ])  # fmt: skip
        best = max(result["tried"], key=lambda row: row["selection accuracy"])
        assert {one: best[one] for one in spaces[method]} == result["chosen"]
        cell = settings.cell("denoising", profile, name, method)
        assert cell.settings["data"] == data
        assert search.with_point(cell, result["chosen"], found).settings["settings"] == cell.settings["settings"]
        assert search.cell_of("denoising", profile, name, method).settings["data"] == found["data"]
    for shares in points:
        assert shares == pytest.approx(points[0], abs=5e-3)  # values have three digits


@pytest.mark.usefixtures("read_once")
def test_the_searches_of_the_paper_hold_what_is_published() -> None:
    """Each tries the cells of its experiment, on the same data with other seeds; the settings before a search, which are the
    published ones, are points of its space."""
    block = settings.profile_params("denoising", "paper")
    names = [name for name in block["experiments"] if searches.is_tuned(name)]
    assert names == list(block["search"]) and len(names) == 8
    for name in names:
        plan = search.plan_of("denoising", "paper", name)
        assert search.methods_of(plan, block, name) == block["experiments"][name]
        for method in block["experiments"][name]:
            cell = settings.cell("denoising", "paper", name, method)
            tuning, reported = (block["prepared"][one] for one in (plan["data"], cell.settings["data"]))
            assert {**tuning, "seeds": None} == {**reported, "seeds": None}
            assert tuning["seeds"] == [100, 101] and {100, 101}.isdisjoint(reported["seeds"])
            assert search.cell_of("denoising", "paper", name, method).settings["data"] == plan["data"]
            space = search.plan_for(plan, method)["space"]
            marks = {one: 1e6 + place for place, one in enumerate(space)}
            moved, own = search.with_point(cell, marks, plan).settings["settings"], cell.settings["settings"]
            held = {one: [key for key, value in moved.items() if value == mark] for one, mark in marks.items()}
            for one, keys in held.items():
                assert all(space[one]["low"] <= own[key] <= space[one]["high"] for key in keys), (name, method, one)
            assert bool(held["solver"]) == (method == "approxgrad")
            assert own["lower_steps"] == 20


PLAIN = ["oracle", "val-only", "train-val"]


@pytest.mark.parametrize(
    ("name", "methods"),
    [("quirks", ["penalty", "approxgrad"]), ("franceschi", ["penalty", "approxgrad"]), ("longer", PLAIN)],
)
@pytest.mark.usefixtures("read_once")
def test_methods_as_released_use_what_their_search_chose(name: str, methods: list[str]) -> None:
    found = json.loads((ROOT / f"pipelines/denoising/search/cpu-{name}.json").read_text())
    assert set(found["methods"]) == set(methods)
    block = settings.profile_params("denoising", "cpu")
    assert {key: value for key, value in found.items() if key != "methods"} == block["search"][name]
    used = (found["data"], block["cells"][name]["penalty"]["data"])
    tuned, reported = (set(block["prepared"][one]["seeds"]) for one in used)
    assert tuned.isdisjoint(reported)
    for method, result in found["methods"].items():
        best = max(result["tried"], key=lambda row: row["selection accuracy"])
        sizes = search.plan_for(found, method)["space"]["lower_step_size"]
        assert [row["lower_step_size"] for row in result["tried"]] == sizes
        assert result["chosen"] == {"lower_step_size": best["lower_step_size"]}
        cell = settings.cell("denoising", "cpu", name, method)
        assert search.with_point(cell, result["chosen"], found).settings["settings"] == cell.settings["settings"]


def test_methods_may_stand_behind_the_name_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def cell_of(family: str, profile: str, name: str, method: str) -> settings.Cell:
        asked.append((name, method))
        raise UserError("enough")

    monkeypatch.setattr(search, "cell_of", cell_of)
    for given in (["--search", "tuned", "bome"], ["bome", "--search", "tuned"]):
        with pytest.raises(UserError, match="enough"):
            search.main(["denoising", "embedded", *given])
    assert asked == [("tuned", "bome")] * 2


def test_a_recorded_point_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --keep a widened grid trains its new points alone; without it, all."""
    plan = {"space": {"lower_step_size": [1.0, 2.0]}, "tied": {}}
    trained: list[float] = []

    def train(cell: settings.Cell, *_: Any, **__: Any) -> dict[str, Any]:
        trained.append(cell.settings["settings"]["lower_step_size"])
        curve = {"selection accuracy": [0.0, 10 * trained[-1]]}
        return {"trials": [{"status": "finished", "curve": curve}]}

    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelines/denoising/search").mkdir(parents=True)
    monkeypatch.setattr(search, "train", train)
    monkeypatch.setattr(search, "plan_of", lambda *_: plan)
    monkeypatch.setattr(settings, "profile_params", lambda *_: {"methods": ["penalty"]})
    cell = settings.Cell("denoising", "cpu", ("tuning", "penalty"), {"settings": {"lower_step_size": 0.0}}, {})
    monkeypatch.setattr(search, "cell_of", lambda *_: cell)
    search.main(["denoising", "cpu"])
    plan["space"]["lower_step_size"] = [2.0, 3.0, 1.0]
    search.main(["denoising", "cpu", "--keep"])
    assert sorted(trained) == [1.0, 2.0, 3.0]
    found = json.loads(searches.place("denoising", "cpu").read_text())["methods"]["penalty"]
    assert [tuple(row.values()) for row in found["tried"]] == [(2.0, 20.0), (3.0, 30.0), (1.0, 10.0)]
    assert found["chosen"] == {"lower_step_size": 3.0}
    search.main(["denoising", "cpu"])
    assert sorted(trained[3:]) == [1.0, 2.0, 3.0]


def test_a_random_search() -> None:
    plan = {"draws": 60, "seed": 0, "space": {"a": {"low": 1e-4, "high": 1.0}, "b": {"low": 2.0, "high": 3.0}}}
    found = search.searched(plan, lambda point: -point["a"])
    assert len(found) == 60 and found == search.searched(plan, lambda point: -point["a"])
    # the points do not depend on the scores, but on the seed
    assert [point for point, _ in found] == [point for point, _ in search.searched(plan, lambda point: point["b"])]
    assert found[0][0] != search.searched({**plan, "seed": 1, "draws": 1}, lambda point: 0.0)[0][0]
    exponents = [math.log10(point["a"]) for point, _ in found]
    assert -4 <= min(exponents) < -3.5 and -0.5 < max(exponents) <= 0
    assert 15 < sum(exponent < -2 for exponent in exponents) < 45  # uniform in the logarithm
    assert all(2 <= point["b"] <= 3 and score == -point["a"] for point, score in found)
    assert all(float(f"{value:.3g}") == value for point, _ in found for value in point.values())


def test_what_stops_a_training_is_all_that_a_search_says(capfd: pytest.CaptureFixture[str]) -> None:
    """No report of Optuna's beside the one line, and no point after it."""
    tried: list[search.Point] = []

    def fails(point: search.Point) -> float:
        tried.append(point)
        raise UserError("the data are not there")

    for space in ({"a": {"low": 1.0, "high": 2.0}}, {"a": [1.0, 2.0]}):
        with pytest.raises(UserError, match="^the data are not there$"):
            search.searched({"draws": 3, "seed": 0, "space": space}, fails)
    said = capfd.readouterr()
    assert len(tried) == 2 and said.out == said.err == ""


@pytest.mark.parametrize("path", sorted(ROOT.glob("pipelines/*/search/*.json")), ids=lambda path: path.stem)
def test_a_recorded_search_draws_its_points_again(path: Path) -> None:
    found = json.loads(path.read_text())
    for method, result in found["methods"].items():
        plan = search.plan_for(found, method)
        tried = [{name: row[name] for name in plan["space"]} for row in result["tried"]]
        assert [point for point, _ in search.searched(plan, lambda _: 0.0)] == tried, method


def test_a_grid() -> None:
    plan = {"space": {"a": [3.0, 1.0], "b": [0.1, 0.2, 0.3]}}
    found = search.searched(plan, lambda point: point["a"] * point["b"])
    assert [tuple(point.values()) for point, _ in found] == [(a, b) for a in (3.0, 1.0) for b in (0.1, 0.2, 0.3)]
    assert [score for _, score in found] == [point["a"] * point["b"] for point, _ in found]


def test_a_point_sets_what_a_method_has() -> None:
    inner = {"step": 1.0, "other": 1.0, "eta": 0.5}
    cell = settings.Cell("denoising", "embedded", ("tuned", "bome"), {"settings": inner}, {})
    plan = {"means": {"weight": {"bome": "eta", "f2sa": "lambda_0"}}, "tied": {"other": "step", "missing": "step"}}
    point = {"step": 0.3, "weight": 7.0, "unknown": 2.0}
    assert search.with_point(cell, point, plan).settings == {
        "settings": {"step": 0.3, "other": 0.3, "eta": 7.0}, "evaluations": 1,
    }  # fmt: skip
    with pytest.raises(UserError, match="profile paper has no search 'table'; there are: tuned"):
        search.plan_of("denoising", "paper", "table")


@pytest.mark.parametrize(
    ("text", "words"),
    [("embedded: [1, 2", "is no valid YAML"), ("- 1\n", "must hold a mapping"), (None, "is missing")],
)
def test_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("pipelines/synthetic/params.yaml")
    path.parent.mkdir(parents=True)
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=rf"^{path}.*{words}"):
        settings.load_params("synthetic")
