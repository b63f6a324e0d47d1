"""What the tables and figures of denoising say of the settings and budgets behind their numbers, on made-up results."""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

import made_up
import pytest

from core.optimizers import Adam
from pipelines import settings, sources, told
from pipelines.denoising import cells, costs, figures, further, rows, setting, tables, tuning
from pipelines.denoising.hypercleaning import hypercleaning

CLEAR = [0.0, 0.1, 0.2, 0.3, 0.4]


@pytest.fixture(scope="module")
def cpu(tmp_path_factory: pytest.TempPathFactory) -> sources.Sources:
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        made_up.write_params(place)
        patch.chdir(place)
        made_up.write_results(place, "cpu")
        return sources.load("cpu")


def with_summary(inputs: sources.Sources, changes: Mapping[tuple[str, str], Mapping[str, Any]]) -> sources.Sources:
    """The same results, with other entries of the summaries of some cells."""
    family = dict(inputs.cells["denoising"])
    for parts, change in changes.items():
        cell = family["-".join(parts)]
        family["-".join(parts)] = {**cell, "summary": {**cell["summary"], **change}}
    return dataclasses.replace(inputs, cells={**inputs.cells, "denoising": family})


def with_accuracies(inputs: sources.Sources, means: Mapping[tuple[str, str], float]) -> sources.Sources:
    by_seed = {
        parts: {"by seed": {str(seed): mean + off for seed, off in enumerate(CLEAR)}} for parts, mean in means.items()
    }
    return with_summary(inputs, by_seed)


def test_optimisers_are_those_of_the_solvers() -> None:
    """Which solvers take Adam's lower steps by themselves is what their own files say."""
    used = {
        block["cells"][experiment][variant]["solver"]
        for block in (settings.profile_params("denoising", profile) for profile in settings.PROFILES)
        for experiment, variant in cells.names(block)
    }
    assert {"penalty", "approxgrad", "stocbio", "single-level"} < used
    for name in used:
        module = importlib.import_module(f"core.solvers.{name.replace('-', '_')}")
        defaults = {field.name: field.default for field in dataclasses.fields(module.SOLVER)}
        preset = {"lower_optimizer": defaults.get("lower_optimizer"), **module.PRESETS["described"]}
        assert isinstance(preset["lower_optimizer"], Adam) == (name in setting.WITH_ADAM), name


def test_notes_on_equal_tuning(cpu: sources.Sources) -> None:
    """The tie, stocBiO's optimiser, and a method that the search left below its own cell as released."""
    said = tuning.tuned(cpu).notes[1]
    assert said.startswith("Searched: lower_step_size; upper_step_size (not of L2RW); one of damping of ApproxGrad, gamma_0")
    assert "Not searched: solver_step_size and joint_lower_step_size, the same as lower_step_size" in said
    assert "solver_step_size is 10 times lower_step_size" in said
    assert said.endswith("but plain gradient steps of stocBiO, on the same range of step sizes.")
    wide = tuning.tuned(cpu, "tuned-quarter").notes
    ranges = "lower_step_size of stocBiO 0.003 to 0.3, of the others 0.0001 to 0.01"
    draws = tuning.plan_of(cpu, "tuned-quarter")["draws"]
    assert f"{draws} points of one space but for its ranges ({ranges}), on 2 trials of other seeds" in wide[0]
    assert "; solver_step_size of ApproxGrad. Not searched: joint_lower_step_size, the same as" in wide[1]
    assert wide[1].endswith("plain gradient steps of stocBiO, on a range of its own.") and "script" not in wide[1]
    for after, many in ((89.0, 3), (91.0, 2)):
        means = {("tuned-quarter", "approxgrad"): after, ("quirks", "approxgrad"): 90.0}
        means |= {("tuned-quarter", "penalty"): 91.0, ("quirks", "penalty"): 90.0}
        notes = tuning.tuned(with_accuracies(cpu, means), "tuned-quarter").notes
        assert len(notes) == many
    fallen = tuning.tuned(with_accuracies(cpu, means | {("tuned-quarter", "approxgrad"): 89.0}), "tuned-quarter").notes[2]
    assert fallen.startswith("The search is too small: after it ApproxGrad (-1.00 ± 0.00 points) is below")


def test_what_a_search_found_is_told(cpu: sources.Sources) -> None:
    """By hand: of four points two did not learn, one of them diverged; of the chosen values two lie at an edge. A record of
    another plan is not told."""
    plan = dict(tuning.plan_of(cpu, "tuned-quarter"))
    chosen = {"lower_step_size": 1.5e-4, "upper_step_size": 1.0, "weight": 9.0, "solver": 1.0e-4}
    tried = [{**chosen, "selection accuracy": score} for score in (-1.0, 15.0, 15.05, 90.0)]
    methods = dict.fromkeys(rows.has(cpu, "tuned-quarter"), {"chosen": chosen, "tried": tried})
    methods["stocbio"] = {"chosen": {**chosen, "lower_step_size": 0.29}, "tried": tried[2:]}
    place = "denoising/search/cpu-tuned-quarter.json"
    known = dataclasses.replace(
        cpu, searches={"tuned-quarter": {**plan, "methods": methods}}, hashes={**cpu.hashes, place: "0123456789abcdef"}
    )
    drawn = tuning.tuned(known, "tuned-quarter")
    told = drawn.shown.set_index("method")
    assert told["did not learn"].to_dict() == {
        **dict.fromkeys(("ApproxGrad", "Penalty", "L2RW", "F2SA", "BOME"), "2 of 4"), "stocBiO": "0 of 2",
    }  # fmt: skip
    assert told["at an edge"].to_dict() == {
        "ApproxGrad": "lower_step_size (lower), damping (upper), solver_step_size (lower)",
        "Penalty": "lower_step_size (lower), gamma_0 (upper)", "L2RW": "lower_step_size (lower)",
        "stocBiO": "lower_step_size (upper), neumann_step_size (upper)",
        "F2SA": "lower_step_size (lower), lambda_0 (upper)", "BOME": "lower_step_size (lower), eta (upper)",
    }  # fmt: skip
    assert any(note.startswith("At an edge: the chosen values within 10% of an end") for note in drawn.notes)
    assert f"{place} 0123456789ab" in drawn.drawn_from
    other = dataclasses.replace(known, searches={"tuned-quarter": {**plan, "draws": 3, "methods": methods}})
    drawn = tuning.tuned(other, "tuned-quarter")
    assert "did not learn" not in drawn.shown and place not in drawn.drawn_from


def test_notes_on_the_effect_of_t(cpu: sources.Sources) -> None:
    block = cpu.params["denoising"]["cells"]
    step = block["quirks"]["penalty"]["settings"]["lower_steps"]
    assert setting.same_at_every_t(cpu).startswith(f"Step sizes were searched at T = {step} alone")
    other = copy.deepcopy(cpu.params)
    other["denoising"]["cells"]["lower-steps"]["penalty-50"]["settings"]["lower_step_size"] *= 2
    assert setting.same_at_every_t(dataclasses.replace(cpu, params=other)) == ""
    curve = cpu.cell("denoising", "lower-steps", "penalty-20")["curves"]["test accuracy"]
    first = {"mean": curve["mean"][0], "sd": curve["sd"][0], "n": 5, "half_width": 1.0}
    known = with_summary(cpu, {("lower-steps", "penalty-20"): {"selected": {"test accuracy": first}}})
    assert set(setting.untrained(known, "lower-steps")) - set(setting.untrained(cpu, "lower-steps")) == {"penalty-20"}
    note = tables.lower_steps(known).notes[2]
    assert note.startswith("Selected is the network before any upper iteration") and "Penalty at T = 20" in note
    said = setting.setting(cpu, "lower-steps")
    assert said == "mnist-25, a quarter of the network on 2,000 images, T = 1, 10, 20 and 50, 1 epoch of minibatches of 100"


def test_budgets_are_told_against_the_papers(cpu: sources.Sources) -> None:
    said = setting.cuts(cpu, "franceschi")
    for words in ("10 of 100 epochs (ApproxGrad and Penalty)", "20 of 500 iterations and 50 of 2,000 lower steps (RMD)"):
        assert words in said
    assert "1 of 200 epochs and 1 of 20 lower steps (Penalty)" in setting.cuts(cpu, "cifar10-part")
    lines = told.budgets(cpu).splitlines()
    assert [line.split(": ")[0] for line in lines[2:]] == [
        "- Softmax regression against reverse mode in a ball (franceschi)", "- Part of CIFAR-10 (cifar10-part)",
        "- Hyper-cleaning as in stocBiO (stocbio-hypercleaning)",
    ]  # fmt: skip
    assert lines[3].endswith("; minibatches of 50")
    assert said in further.study(cpu, "franceschi").notes[1]


def test_notes_on_a_longer_budget(cpu: sources.Sources) -> None:
    end = tables.DRAWN["longer"](cpu).notes[-1]
    # 59,000 images in minibatches of 200, 100 times
    assert "the paper's 29,500 at T = 20: what happens at the end of those is not seen here" in end
    assert "no cell of" not in end
    assert "the lower step size of ApproxGrad (0.001) and Penalty (0.003) was searched on this network at the" in end
    plain = "the lower step size of Oracle (0.003), Val-only (0.003) and Train+Val (0.003) was searched on this network"
    assert plain in end
    assert tables.DRAWN["longer-50"](cpu).notes[-1].endswith("no cell of Oracle and ApproxGrad.")


@pytest.mark.parametrize("profile", ["cpu", "paper"])
def test_a_last_fit_weights_or_leaves_out(profile: str) -> None:
    """What it is called is what its cell does."""
    held = settings.profile_params("denoising", profile)["cells"]["franceschi"]
    finals = {name: cell for name, cell in held.items() if name.endswith("-final")}
    assert len(finals) >= 5
    for name, cell in finals.items():
        weighted = further.changed(name, cell["data"]).endswith(further.FINAL["rmd"])
        assert weighted == ("keep_above" not in cell), name


def test_penalty_above_oracle_is_a_warning(cpu: sources.Sources) -> None:
    for penalty, warned in ((91.0, True), (89.0, False)):
        means = {("franceschi", "oracle-same-split"): 90.0, ("franceschi", "penalty-same-split"): penalty}
        said = further.study(with_accuracies(cpu, means), "franceschi").notes[-1]
        assert ("Penalty above Oracle (+1.00 ± 0.00) is a warning" in said) == warned
    assert "upper iterations of 20 steps of Adam on minibatches, after 20 epochs of pre-training" in said
    assert "an iterate after 50 lower steps" in said


def test_a_method_that_calls_all_examples_wrong_is_told(cpu: sources.Sources) -> None:
    name = "stocbio-hypercleaning"
    for recall, told_of in ((0.99, True), (0.8, False)):
        found = {"precision": {"mean": 0.1}, "recall": {"mean": recall}}
        changes: dict[tuple[str, str], dict[str, Any]] = {(name, one): {"importances": {}} for one in rows.has(cpu, name)}
        known = with_summary(cpu, {**changes, (name, "penalty-10"): {"importances": found}})
        notes = hypercleaning(known).notes
        assert any("by Penalty on stocbio-10 99% of all (precision 0.100" in one for one in notes) == told_of
    assert "T = 1 of plain gradients of TTSA; 10 of plain gradients of stocBiO, AID-FP," in notes[-1]
    assert notes[-1].endswith("20 of Adam of Penalty.")


def test_the_order_among_equal_importances_compares_nothing(cpu: sources.Sources) -> None:
    learned = {"least trusted": {"importance": [0.0, 0.0, 0.1]}, "bins": [0.0, 0.05], "clean": [[1.0], [0.1]],
               "corrupted": [[1.0], [0.5]]}  # fmt: skip
    said = figures.ties(cpu, {"penalty": learned})
    assert "2 of 3 of Penalty share the lowest" in said and "Equals are drawn at random" in said
    # a quarter wrong: 0.125 of all are wrong and in the lowest bin, 0.075 are right and in it
    assert said.endswith("is below 0.05 of 20% of Penalty's, of which 62% have a wrong label.")


@pytest.mark.parametrize(("penalty", "word"), [(89.0, "below"), (91.0, "above")])
def test_the_figure_of_cost_says_which_method_ends_above(cpu: sources.Sources, penalty: float, word: str) -> None:
    known = with_accuracies(cpu, {("tuned", "penalty"): penalty, ("tuned", "approxgrad"): 90.0})
    said = costs.orders(known)
    assert f"ends with Penalty {word} ApproxGrad ({penalty - 90:+.2f} ± 0.00 points), the paper's with Penalty above" in said
