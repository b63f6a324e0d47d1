"""Tables, figures and sentences of few-shot learning, from made-up results."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import made_up
import numpy as np
import pytest

from pipelines import drawing, published, sources
from pipelines.few_shot import figures, metrics, tables, told
from pipelines.sources import Sources


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    made_up.write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    made_up.write_results(tmp_path, "cpu")
    return sources.load("cpu")


def test_table_4_has_the_published_cells_beside_ours(inputs: Sources) -> None:
    table = tables.table_4(inputs)
    rows = table.numbers.set_index(["data", "method"])
    omniglot = rows.loc["omniglot-5way-1shot"]
    assert omniglot.loc["Penalty", "paper mean"] == 97.83
    assert omniglot.loc["Penalty", "selected half width over tasks"] == 0.25
    assert np.isnan(omniglot.loc["SNAIL", "last mean"]) and omniglot.loc["SNAIL", "paper mean"] == 99.1
    assert omniglot.loc["SNAIL", "verdict"] == "published only"
    assert omniglot.loc["ITD-BiO", "verdict"] == "not in the paper"
    # a made-up curve ends highest, and is of fewer tasks
    penalty = omniglot.loc["Penalty"]
    assert penalty["best on test mean"] == penalty["last mean"] and penalty["best on test tasks"] == 30
    # a cut budget never agrees with an absolute number
    assert omniglot.loc["Penalty", "verdict"] == "not comparable"
    assert rows.loc[("omniglot-20way-1shot", "Penalty"), "paper mean"] == 94.06
    assert rows.loc[("mini-imagenet-lite-5way-5shot", "Penalty"), "paper mean"] == published.value(
        "fewshot-mini-5w5s-penalty"
    ).mean
    assert any("mini-imagenet-lite, which the paper does not use" in note for note in table.notes)
    assert "few_shot/summary.json" in table.drawn_from


def test_a_full_budget_is_comparable() -> None:
    prepared = {"source": "omniglot", "way": 5, "shot": 1, "query": 15, "meta_batch": 30}
    assert tables.cuts_of(prepared, {"iterations": 5000}) == []
    cut = tables.cuts_of(prepared, {"iterations": 400, "query": 5, "meta_batch": 8})
    assert [(one.have, one.full) for one in cut] == [(400, 5000), (5, 15), (8, 30)]
    lite = {"source": "mini-imagenet-lite", "way": 5, "shot": 5, "query": 5, "meta_batch": 2}
    data, iterations = tables.cuts_of(lite, {"iterations": 150})
    assert "which the paper does not use" in data.what and iterations.full == 20001
    assert len(tables.cuts_of({**lite, "source": "glyphs"}, {"iterations": 150})) == 1


def test_experiments_have_a_row_each(inputs: Sources) -> None:
    rows = tables.further(inputs).numbers.set_index(["experiment", "variant"])
    plan = inputs.params["few_shot"]["experiments"]
    assert len(rows) == sum(map(len, plan.values())) + 1
    assert rows.loc[("one-task", "approxgrad-20")].equals(rows.loc[("lower-steps", "approxgrad-20")])
    assert rows.loc[("meta-learners", "iMAML"), "paper mean"] == published.value("fewshot-omni-5w5s-imaml").mean
    assert rows.loc[("lower-steps", "penalty-10"), "seconds of an iteration"] == 0.5
    # a cut budget beside a published number is no verdict, and is named
    assert rows.loc[("meta-learners", "RMD"), "verdict"] == "not comparable"
    assert rows.loc[("lower-steps", "penalty-10"), "verdict"] == "not in the paper"
    cells = inputs.params["few_shot"]["cells"]["meta-learners"].values()
    least = min(cell["iterations"] for cell in cells)
    note, = (one for one in tables.further(inputs).notes if one.startswith("Not comparable with the paper's: meta-learners"))
    assert f" {least} " in note and "of 5,000 upper iterations" in note


def test_an_experiment_is_compared_with_a_cell_that_differs_in_that_alone(inputs: Sources) -> None:
    cells = inputs.params["few_shot"]["cells"]
    first, beside = cells["one-task"]["approxgrad-first"], tables.BESIDE["one-task"]
    assert first == {**cells[beside[0]][beside[1]], "implicit_tasks": "first"}


def test_figure_5b_has_ours_and_the_published(inputs: Sources) -> None:
    with drawing.style():
        figure = figures.figure_5b(inputs)
    assert "60 of 5,000 upper iterations" in figure.get_supxlabel().replace("\n", " ")
    paper = {tuple(line.get_ydata()) for line in figure.axes[1].get_lines()}
    assert paper == {
        tuple(published.value(f"fig5b-acc-T{t}-{method}").mean for t in (1, 10, 20)) for method in ("penalty", "approxgrad")
    }


def test_what_encoding_once_saves(inputs: Sources) -> None:
    found = tables.speed(inputs).numbers
    rows = found[found["data"] == "omniglot-5way-1shot"].set_index("method")
    assert rows.loc["Penalty", "gain"] == 5.0 and rows.loc["Penalty", "largest difference"] == 3e-12
    assert np.isnan(rows.loc["MAML", "gain"])


def test_curves_are_ours_and_the_nearest_neighbour_is_there(inputs: Sources) -> None:
    with drawing.style():
        figure = figures.curves(inputs)
        calls = figures.against_calls(inputs)
    data = inputs.params["few_shot"]["data"]
    assert len(figure.axes) == 2 * len(data)
    ours = figure.axes[0].get_lines()[0]
    first = figures.methods_of(inputs)[0]
    wanted = inputs.cell("few_shot", data[0], first)["curves"]["selection accuracy"]["mean"]
    np.testing.assert_allclose(np.asarray(ours.get_ydata(), dtype=float), wanted)
    assert list(calls.axes[0].get_lines()[0].get_xdata()) == [0, 150, 300]


def test_figure_4b_has_both_clocks(inputs: Sources) -> None:
    """Seconds that were measured alone where all methods have them, else those of training; a panel for each data set."""
    with drawing.style():
        figure = figures.figure_4b(inputs)
    data = inputs.params["few_shot"]["data"]
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown[:-1]] == [f"ours, {one}" for one in data]
    timed, *others, paper = shown
    first = figures.methods_of(inputs)[0]
    assert timed.get_xlabel() == "seconds on one core" and list(timed.get_lines()[0].get_xdata()) == [0, 20, 40]
    for name, axes in zip(data[1:], others, strict=True):
        settings = inputs.params["few_shot"]["cells"][name][first]
        # 61.5 processor seconds of one trial
        each = 61.5 / settings["iterations"]
        assert axes.get_xlabel() == "seconds of one core in training"
        assert list(axes.get_lines()[0].get_xdata()) == pytest.approx([0, 40 * each, 80 * each])
    theirs = {tuple(line.get_ydata()) for line in paper.get_lines()}
    assert tuple(published.few_shot_curve("meta-test", "penalty").mean) in theirs and len(theirs) == 4


def test_wrong_answers_are_framed_in_red(inputs: Sources) -> None:
    (name, data), *_ = figures.tasks_shown(inputs).items()
    assert name == f"task-{data}"
    with drawing.style():
        figure = figures.sample(inputs, data)
    colours = [axes.spines["left"].get_edgecolor()[:3] for axes in figure.axes]
    red = tuple(int("ca3a2f"[at : at + 2], 16) / 255 for at in (0, 2, 4))
    assert sum(np.allclose(colour, red) for colour in colours) == 5


def test_what_ends_below_its_best_is_said(inputs: Sources) -> None:
    """Further than both half widths over tasks together, of 0.25 each."""
    for selected, found in ((90.4, 0), (97.0, 1)):
        cells = copy.deepcopy(dict(inputs.cells["few_shot"]))
        ends = cells["omniglot-5way-1shot-itd"]["summary"]
        ends["last"]["test accuracy"]["mean"], ends["selected"]["test accuracy"]["mean"] = 90.0, selected
        said = told.results(dataclasses.replace(inputs, cells={**inputs.cells, "few_shot": cells}))
        assert said.count("Training went on past its best: ITD-BiO ends at 90.0.") == found


def curve(inputs: Sources, data: str, ends: dict[str, tuple[float, float]], near: float | None = None) -> Sources:
    """The same, where curves on the first tasks of meta-test start and end so, and comparing pixels reaches `near`."""
    cells = copy.deepcopy(inputs.cells["few_shot"])
    for method, (start, end) in ends.items():
        cells[f"{data}-{method}"]["curves"][tables.FIRST_TASKS]["mean"] = [start, 50.0, end]
    facts = {data: {"nearest_neighbour": {"accuracy": near, "standard error": 0.25, "tasks": 300}}} if near else {}
    found = {"cells": {**inputs.cells, "few_shot": cells}, "data": {**inputs.data, "few_shot": facts}}
    return dataclasses.replace(inputs, **found)


def test_whether_training_teaches_is_said(inputs: Sources) -> None:
    """An end within sqrt(2 * 600 / 10) * 0.25 = 2.74 of its start, on 10 of 600 tasks, is not told from it."""
    data = "mini-imagenet-lite-5way-5shot"
    assert {cell["curve_tasks"] for cell in inputs.params["few_shot"]["cells"][data].values()} == {10}
    methods = inputs.params["few_shot"]["methods"]

    def said(**ends: tuple[float, float]) -> str:
        text = told.results(curve(inputs, data, dict.fromkeys(methods, (40.0, 42.7)) | ends))
        paragraph, = (one for one in text.split("\n\n") if one.startswith(f"*{data}*"))
        return paragraph

    assert "on the first 10 tasks of meta-test: MAML 40.0 to 42.7, " in said()
    assert "; no end is told from its start by so few tasks." in said()
    some = said(penalty=(40.0, 42.8), itd=(40.0, 37.2))
    assert "; ITD-BiO below the start; not told from the start by so few tasks: MAML, Prototypical networks and Ap" in some
    assert "; all above the start." in said(**dict.fromkeys(methods, (40.0, 42.8)))


def test_methods_below_the_nearest_image_are_named(inputs: Sources) -> None:
    """Made-up ends are a point apart with half widths of 0.25; that of comparing pixels is t(0.975, 299) * 0.25 = 0.49."""
    data = "omniglot-5way-1shot"
    ends = {method: tables.ours(inputs, data, method, "selected")[0].mean for method in ("maml", "protonet", "itd")}
    assert ends == {"maml": 90.5, "protonet": 91.5, "itd": 92.5}
    said = told.results(curve(inputs, data, {}, near=92.0))
    assert "The nearest image, pixel by pixel, gives 92.0 ± 0.5 on 300 tasks of meta-validation; below it: MAML and" in said
    # 0.55 = hypot(0.25, 0.49)
    assert "below it: MAML and Prototypical networks (not told apart)." in said
    assert "below it" not in told.results(curve(inputs, data, {}, near=90.0))


def test_the_order_of_seconds_stands_beside_the_papers(inputs: Sources) -> None:
    def said(penalty: float, approxgrad: float) -> str:
        timed = copy.deepcopy(inputs.timed)
        for row in timed["few_shot"]["rows"]:
            for name, mean in (("penalty-20", penalty), ("approxgrad-20", approxgrad)):
                if row["cell"] == ["lower-steps", name] and row["way"] == "as trained":
                    row["seconds_per_iteration"]["mean"] = mean
        return told.lower_steps(dataclasses.replace(inputs, timed=timed))

    assert said(1.5, 0.5).startswith(
        "An upper iteration at T = 20 takes Penalty 1.50 s and ApproxGrad 0.50 s here, Penalty 2.42 s and ApproxGrad 4.13 s"
        " in the paper: other order. Ours are of omniglot-5way-1shot (60 of 5,000 upper iterations, "
    )
    assert "same order" in said(0.5, 1.5)
    # repetitions are 0.01 s apart
    assert "not settled" in said(0.5, 0.501)
    assert said(0.5, 1.5).endswith("1 trial of a method; the paper's are of Omniglot 20-way 5-shot.")
    assert told.lower_steps(dataclasses.replace(inputs, timed={})) == ""


def test_sentences(inputs: Sources) -> None:
    said = told.results(inputs)
    assert "One trial of a method says nothing" in said and "± 0.2" in said
    for data in inputs.params["few_shot"]["data"]:
        assert f"*{data}*" in said


def changed(inputs: Sources, cell: str, last: float, width: float) -> Sources:
    """The same, where the last iterate of a cell ends so."""
    cells = copy.deepcopy(inputs.cells["few_shot"])
    cells[cell]["summary"]["last"]["test accuracy"]["mean"] = last
    cells[cell]["summary"]["last"]["over tasks"] = width
    return dataclasses.replace(inputs, cells={**inputs.cells, "few_shot": cells})


def test_the_effect_of_the_released_rule_is_said(inputs: Sources) -> None:
    both = changed(inputs, "lower-steps-approxgrad-20", 80.0, 0.4)
    # 0.5 = hypot(0.3, 0.4)
    near, far = (told.one_task(changed(both, "one-task-approxgrad-first", last, 0.3)) for last in (79.55, 77.5))
    assert "77.5 ± 0.3 with the first task's alone and 80.0 ± 0.4 with those of all tasks percent, 2.5 points apart." in far
    assert near.endswith("not told apart by these tasks.") and "after 60 upper iterations" in near


def test_a_gain_below_the_wanted_is_named(inputs: Sources) -> None:
    """Of the data sets that were timed; the experiment on T, whose cells gain less at T = 1, is not asked."""
    assert "Penalty 5.0" in told.gains(inputs) and "At least 4 are wanted: met by all." in told.gains(inputs)
    assert "in double precision for the comparison, are at most 3.0e-12 apart" in told.gains(inputs)
    timed = copy.deepcopy(inputs.timed)
    for row in timed["few_shot"]["rows"]:
        if row["cell"] == ["omniglot-5way-1shot", "itd"] and row["way"] == "naive":
            row["seconds_per_iteration"]["mean"] = 1.5
    said = told.gains(dataclasses.replace(inputs, timed=timed))
    assert "ITD-BiO 3.0" in said and "At least 4 are wanted: met by Penalty and ApproxGrad, not by ITD-BiO." in said


def test_what_is_drawn_has_the_name_that_evaluation_gives_it() -> None:
    assert tables.FIRST_TASKS == metrics.CURVE
