"""The published numbers: found by id and by place, checked on reading, with what is known of their precision."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from pipelines import published
from pipelines.errors import UserError

ENTRY = {
    "id": "a", "table_or_figure": "Table 2 (arXiv) = Table 4", "dataset": "example 1", "method": "GD", "metric": "time",
    "unit": "s", "setting": {"T": 1}, "mean": 7.4, "sd_or_ci": 0.25, "spread_kind": "sd", "n_trials": 10,
}  # fmt: skip


def test_by_id() -> None:
    value = published.value("denoise-mnist-25-penalty")
    assert (value.mean, value.spread, value.spread_kind, value.n_trials) == (98.89, 0.04, "sd", 5)
    assert (value.resolution, value.decimals) == (0.005, 2)
    with pytest.raises(UserError, match="did you mean denoise-mnist-25-penalty"):
        published.value("denoise-mnist-25-penaltty")


def test_read_off_a_figure_keeps_its_reading_error() -> None:
    value = published.value("fig12-ex1-T10-approxgrad")
    assert (value.mean, value.sd, value.resolution, value.decimals) == (0.0, 0.0, 0.02, 2)


def test_every_panel_and_every_time_is_there() -> None:
    for example in range(1, 5):
        for steps in (1, 5, 10):
            for method in ("gd", "rmd", "approxgrad", "penalty"):
                value = published.value(f"fig12-ex{example}-T{steps}-{method}")
                assert value.n_trials == 20
                assert published.value(f"time-ex{example}-T{steps}-{method}").n_trials == 10
                curve = published.curve(example, steps, method)
                assert curve.x == tuple(range(0, 40001, 5000))
                assert curve.mean[-1] == pytest.approx(value.mean, abs=0.02)


def test_by_place() -> None:
    assert len(published.values("Figure 1")) == 24
    assert len(published.values("Table 2", method="penalty", T=10)) >= 4
    found = published.single("Table 2", "example 3", "rmd", T=10, upper_iterations=10000)
    assert found.id == "time-ex3-T10-rmd"
    with pytest.raises(UserError, match="has 0 numbers for table Table 2, dataset example 9, T 10"):
        published.single("Table 2", "example 9", T=10)
    with pytest.raises(UserError, match="not one: time-ex1-T1-gd"):
        published.single("Table 2", "example 1")


def test_ablation_curves() -> None:
    assert published.ablation_curve("left", 1, 0.0001).mean[0] == 17.94
    assert published.accuracy_curve("train", "penalty").mean[-1] == 74.15
    with pytest.raises(UserError, match="no panel with block left, T 2"):
        published.ablation_curve("left", 2, 0.0001)


def test_a_half_width_becomes_a_standard_deviation() -> None:
    entry = {**ENTRY, "spread_kind": "ci95", "sd_or_ci": 1.96, "n_trials": 25}
    assert published.checked_values([entry])["a"].sd == pytest.approx(5.0)
    assert published.checked_values([{**entry, "n_trials": None}])["a"].sd is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mean": "7.4"}, "mean must be a number"),
        ({"mean": math.nan}, "mean must be a number"),
        ({"spread_kind": "se"}, "spread_kind must be one of sd, ci95, none"),
        ({"spread_kind": "none"}, "does not fit spread_kind none"),
        ({"sd_or_ci": -1.0}, "does not fit"),
        ({"n_trials": 0}, "n_trials must be a positive whole number"),
        ({"reading_error": "?"}, "reading_error must be a number"),
        ({"id": 3}, "it needs an id"),
    ],
)
def test_a_malformed_entry_is_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=f"entry 1 .*{said}"):
        published.checked_values([{**ENTRY, **change}])


def test_doubled_and_missing() -> None:
    with pytest.raises(UserError, match=r"entry 2 \(a\): the id is there twice"):
        published.checked_values([ENTRY, ENTRY])
    with pytest.raises(UserError, match="metric is missing"):
        published.checked_values([{key: held for key, held in ENTRY.items() if key != "metric"}])


def test_a_curve_of_another_length_is_named() -> None:
    figure: dict[str, Any] = {"x_upper_iterations": [0, 1], "panels": [{"mean": [1.0, 2.0]}, {"mean": [1.0]}]}
    good = copy.deepcopy(figure)
    good["panels"] = good["panels"][:1]
    published.checked_curves({"fig1_fig2_mean_curves": good, "fig7_mean_curves": good})
    with pytest.raises(UserError, match="fig7_mean_curves, panel 2: mean needs 2 numbers"):
        published.checked_curves({"fig1_fig2_mean_curves": good, "fig7_mean_curves": figure})
