"""What budget is missing: a power law found in made-up curves, its interval against simulated ones, and what is said."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import made_up
import numpy as np
import pytest

from pipelines import drawing, sources
from pipelines.few_shot import law, missing
from pipelines.few_shot.law import Reach, fitted
from pipelines.layout import duration
from pipelines.sources import Sources

PLACES = np.arange(100, 900, 100)
ONE_SHOT, FIVE_SHOT = "omniglot-5way-1shot", "omniglot-5way-5shot"


def test_a_known_law_is_found() -> None:
    found = fitted(PLACES, 80 * PLACES**-0.5)
    assert found is not None and (found.log_a, found.b) == pytest.approx((math.log(80), 0.5))
    assert found.half_width < 1e-6 and found.scatter < 1e-12
    # 80 n^-1/2 = 1 at n = 6400, and the band of points without scatter is the law
    assert found.reaches(1.0) == pytest.approx((6400, 6400, 6400), rel=1e-5)
    np.testing.assert_allclose(found.error([400, 6400]), [4, 1])


def test_the_fit_is_that_of_least_squares_by_hand() -> None:
    """Slope, residual spread and covariance by the normal equations."""
    random = np.random.default_rng(0)
    errors = 30 * PLACES**-0.4 * np.exp(0.05 * random.normal(size=len(PLACES)))
    found = fitted(PLACES, errors)
    assert found is not None
    design = np.stack([np.ones(len(PLACES)), np.log(PLACES)], 1)
    inverse = np.linalg.inv(design.T @ design)
    wanted = inverse @ design.T @ np.log(errors)
    apart = np.log(errors) - design @ wanted
    variance = apart @ apart / (len(PLACES) - 2)
    np.testing.assert_allclose([found.log_a, -found.b], wanted, rtol=1e-9)
    np.testing.assert_allclose(found.covariance, variance * inverse, rtol=1e-6)
    assert found.scatter == pytest.approx(math.sqrt(variance))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """95% of 600 simulated curves of a known law, to three standard errors of such a count."""
    random, held = np.random.default_rng(1), 0
    for _ in range(600):
        found = fitted(PLACES, 80 * PLACES**-0.5 * np.exp(0.1 * random.normal(size=len(PLACES))))
        assert found is not None
        reach = found.reaches(1.0)
        held += (reach.low or 0.0) <= 6400 <= (reach.high or math.inf)
    assert abs(held / 600 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 600)


def test_the_ends_are_where_the_band_meets_the_error() -> None:
    found = fitted(PLACES, 80 * PLACES**-0.5 * np.exp(0.1 * np.random.default_rng(2).normal(size=len(PLACES))))
    assert found is not None
    for one in (found, found.loosened(0.2), found.through(800, 3.0, 0.1)):
        at, low, high = one.reaches(1.0)
        assert at is not None and low is not None and high is not None and low < at < high
        assert one.error(at) == pytest.approx(1.0)
        assert one.band(low)[0] == pytest.approx(1.0) and one.band(high)[1] == pytest.approx(1.0)


def test_a_law_that_does_not_fall_reaches_nothing() -> None:
    found = fitted(PLACES, 5.0 * PLACES**0.01)
    assert found is not None and found.reaches(1.0) == Reach(None, None, None)
    assert missing.said(found.reaches(1.0)) == "not from this curve"


def test_a_slope_that_is_not_told_from_none_has_no_end() -> None:
    """Two of three ends: one below, and none at all."""
    found = fitted([100, 200, 400, 800], [5.0, 4.0, 5.2, 4.2])
    assert found is not None and found.b > 0 and found.b < found.half_width
    at, low, high = found.reaches(1.0)
    assert high is None and low is not None and at is not None and low < at
    assert found.band(low)[0] == pytest.approx(1.0)
    assert found.reaches(4.6)[1:] == (None, None)
    assert missing.said(Reach(5234.0, 1234.0, None)) == "5,200 (1,200 or more)"


def test_another_level() -> None:
    """Through a point: the slope stays, the point is met, and there the band is as wide as the point is uncertain."""
    found = fitted(PLACES, 80 * PLACES**-0.5 * np.exp(0.1 * np.random.default_rng(3).normal(size=len(PLACES))))
    assert found is not None
    moved = found.through(800, 2.0, 0.05)
    assert (moved.b, moved.half_width) == (found.b, found.half_width)
    t = found.half_width / math.sqrt(found.covariance[1][1])
    assert moved.error(800) == pytest.approx(2.0)
    assert [float(end) for end in moved.band(800)] == pytest.approx([2 * math.exp(-t * 0.05), 2 * math.exp(t * 0.05)])
    loose = found.loosened(0.3)
    assert loose.covariance[0][0] == pytest.approx(found.covariance[0][0] + 0.09) and loose.log_a == found.log_a


def test_too_few_points_and_what_is_no_error() -> None:
    assert fitted([100, 200], [5.0, 4.0]) is None and law.LEAST == 3
    with pytest.raises(ValueError, match="positive"):
        fitted([100, 200, 400], [5.0, 0.0, 4.0])
    with pytest.raises(ValueError, match="no error of 0"):
        fitted(PLACES, 80 * PLACES**-0.5).reaches(0.0)  # type: ignore[union-attr]


# what is made of it


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Penalty on 5-way 1-shot ends at 94 percent, and its curves fall as n^-1/2; 5-shot has reached its aim."""
    place = tmp_path_factory.mktemp("budget")
    made_up.write_params(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        made_up.write_results(place, "cpu")
        found = sources.load("cpu")
    return with_cells(found, {ONE_SHOT: (94.0, 0.5, 8.0), FIVE_SHOT: (99.2, 0.1, 1.0)})


def with_cells(found: Sources, ends: dict[str, tuple[float, float, float]]) -> Sources:
    """Penalty's cells that end at (accuracy on all tasks, its half width), with curves that end at an error as n^-1/2."""
    cells = copy.deepcopy(dict(found.cells["few_shot"]))
    for data, (mean, width, last) in ends.items():
        budget = found.params["few_shot"]["cells"][data]["penalty"]["iterations"]
        places = np.linspace(0, budget, 9)
        errors = [70.0, *(last * (places[1:] / budget) ** -0.5)]
        cell: dict[str, Any] = cells[f"{data}-penalty"]
        line = {"mean": [100 - error for error in errors], "sd": [None] * 9}
        cell["curves"] = {"iteration": places.astype(int).tolist(), **dict.fromkeys(missing.CURVES, line)}
        for iterate in ("last", "selected"):
            cell["summary"][iterate]["test accuracy"] = {"mean": mean, "sd": None, "n": 1, "half_width": None}
            cell["summary"][iterate]["over tasks"] = width
    return dataclasses.replace(found, cells={**found.cells, "few_shot": cells})


def test_what_is_missing_follows_from_the_law(inputs: Sources) -> None:
    """An error of 6 at the budget N on all tasks: as n^-1/2 it is 3 at 4 N; on meta-validation it is 8, and 3 at 64/9 N."""
    budget = inputs.params["few_shot"]["cells"][ONE_SHOT]["penalty"]["iterations"]
    rows = missing.table(inputs).numbers.set_index(["data", "curve", "target"])
    for curve, times in (("meta-test", 4.0), ("meta-validation", 64 / 9)):
        row = rows.loc[(ONE_SHOT, curve, "the aim")]
        assert row["exponent"] == pytest.approx(0.5) and row["target accuracy"] == 97.0 and not row["reached"]
        assert row["times the budget"] == pytest.approx(times, rel=0.02)
        assert row["at iterations"] == pytest.approx(times * budget, rel=0.02)
        assert row["from"] < row["at iterations"] < row["to"]
        # made-up seconds of an upper iteration: a half
        assert row["hours on one core"] == pytest.approx(times * budget * 0.5 / 3600, rel=0.1)
    assert rows.loc[(ONE_SHOT, "meta-test", "published"), "target accuracy"] == 97.83
    assert rows.loc[(FIVE_SHOT, "meta-test", "the aim"), "reached"]
    assert not rows.loc[(FIVE_SHOT, "meta-test", "published"), "reached"]


def test_a_level_is_as_uncertain_as_tasks_scatter(inputs: Sources) -> None:
    """On meta-test of 600 tasks with a half width of 0.5 about 6; of meta-validation from fewer tasks, so wider."""
    validation, test = missing.curves(inputs, ONE_SHOT)
    assert validation.law is not None and test.law is not None
    share, budget = 0.5 / 1.96 / 6, test.iterations[-1]
    t = test.law.half_width / math.sqrt(test.law.covariance[1][1])
    assert float(test.law.band(budget)[1]) == pytest.approx(6 * math.exp(t * share), rel=1e-6)
    tasks = inputs.params["few_shot"]["cells"][ONE_SHOT]["penalty"]["selection_tasks"]
    wider = share * math.sqrt(600 / tasks)
    assert float(validation.law.band(budget)[1]) == pytest.approx(8 * math.exp(t * wider), rel=1e-6)


def test_it_is_said(inputs: Sources) -> None:
    first, second = missing.sentences(inputs).split("\n\n*")
    assert "94.00 ± 0.50 percent" in first and "3.00 points **below the aim** of 97.0" in missing.sentences(inputs)
    assert "99.20 ± 0.10" in second and "the aim of 99.0 is **reached**" in second


def test_what_was_spent(inputs: Sources) -> None:
    """61.5 made-up processor seconds a cell."""
    cells = len(inputs.costs["few_shot"])
    assert missing.spent(inputs) == (
        f"Training the {cells} cells of this profile took {duration(61.5 * cells)} of one core, evaluations included:"
        f" {duration(61.5 * cells / 2)} where two are trained at a time."
    )
    assert missing.spent(dataclasses.replace(inputs, costs={**inputs.costs, "few_shot": {}})) == ""


def test_a_curve_that_does_not_fall_says_so(inputs: Sources) -> None:
    cells = copy.deepcopy(dict(inputs.cells["few_shot"]))
    flat = {"mean": [30.0, 94, 93, 94, 93, 94, 93, 93, 93], "sd": [None] * 9}
    cells[f"{ONE_SHOT}-penalty"]["curves"] |= dict.fromkeys(missing.CURVES, flat)
    found = dataclasses.replace(inputs, cells={**inputs.cells, "few_shot": cells})
    assert missing.sentences(found).count("the aim of 97.00: not from this curve") == 2
    assert set(missing.table(found).shown["at upper iterations"]) >= {"not from this curve"}
    with drawing.style():
        missing.picture(found)


def test_a_trial_that_diverged_has_no_law(inputs: Sources) -> None:
    cells = copy.deepcopy(dict(inputs.cells["few_shot"]))
    for iterate in ("last", "selected"):
        cells[f"{ONE_SHOT}-penalty"]["summary"][iterate]["test accuracy"]["mean"] = None
    found = dataclasses.replace(inputs, cells={**inputs.cells, "few_shot": cells})
    assert missing.shown(found) == [FIVE_SHOT]


def test_the_picture_has_points_laws_and_targets(inputs: Sources) -> None:
    with drawing.style():
        figure = missing.picture(inputs)
    axes = figure.axes[0]
    assert [one.get_title() for one in figure.axes] == [ONE_SHOT, FIVE_SHOT]
    validation = missing.curves(inputs, ONE_SHOT)[0]
    points, line = axes.get_lines()[:2]
    np.testing.assert_allclose(np.asarray(points.get_ydata(), dtype=float), validation.errors)
    ends = np.asarray(line.get_xdata(), dtype=float)
    assert ends[0] == pytest.approx(validation.iterations[0]) and ends[-1] > 64 / 9 * validation.iterations[-1]
    levels = {round(float(np.asarray(one.get_ydata())[0]), 2) for one in axes.get_lines() if len(one.get_xdata()) == 2}
    assert {3.0, 2.17} <= levels
    assert "Drawn from: profile cpu" in figure.get_supxlabel().replace("\n", " ")
