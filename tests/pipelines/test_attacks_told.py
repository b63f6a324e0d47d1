"""Sentences below the tables of both attacks: cuts, what they change, what stands in, and who breaks more targets."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import made_up
import pytest

from pipelines import published, sources, tables
from pipelines.clean_label import told as clean_label
from pipelines.layout import printed
from pipelines.poisoning import rows
from pipelines.poisoning import told as poisoned
from pipelines.sources import Sources


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sources]]:
    """Made-up results by profile; the profile `paper` is read while drawing, so that its folder is stayed in."""
    place = tmp_path_factory.mktemp("told")
    made_up.write_params(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for profile in ("cpu", "paper"):
            made_up.write_results(place, profile)
        yield {profile: sources.load(profile) for profile in ("cpu", "paper")}


def test_the_cuts_of_an_attack(every: dict[str, Sources]) -> None:
    """By method, of upper iterations and of pretraining; label flipping runs no attack, the profile paper cuts nothing."""
    cpu, params = every["cpu"], every["cpu"].params["poisoning"]["cells"]["mnist-untargeted"]
    places = {method: rows.places(cpu, "mnist-untargeted", method)[-1] for method in params}
    assert rows.cuts(cpu, places["label-flipping"]) == []
    for method in ("penalty", "approxgrad"):
        mine = params[method]
        assert rows.cuts(cpu, places[method]) == [
            ("upper iterations", mine["iterations"], 5000), ("epochs of pretraining", mine["pretrain"]["epochs"], 5000)
        ]  # fmt: skip
    said = " of 5,000 upper iterations and 1,500 of 5,000 epochs of pretraining"
    assert poisoned.short(cpu, [places["penalty"]]) == f"1,000{said}"
    both = [places["approxgrad"], places["penalty"]]
    assert poisoned.short(cpu, [places["label-flipping"], *both]) == f"ApproxGrad 400{said}; Penalty 1,000{said}"
    # a variant goes by the method of its solver
    assert rows.method_of(cpu, rows.Place(("lower-steps", "penalty-5"), 60)) == "penalty"
    paper = every["paper"]
    full = [place for data in ("mnist-untargeted", "mnist-targeted") for place in rows.places(paper, data, "penalty")]
    assert poisoned.budget(paper, full) == []
    assert poisoned.judged(paper, "mnist-untargeted", "penalty").endswith("as in the paper, 10,000 epochs.")
    assert poisoned.judged(cpu, "mnist-untargeted", "penalty").endswith("as in the paper, 3,000 of its 10,000 epochs.")


def test_an_attack_is_unfinished_where_more_iterations_change_more_than_seeds_do(every: dict[str, Sources]) -> None:
    """The made-up s.d. over three seeds 0.25 apart is 0.25."""
    cells = copy.deepcopy(every["cpu"].cells)
    moved = {("untargeted", "penalty"): -0.5, ("untargeted", "approxgrad"): 0.125,
             ("targeted", "approxgrad"): 3.0}  # fmt: skip
    for (attack, method), change in moved.items():
        measure = rows.MEASURED[attack]
        short = cells["poisoning"][f"mnist-{attack}-{method}"]["summary"]["points=60"]["by seed"]["0"]
        whole = cells["poisoning"][f"{rows.IN_FULL[attack]}-{method}"]["summary"]["points=60"]
        whole["by seed"] = {"0": {measure: short[measure] + change}}
    inputs = replace(every["cpu"], cells=cells)
    found = {(rows.attack_of(inputs, one.data), one.method): one for one in rows.continued(inputs)}
    assert {key: one.full - one.cut for key, one in found.items()} == moved
    assert {key for key, one in found.items() if one.is_unfinished} == {
        ("untargeted", "penalty"), ("targeted", "approxgrad")
    }  # fmt: skip
    (note,) = poisoned.unfinished(inputs)
    first, rest = note.split(" They change no more than ")
    assert "Penalty on mnist-untargeted (-0.50 points after 1,000 of 5,000, s.d. 0.25)" in first
    assert "ApproxGrad on mnist-targeted (+3.00 points after 1,000 of 5,000, s.d. 0.25)" in first
    assert "ApproxGrad on mnist-untargeted (+0.12" in rest
    mean = rows.strength(inputs, rows.Place(("mnist-targeted", "penalty"), 60)).mean
    assert f"Penalty, in full in the table, at {mean:.2f} ± 0.25 over all seeds" in rest
    assert "On mnist-untargeted and mnist-targeted the methods are cut unequally" in rest
    assert note in tables.draw(inputs, "poisoning").notes and note in tables.draw(inputs, "poisoning-converged").notes
    assert poisoned.unfinished(every["paper"]) == []


def test_table_5_has_rmd_as_published_only(every: dict[str, Sources]) -> None:
    shown = tables.draw(every["cpu"], "poisoning").shown
    rmd = shown[shown["method"] == "RMD"]
    known = [
        value
        for attack in ("untargeted", "targeted")
        for share in range(1, 7)
        if (value := published.find(f"poison-{attack}-{share}pct-rmd")) is not None
    ]
    assert len(known) == 10
    assert list(rmd["paper"]) == [printed(value) for value in known]
    assert set(rmd["verdict"]) == {"published only"} and set(rmd["ours, judge"]) == set(rmd["iterations"]) == {"-"}
    first = shown[shown["data"] == "mnist-targeted"].set_index(["%", "method"])["iterations"]
    assert list(first[6.0][["Label flipping", "ApproxGrad", "Penalty"]]) == ["-", "1,000 of 5,000", "5,000 of 5,000"]
    # where it is run, it is not
    assert "published only" not in set(tables.draw(every["paper"], "poisoning").shown["verdict"])


def test_the_speed_as_a_share_of_its_bounds() -> None:
    said = poisoned.reached("penalty", 20, 499.0, {"reading": 1620.0, "products": 931.0})
    assert (
        said
        == "Penalty at T = 20 takes 499 lower steps a second: 31% of the bound by reading and 54% of the bound by products."
    )


def test_which_product_is_the_fastest(every: dict[str, Sources]) -> None:
    """Said where a row compares some; timings without that part have their table too."""
    speeds = {"generic": 400.0, "explicit": 500.0, "explicit-joint": 450.0}

    def with_sd(sd: float) -> dict[str, Any]:
        found = {
            name: {"lower_steps_per_second": one, "seconds_per_iteration": {"mean": 20 / one, "sd": sd, "n": 5}}
            for name, one in speeds.items()
        }
        return {"product": "generic", "products": found}

    row = with_sd(1e-3)
    told = "Penalty: 400 with the generic product, 500 with the explicit product and 450 with the explicit-joint product;"
    assert poisoned.by_product("penalty", row) == (
        f"{told} explicit is the fastest, 25% faster than what the cells have, generic."
    )
    # 10 ms apart: with an s.d. of 8 ms each the interval by Welch is 11.7 ms to either side
    assert poisoned.by_product("penalty", with_sd(8e-3)) == (
        f"{told} by the time of an iteration none is told apart from what the cells have, generic."
    )
    assert poisoned.by_product("penalty", {**row, "product": "explicit"}) == (
        f"{told} explicit is the fastest and what the cells have."
    )
    assert poisoned.by_product("penalty", {"lower_steps_per_second": 400.0}) == ""
    before = tables.draw(every["cpu"], "poisoning-lower-steps")
    assert not any("by product." in note for note in before.notes)
    timed = copy.deepcopy(every["cpu"].timed)
    for one in timed["poisoning"]["rows"]:
        if one["cell"] == ["mnist-untargeted", "penalty"]:
            one.update(row)
    after = tables.draw(replace(every["cpu"], timed=timed), "poisoning-lower-steps")
    (note,) = set(after.notes) - set(before.notes)
    assert note == f"Lower steps a second by product. {poisoned.by_product('penalty', row)}"
    assert after.shown.equals(before.shown)


def test_whose_step_sizes_a_described_approxgrad_has(every: dict[str, Sources]) -> None:
    (said,) = poisoned.described(every["cpu"])
    assert "Penalty's lower step size, 0.001 where the code has 0.0001" in said
    cells = every["cpu"].cells["poisoning"]
    for method, name in (("approxgrad", "ApproxGrad"), ("penalty", "Penalty")):
        found = [cells[f"{group}-{method}"]["summary"]["points=60"] for group in ("mnist-targeted", "described-targeted")]
        ends = [one["judge"]["attack success"]["mean"] for one in found]
        assert f"that of {name} from {ends[0]:.1f} to {ends[1]:.1f}" in said


DATA = "dogfish-imagenette"


def test_what_stands_in_for_dog_against_fish(every: dict[str, Sources]) -> None:
    (said,) = clean_label.stand_in(every["cpu"], DATA)
    for part in ("height and width divided by 2", "300 of 900 training images of a class", "on mini-imagenet-lite"):
        assert part in said
    assert clean_label.stand_in(every["paper"], "dogfish") == []
    assert clean_label.stand_in(every["paper"], "mnist-4-9")[0].startswith(
        "mnist-4-9 stands in for dog against fish: 4s against 9s"
    )
    (note,) = clean_label.budget(every["cpu"])
    assert note.endswith("40 of 590 targets; Feature collision 500 of 2,000 iterations.")
    notes = tables.draw(every["cpu"], "clean-label").notes
    assert said in notes and note in notes
    (said,) = clean_label.chosen(every["cpu"], DATA)
    assert "Penalty step size 0.02 (0.005) and γ₀ 10 (1)" in said and "Feature collision step size 0.001 (0.0025)" in said


def with_counts(inputs: Sources, method: str, counts: dict[str, int]) -> Sources:
    """The same results, in which an attack breaks so many of ten targets at these bounds."""
    cells = copy.deepcopy(inputs.cells)
    summary = cells["clean_label"][f"{DATA}-{method}"]["summary"]
    for key, k in counts.items():
        summary[key]["judge"] = {**summary[key]["judge"], "k": k, "percent": 10.0 * k}
        summary[key]["by target"] = {str(one): int(one < k) for one in range(10)}
    return replace(inputs, cells=cells)


def test_influence_functions_against_penalty(every: dict[str, Sources]) -> None:
    keys = [f"epsilon={one}" for one in (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)]
    inputs = with_counts(
        every["cpu"], "influence", dict(zip(keys, (0, 2, 3, 3, 3, 5, 8), strict=True)) | {"epsilon=None": 9}
    )
    inputs = with_counts(inputs, "penalty", dict(zip(keys, (1, 2, 2, 2, 3, 3, 4), strict=True)))
    inputs = with_counts(inputs, "unconstrained", {"epsilon=None": 6})
    (said,) = clean_label.against_influence(inputs, DATA)
    assert "more targets than Penalty at 4 of 7 bounds (1, 1.5, 3 and 4) and fewer at 1 (0.25)" in said
    # four of ten targets more: s.d. sqrt(10 / 9 * 0.24), t of nine degrees of freedom 2.262
    assert f"8 of 10 against 4 of 10, +40.0 ± {100 * 2.26216 * (0.24 / 9) ** 0.5:.1f} points" in said
    assert "9 of 10 against 6 of 10 by unconstrained Penalty; the paper has 57 against 100 percent, the other order" in said
    (said,) = clean_label.against_influence(with_counts(inputs, "unconstrained", {"epsilon=None": 10}), DATA)
    assert "percent. Its 57" in said


def test_penalty_s_own_classifier_and_an_unfinished_run(every: dict[str, Sources]) -> None:
    cells = copy.deepcopy(every["cpu"].cells)
    curves = cells["clean_label"][f"{DATA}-penalty"]["curves"]
    for place, key in enumerate(key for key in curves if key != "iteration"):
        curves[key]["margin"] = {"mean": [-5.0, 0.0, 4.0 + place / 2]}
        # one part in 20 of the last: settled; more: not
        curves[key]["feature distance"] = {"mean": [9.0, 4.25 if key == "epsilon=4.0" else 4.0, 4.0]}
    inputs = with_counts(replace(every["cpu"], cells=cells), "penalty", {key: 1 for key in curves if key != "iteration"})
    (said,) = clean_label.own_classifier(inputs, DATA)
    assert "is +4.0 to +7.0 over its bounds; a fresh classifier calls 10.0 to 10.0 percent so." in said
    assert "That W is not the solution of the lower problem." in said
    assert said.endswith(
        "Penalty is not finished at 4 (9.0, 4.2, 4.0): mean feature distances from iteration 0 to 80, still falling."
    )
    # a fresh classifier that is fooled as often says nothing against W
    (said,) = clean_label.own_classifier(with_counts(inputs, "penalty", {"epsilon=4.0": 9}), DATA)
    assert "not the solution" not in said


def test_the_mean_of_smallest_bounds_names_its_targets(every: dict[str, Sources]) -> None:
    table = tables.draw(every["cpu"], "clean-label-smallest")
    for row, line in zip(table.numbers.itertuples(), table.shown["mean smallest bound, broken alone"], strict=True):
        assert line.startswith(f"of {row.broken}: ")
