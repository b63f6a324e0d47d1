"""The denoising experiments: one change at a time, minibatches by role, other forms of the problem, retraining, and what is
learned; their tables and figures from made-up results."""

from __future__ import annotations

import copy
import dataclasses
import functools
from pathlib import Path
from typing import Any

import made_up
import numpy as np
import pytest
import torch
from scipy import stats

from core.networks import registry
from core.products import lower_gradient
from pipelines import corrupt, drawing, figures, records, settings, sources, summary, tables, train
from pipelines.clean_label import tables as clean_label
from pipelines.datasets.prepared import Prepared
from pipelines.datasets.splits import DIGITS_SELECTION, DIGITS_TEST, DIGITS_VALIDATION
from pipelines.denoising import (
    believed,
    cells,
    concluded,
    data,
    efforts,
    finding,
    further,
    metrics,
    problem,
    rivals,
    rows,
)
from pipelines.denoising import figures as drawn
from pipelines.denoising.run import Run
from pipelines.errors import UserError
from pipelines.few_shot import tables as few_shot
from pipelines.poisoning import tables as poisoned
from pipelines.settings import Cell
from tests.core.checks import assert_identical, assert_near

CPU = torch.device("cpu")


@functools.cache
def params() -> dict[str, Any]:
    return settings.load_params("denoising")


def cell_settings(name: str, profile: str = "embedded") -> dict[str, Any]:
    found: dict[str, Any] = params()[profile]["cells"][name]
    return found


def variants(profile: str = "embedded") -> dict[str, Any]:
    return cell_settings("quirks", profile)


# --- cells ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["embedded", "cpu"])
def test_a_quirk_is_one_change(profile: str) -> None:
    for name, cell in variants(profile).items():
        base = variants(profile)[rows.method_of(name)]
        flat, plain = (
            {**one, **{f"settings/{key}": value for key, value in one["settings"].items()}} for one in (cell, base)
        )
        changed = sorted(key for key in flat if key != "settings" and flat[key] != plain.get(key))
        if name.endswith("described"):
            # the text has no step sizes of ApproxGrad's
            sizes = ["settings/lower_step_size"] if name.startswith("penalty") else []
            assert changed == ["importances", "moments", "preset", "renormalise", *sizes]
        else:
            assert len(changed) == (name not in ("penalty", "approxgrad")), (name, changed)
        assert rows.named(name) != name.removeprefix(rows.method_of(name)).removeprefix("-") or not changed


def test_every_variant_of_a_profile_is_a_cell_with_a_stage() -> None:
    for profile in settings.PROFILES:
        block = params()[profile]
        for name, listed in cells.experiments(block).items():
            assert set(listed) == set(block["cells"][name])
            assert {block["cells"][name][variant]["data"] for variant in listed} <= set(block["prepared"])
    assert set(summary.names("denoising", "embedded")) == set(cells.names(params()["embedded"]))


def test_cells_of_the_profile_cpu_fit_their_data() -> None:
    """Full batches are all the rows there are; as many upper iterations at every T; softmax regression is at full size."""
    block = params()["cpu"]
    rows_of = {"train": 5000, "validation": 5000, "both": 10_000, "oracle": 2500 + 5000}
    for one in block["cells"]["franceschi"].values():
        if one["data"] == "franceschi-50" and (one["solver"] in ("itd", "single-level")):
            assert one["batch"] == rows_of[one["use"]]
    for name, one in block["cells"]["stocbio-hypercleaning"].items():
        assert (one["batch"] == 20_000) == (name.rpartition("-")[0] in ("aid-fp", "aid-cg", "rmd"))
        assert one["losses"] and name.endswith(one["data"].removeprefix("stocbio"))
    steps = block["cells"]["lower-steps"]
    assert {(one["epochs"], one["batch"], one["network"], one["data"]) for one in steps.values()} == {
        (1, 100, "mnist-quarter", "mnist-25")
    }
    assert [one["settings"]["lower_steps"] for one in steps.values()] == [1, 10, 20, 50] * 2
    tuned = block["cells"]["tuned-quarter"]
    alike = {(one["epochs"], one["batch"], one["network"], one["settings"]["lower_steps"]) for one in tuned.values()}
    assert alike == {(3, 100, "mnist-quarter", 2)}
    for name, one in block["cells"]["longer-50"].items():
        whole = {**one, "data": "mnist-25", **{key: 2 * one[key] for key in ("epochs", "evaluations")}}
        assert whole == block["cells"]["longer"][name]
    full = ("small-50", "franceschi-50", "stocbio-10", "stocbio-40")
    assert {block["prepared"][name].get("train_size") for name in full} == {None}


def test_every_profile_times_cells_that_it_has() -> None:
    for profile in settings.PROFILES:
        block = params()[profile]
        known = set(cells.names(block))
        assert {tuple(parts) for parts in block["timing"]["cells"] + block["timing"]["profiled"]} <= known


DIGITS_TRAINING = 1797 - DIGITS_TEST - DIGITS_VALIDATION - DIGITS_SELECTION


@pytest.mark.parametrize(
    ("profile", "train_rows", "clean_rows", "steps"),
    [("embedded", DIGITS_TRAINING, DIGITS_VALIDATION, 270), ("cpu", 2000, 1000, 120)],
)
def test_val_only_takes_as_many_lower_steps_as_penalty(profile: str, train_rows: int, clean_rows: int, steps: int) -> None:
    penalty, control = variants(profile)["penalty"], cell_settings("controls", profile)["val-only-same-steps"]
    upper = penalty["epochs"] * (train_rows // penalty["batch"])
    assert control["epochs"] * (clean_rows // control["batch"]) == upper * penalty["settings"]["lower_steps"] == steps


@pytest.mark.parametrize("profile", ["embedded", "cpu", "paper"])
def test_equal_weights_differ_in_the_weights_alone(profile: str) -> None:
    held = cell_settings("controls", profile)
    for name, base in rows.UNWEIGHTED.items():
        for method in ("approxgrad", "penalty"):
            weighted = held[f"{method}-{name}"]
            assert weighted["weights_of"] == ["quirks", method]
            assert {key: value for key, value in weighted.items() if key != "weights_of"} == held[base]


def test_stages_of_variants() -> None:
    retrained = cell_settings("controls")["penalty-retrained"]
    one = cells.stage_of("embedded", "quirks", "penalty-described", variants()["penalty-described"])
    other = cells.stage_of("embedded", "controls", "penalty-retrained", retrained)
    assert one == "train_embedded_quirks_penalty@penalty-described"
    assert other == "retrain_embedded_controls_penalty-retrained@penalty-retrained"


# --- problems ---------------------------------------------------------------------------------------------------------


def a_batch(size: int = 6) -> problem.Batch:
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(2, size, 1, 8, 8, generator=draws, dtype=torch.float64)
    labels = torch.randint(10, (2, size), generator=draws)
    return problem.Batch(images[0], labels[0], torch.arange(size).flip(0) + 2, images[1], labels[1])


def test_plain_training_with_weights() -> None:
    network, batch = registry.make("softmax-digits"), a_batch()
    v = network.initial(torch.Generator().manual_seed(1), torch.float64)
    u = torch.linspace(0, 1, 10, dtype=torch.float64)
    found = lower_gradient(problem.weighted_training(network), u, v, batch)
    chances = torch.softmax(network.logits(v, batch.images), 1) - torch.eye(10, dtype=torch.float64)[batch.labels]
    weights = u[batch.index] / u[batch.index].sum()
    assert_near(found["dense1.weight"], (weights[:, None] * chances).T @ batch.images.flatten(1), 1e-12)
    nothing = lower_gradient(problem.weighted_training(network), torch.zeros_like(u), v, batch)
    assert_identical(nothing["dense1.bias"], torch.zeros(10, dtype=torch.float64))


def test_the_form_of_learning_to_reweight_is_linear_in_u() -> None:
    network, batch = registry.make("softmax-digits"), a_batch()
    v = network.initial(torch.Generator().manual_seed(1), torch.float64)
    posed = problem.reweighting(network)
    assert posed.visited(batch) is batch.index
    costs = [float(posed.lower(unit, v, batch)) for unit in torch.eye(10, dtype=torch.float64)]
    u = torch.arange(10, dtype=torch.float64)
    assert float(posed.lower(u, v, batch)) == pytest.approx(float(u @ torch.tensor(costs, dtype=torch.float64)))
    assert costs[:2] == [0.0, 0.0] and min(costs[2:8]) > 0  # rows 2 to 7 are in the minibatch
    # weights of a minibatch of sum one: their mean as importances is one half
    even = torch.full((10,), 1 / 6)
    assert_near(problem.FORMS["weights"].weights(even, lambda: even, 6), torch.full((10,), 0.5), 1e-6)


def some_data(train: int = 40, clean: int = 12) -> data.Data:
    draws = torch.Generator().manual_seed(0)

    def split(count: int) -> data.Split:
        return data.Split(torch.rand(count, 1, 8, 8, generator=draws), torch.randint(10, (count,), generator=draws))

    return data.Data(split(train), split(clean), split(4), split(4).images)


def test_minibatches_by_role() -> None:
    all_data = some_data()
    pair = next(data.epoch(all_data, 8, seed=3, number=0))
    draws = {"upper": 1, "lower": 5, "hessian": 3, "cross": 1}
    found = data.by_role(all_data, pair, draws, seed=3, iteration=7)
    assert found.upper is pair and found.cross is pair
    for role, count in (("lower", 5), ("hessian", 3)):
        batch = getattr(found, role)
        assert batch.images.shape == (count, 8, 1, 8, 8) and batch.index.shape == batch.labels.shape == (count, 8)
        assert_identical(batch.images, all_data.train.images[batch.index])
        assert_identical(batch.labels, all_data.train.labels[batch.index])
        assert all(len(set(row)) == 8 for row in batch.index.tolist())
        assert_identical(batch.clean_images[1], pair.clean_images)
    assert len({tuple(row) for row in found.lower.index.tolist()}) == 5
    assert_identical(found.lower.index, data.by_role(all_data, pair, draws, seed=3, iteration=7).lower.index)
    assert found.lower.index.tolist() != data.by_role(all_data, pair, draws, seed=3, iteration=8).lower.index.tolist()
    assert data.by_role(all_data, pair, {"lower": 1}, seed=3, iteration=0).hessian == ()


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parameters, and 400 prepared digits under the name digits-25."""
    root = tmp_path_factory.mktemp("experiments")
    made_up.write_params(root, small={"train_size": 400, "seeds": [0, 1]})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        corrupt.main(["denoising", "embedded", "digits-25"])
    return root


def small(name: str, variant: str, **more: Any) -> Cell:
    """A cell cut to one epoch of pre-training and four upper iterations."""
    whole = cell_settings(name)[variant]
    cut: dict[str, Any] = {"epochs": 1, "evaluations": 2}
    if "pretrain" in whole:
        cut["pretrain"] = {"epochs": 1, "step_size": 1e-3}
    return Cell("denoising", "embedded", (name, variant), {**whole, **cut, **more}, params()["common"])


@pytest.mark.parametrize("method", ["approxgrad", "penalty", "stocbio", "l2rw", "f2sa", "bome"])
def test_every_tuned_method_takes_its_steps(project: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.chdir(project)
    record = train.train(small("tuned", method), CPU, steps=10**9)
    again = train.train(small("tuned", method), CPU, steps=10**9)
    assert record["trials"] == again["trials"]
    for trial in record["trials"]:
        assert trial["status"] == "finished" and trial["iterations"] == 4
        weights = records.unpack(trial["importances"])
        assert trial["importances"]["iterations"] == [0, 2, 4] and weights.shape == (3, 400)
        # what a method trusts has changed since the start, for every example that it visited
        assert (weights[-1] != weights[0]).mean() > 0.5
    assert record["trials"][0]["state_after_first_steps"] != record["trials"][1]["state_after_first_steps"]


def test_retraining_takes_the_recorded_importances(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    control = small("controls", "penalty-final-fit")
    made_by = "python -m pipelines.train denoising embedded quirks penalty"
    with pytest.raises(UserError, match=f"quirks-penalty/train.json is missing: `{made_by}` makes it"):
        Run(control, CPU)
    source = train.train(small("quirks", "penalty"), CPU, steps=10**9)
    records.write_json(Path("results/embedded/denoising/quirks-penalty/train.json"), source)
    work = Run(control, CPU)
    for index, trial in enumerate(source["trials"]):
        u = work.start([index]).u
        assert len(u) == 400 + 100
        recorded = torch.from_numpy(records.unpack(trial["importances"])[-1] / 255.0).float()
        assert_near(u[:400], recorded, 1e-6)
        assert_identical(u[400:], torch.ones(100))
    assert "importances" in work.fingerprints()
    retrained = Run(small("controls", "penalty-retrained"), CPU).start([0])
    assert len(retrained.u) == 400 and int(retrained.iteration) == 0
    source["trials"] = source["trials"][:1]
    records.write_json(Path("results/embedded/denoising/quirks-penalty/train.json"), source)
    with pytest.raises(UserError, match=r"quirks penalty has no importances for the seeds \[0, 1\]"):
        Run(control, CPU)


@pytest.mark.parametrize(("key", "value", "known"), [("network", "cifar", "cifar10"), ("form", "weigths", "weights")])
def test_a_name_that_is_not_known(project: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, known: str) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match=rf"embedded.cells.quirks.penalty.{key} is '{value}'; there are: .*{known}"):
        Run(small("quirks", "penalty", **{key: value}), CPU)


# --- what is learned --------------------------------------------------------------------------------------------------


def test_what_is_learned() -> None:
    clean = np.array([True, True, True, False, False])
    first = np.array([[0.5, 0.5, 0.5, 0.5, 0.5], [0.98, 0.93, 0.22, 0.12, 0.62]])
    found = metrics.learned([0, 9], [first, first[:, [1, 0, 2, 3, 4]]], [clean, clean])
    assert found["bins"] == [round(0.05 * edge, 5) for edge in range(21)]
    assert found["clean"][1][4] == pytest.approx(1 / 3, rel=1e-4) and found["clean"][1][19] == pytest.approx(1 / 3, rel=1e-4)
    assert found["corrupted"][1][2] == 0.5 and found["corrupted"][1][12] == 0.5
    assert [sum(row) for row in found["clean"]] == pytest.approx([1.0, 1.0], rel=1e-4)
    # below one half: one clean, one corrupted; of the six pairs of a clean and a corrupted, five in the right order
    assert found["precision"]["mean"] == [None, 0.5] and found["recall"]["mean"] == [0.0, 0.5]
    assert found["area under ROC"]["mean"] == [0.5, pytest.approx(5 / 6, rel=1e-4)]
    assert found["iteration"] == [0, 9]


def test_the_least_trusted() -> None:
    images = np.arange(20 * 4, dtype=np.uint8).reshape(20, 2, 2)
    one = np.zeros(1, np.uint8)
    prepared = Prepared(images, np.arange(20, dtype=np.uint8)[None] % 10, np.array([7]), one, one, one, one, one)
    weights = np.ones(20)
    weights[[5, 11, 3]] = 0.1, 0.0, 0.1
    found = metrics.least_trusted(weights, prepared, 0, np.zeros(20, np.uint8))
    assert found["index"][0] == 11 and set(found["index"][1:3]) == {3, 5} and found["seed"] == 7
    assert len(set(found["index"])) == metrics.LEAST_TRUSTED and found["right"] == [0] * metrics.LEAST_TRUSTED
    assert found["given"] == [index % 10 for index in found["index"]]
    # of equals each is drawn as often as another, whatever its place; the seed alone says which
    again = [metrics.least_trusted(np.zeros(20), with_seed(prepared, seed), 0, weights)["index"] for seed in range(400)]
    assert metrics.least_trusted(np.zeros(20), with_seed(prepared, 3), 0, weights)["index"] == again[3]
    counts = np.bincount(np.concatenate(again), minlength=20)
    share = metrics.LEAST_TRUSTED / 20
    assert np.abs(counts - 400 * share).max() < 4.5 * np.sqrt(400 * share * (1 - share))
    np.testing.assert_array_equal(records.unpack(found["images"])[0], images[11])


def with_seed(prepared: Prepared, seed: int) -> Prepared:
    return prepared._replace(seeds=np.array([seed]))


# --- tables and figures -----------------------------------------------------------------------------------------------


def made_up_inputs(root: Path, profile: str) -> sources.Sources:
    made_up.write_params(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        made_up.write_results(root, profile)
        return sources.load(profile)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> sources.Sources:
    return made_up_inputs(tmp_path_factory.mktemp("drawn"), "embedded")


@pytest.fixture(scope="module")
def cpu(tmp_path_factory: pytest.TempPathFactory) -> sources.Sources:
    return made_up_inputs(tmp_path_factory.mktemp("drawn"), "cpu")


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> sources.Sources:
    return made_up_inputs(tmp_path_factory.mktemp("drawn"), "paper")


def test_the_effect_of_a_quirk_is_paired(inputs: sources.Sources) -> None:
    table = tables.draw(inputs, "quirks")
    assert len(table.numbers) == len(variants())
    names = list(variants())
    by_seed = {name: inputs.cell("denoising", "quirks", name)["summary"]["by seed"] for name in names}
    for place, name in enumerate(names):
        row = table.numbers.iloc[place]
        method = rows.method_of(name)
        if name == method:
            assert table.shown["effect"][place] == "-"
            continue
        apart = [by_seed[name][seed] - by_seed[method][seed] for seed in by_seed[name]]
        wanted = stats.ttest_1samp(apart, 0.0).confidence_interval(0.95)
        assert row["effect"] - row["half width"] == pytest.approx(wanted.low, rel=1e-3)
        assert row["effect"] + row["half width"] == pytest.approx(wanted.high, rel=1e-3)
    assert "effects are told from none" in table.markdown()


def test_the_other_tables(inputs: sources.Sources) -> None:
    more = ["quirks", "tuned", "profile", "controls", "lower-steps", "reweighting"]
    assert tables.drawn(inputs)[: len(tables.DRAWN) + len(more)] == [*tables.DRAWN, *more]
    tuned = tables.draw(inputs, "tuned")
    assert list(tuned.shown["method"]) == ["ApproxGrad", "Penalty", "stocBiO", "L2RW", "F2SA", "BOME"]
    # made up one point apart, in this order
    assert list(tuned.shown["verdict"]) == ["below", "-", "above", "above", "above", "above"]
    assert "gamma_0" in tuned.shown["chosen"][1] and tuned.shown["as released"][2] == "-"
    controls = tables.draw(inputs, "controls")
    alone = ["plain training", "Train+Val", "Val-only"]
    assert list(controls.shown["method"]) == ["ApproxGrad"] * 3 + ["Penalty"] * 3 + alone
    assert list(controls.shown["difference"] != "-") == [False, True, True, False, True, True, False, False, False]
    assert list(controls.shown["against equal weights"] != "-") == list(controls.shown["difference"] != "-")
    for row, base in ((1, "plain"), (2, "train-val"), (4, "plain"), (5, "train-val")):
        variant = ("approxgrad" if row < 3 else "penalty") + ("-retrained" if base == "plain" else "-final-fit")
        mine, other = (inputs.cell("denoising", "controls", one)["summary"]["by seed"]
                       for one in (variant, f"{base}-equal-weights"))  # fmt: skip
        effect = np.mean([mine[seed] - other[seed] for seed in mine])
        assert controls.numbers.iloc[row]["effect, equal weights"] == pytest.approx(effect, abs=1e-3)
    steps = tables.draw(inputs, "lower-steps")
    assert list(steps.shown["T"]) == [1, 10, 20, 50] * 2
    assert steps.numbers["paper accuracy"].notna().all() and set(steps.numbers["seconds of an iteration"]) == {0.11}


def test_tables_of_the_profile_with_more_experiments(cpu: sources.Sources) -> None:
    # the quirks are of another network
    tuned = tables.draw(cpu, "tuned")
    assert "as released" not in tuned.shown and "As released" not in tuned.markdown()
    assert "20 points of one space, the same for all, on 2 trials of other seeds" in tuned.markdown()
    quarter = tables.draw(cpu, "tuned-quarter")
    assert "as released" in quarter.shown
    longer = tables.draw(cpu, "longer")
    assert list(longer.shown["method"]) == ["Oracle", "Val-only", "Train+Val", "Train+Val", "ApproxGrad", "Penalty"]
    assert list(longer.shown["step size"]) == [3e-3, 3e-3, 3e-3, 1e-3, 1e-3, 3e-3]
    assert any(note.startswith("Train+Val stands twice") for note in longer.notes)
    curves = cpu.cell("denoising", "longer", "penalty")["curves"]
    half = min(curves["iteration"], key=lambda one: abs(one - curves["iteration"][-1] / 2))
    assert longer.numbers["50% of the budget"][5] == curves["test accuracy"]["mean"][curves["iteration"].index(half)]
    assert list(longer.shown["against Penalty"] == "-") == [False] * 5 + [True]
    assert list(longer.shown["selected against Penalty's"] == "-") == [False] * 5 + [True]
    both = [
        [trial["selected"]["test accuracy"] for trial in cpu.cell("denoising", "longer", method)["trials"]]
        for method in ("train-val", "penalty")
    ]
    wanted = stats.ttest_rel(*both).confidence_interval(0.95)
    assert longer.numbers["half width, selected"][2] == pytest.approx((wanted.high - wanted.low) / 2, rel=1e-3)
    assert longer.numbers["effect, selected"][2] == pytest.approx((wanted.high + wanted.low) / 2, abs=1e-3)
    assert set(tables.draw(cpu, "longer-50").shown["method"]) == {"Val-only", "Train+Val", "Penalty"}
    # recorded at the start, the middle and the end: the start is no part of the budget
    assert [name for name in longer.shown if name.endswith("of the budget")] == ["50% of the budget"]
    where = tables.draw(cpu, "profile")
    assert list(where.shown["network"]) == ["mnist", "mnist", "mnist-quarter", "mnist-quarter"]
    assert set(where.shown["products"]) == {"87.5%"} and set(where.numbers["optimisers"]) == {0.0625}
    assert "With mnist, mnist-quarter more than 10% lie outside" in where.markdown()


PUBLISHED = {
    ("cpu", "franceschi"): {
        ("small-50", "Oracle", "-"): 91.06, ("small-50", "Val-only", "-"): 90.54, ("small-50", "Train+Val", "-"): 86.25,
        ("small-50", "Penalty", "a new network, fitted with what was learned"): 90.77,
        ("franceschi-50", "RMD", "a new network trained with the weights it learned"): 90.09,
        ("franceschi-50", "RMD", "weights in the ball of radius 2000, a new network trained with the weights it learned"):
        90.09,
    },
    ("cpu", "cifar10-part"): {
        ("cifar10-part-25", "Penalty", "-"): 79.67, ("cifar10-part-25", "Val-only", "-"): 70.3,
    },
    ("paper", "wrn"): {("wrn-36", "Penalty", "-"): 87.41, ("wrn-36", "Meta-Weight-Net", "-"): 89.27},
    ("paper", "no-noise"): {("wrn-0", "cifar10", "-"): 93.0},
    ("paper", "described"): {("svhn-25", "Penalty", "pixels in [0, 1]"): 88.12},
    ("paper", "four-nine"): {("four-nine-900", "L2RW", "-"): 97.87, ("four-nine-900", "class ratio", "-"): None},
    ("paper", "long-tail"): {
        ("long-tail-200", "Meta-Weight-Net", "-"): 68.91, ("long-tail-1", "plain training", "-"): 92.89,
    },
}  # fmt: skip
"""Of some rows (data, method, what else the cell is) the published number, None for none."""


@pytest.mark.parametrize(("profile", "name"), PUBLISHED, ids="-".join)
def test_tables_beside_other_works(
    cpu: sources.Sources, paper: sources.Sources, profile: str, name: str
) -> None:
    results = {"cpu": cpu, "paper": paper}[profile]
    table = tables.draw(results, name)
    assert len(table.numbers) == len(rows.has(results, name))
    heads = list(zip(table.numbers["data"], table.numbers["method"], table.numbers["cell"], strict=True))
    assert len(set(heads)) == len(heads)
    found = dict(zip(heads, table.numbers["paper mean"], strict=True))
    for head, wanted in PUBLISHED[profile, name].items():
        assert (np.isnan(found[head]) if wanted is None else found[head] == wanted), (head, found[head])
    verdicts = {verdict for head, verdict in zip(heads, table.numbers["verdict"], strict=True) if found[head] == found[head]}
    assert (verdicts == {"not comparable"}) == (profile == "cpu")


def test_penalty_on_the_same_data(cpu: sources.Sources) -> None:
    wanted = {
        "oracle": "penalty", "approxgrad-final": "penalty-final", "rmd": "penalty-same-split", "penalty": None,
        "rmd-ball-2000-final": "penalty-same-split-final", "train-val-same-split": "penalty-same-split",
        "penalty-final": None,
    }  # fmt: skip
    assert {one: further.penalty_of(cpu, "franceschi", one) for one in wanted} == wanted
    assert further.penalty_of(cpu, "stocbio-hypercleaning", "aid-cg-40") == "penalty-40"


def test_the_table_of_hypercleaning(cpu: sources.Sources) -> None:
    table = tables.draw(cpu, "stocbio-hypercleaning")
    methods = ["stocBiO", "AID-FP", "AID-CG", "RMD", "BSA", "TTSA", "Penalty"]
    assert list(table.shown["method"]) == methods * 2
    assert list(table.shown["data"]) == ["stocbio-10"] * 7 + ["stocbio-40"] * 7
    published = [1.83, 2.55, 2.48, 2.42, 3.55, 17.3]
    np.testing.assert_array_equal(table.numbers["published test loss"], [*published, np.nan] * 2)
    for place, variant in enumerate(rows.has(cpu, "stocbio-hypercleaning")):
        cell = cpu.cell("denoising", "stocbio-hypercleaning", variant)
        row = table.numbers.iloc[place]
        assert row["held-out loss"] == cell["curves"]["selection loss"]["mean"][-1]
        assert row["seconds"] == pytest.approx(54 * 0.11) and row["oracle calls"] == 300
        assert np.isnan(row["effect"]) == (place % 7 == 6)


def test_the_figure_of_hypercleaning(cpu: sources.Sources) -> None:
    made = dict(drawn.drawings(cpu))["hyper-cleaning"]
    with drawing.style():
        axes = made().axes
    assert [len(one.get_lines()) for one in axes] == [7] * 8
    assert [one.get_xscale() for one in axes] == ["linear", "log"] * 4
    loss = cpu.cell("denoising", "stocbio-hypercleaning", "penalty-40")["curves"]["selection loss"]["mean"]
    curve = axes[4].get_lines()[6]
    np.testing.assert_allclose(np.asarray(curve.get_xdata(), float), 0.5 + np.array([0, 27, 54]) * 0.11)
    np.testing.assert_allclose(np.asarray(curve.get_ydata(), float), loss)
    # on a logarithmic axis the start has no place
    calls = axes[7].get_lines()[6]
    accuracies = cpu.cell("denoising", "stocbio-hypercleaning", "penalty-40")["curves"]["test accuracy"]["mean"]
    np.testing.assert_allclose(np.asarray(calls.get_xdata(), float), [150, 300])
    np.testing.assert_allclose(np.asarray(calls.get_ydata(), float), accuracies[1:])
    assert len({(line.get_color(), line.get_linestyle()) for line in axes[0].get_lines()}) == 7


def test_edges_of_the_search(cpu: sources.Sources) -> None:
    said = believed.edges(cpu)
    assert said.endswith("- Of 0.0003, 0.001, 0.003, 0.01 neither the largest nor the smallest was any method's best.")
    said = believed.edges(with_grid(cpu, [3e-4, 1e-3, 3e-3]))
    assert "Of 0.0003, 0.001, 0.003 the largest step size was the best of Oracle, Val-only and ApproxGrad" in said
    assert "smallest" not in said
    assert "the smallest step size was the best of Train+Val and Penalty" in believed.edges(with_grid(cpu, [1e-3, 1e-2]))


def with_grid(inputs: sources.Sources, sizes: list[float]) -> sources.Sources:
    """The same parameters, as if the table's step sizes had been searched among others."""
    block = inputs.params["denoising"]
    plans = {**block["search"], "table": {"space": {"lower_step_size": sizes}}}
    return dataclasses.replace(inputs, params={**inputs.params, "denoising": {**block, "search": plans}})


def with_trials(inputs: sources.Sources, accuracies: dict[tuple[str, str], list[float]]) -> sources.Sources:
    """The same results, with other accuracies of the trials of some cells."""
    family = dict(inputs.cells["denoising"])
    for parts, values in accuracies.items():
        cell = family["-".join(parts)]
        by_seed = {str(seed): value for seed, value in enumerate(values)}
        family["-".join(parts)] = {**cell, "summary": {**cell["summary"], "by seed": by_seed}}
    return dataclasses.replace(inputs, cells={**inputs.cells, "denoising": family})


def test_what_to_believe_says_what_the_intervals_say(cpu: sources.Sources) -> None:
    base = [90.0, 91.0, 92.0, 93.0, 94.0]
    known = with_trials(
        cpu,
        {
            ("mnist-25", "penalty"): base,
            ("mnist-25", "oracle"): [one + 2 + 0.1 * number for number, one in enumerate(base)],
            ("mnist-25", "val-only"): [one - 2 + 0.1 * number for number, one in enumerate(base)],
            ("mnist-25", "train-val"): [one + (-1) ** number for number, one in enumerate(base)],
        },
    )
    said = believed.margins(known)
    line = next(line for line in said.splitlines() if line.startswith("- mnist-25"))
    apart = stats.ttest_1samp([-2 - 0.1 * number for number in range(5)], 0.0)
    half = apart.confidence_interval(0.95).high + 2.2
    assert line == (
        f"- mnist-25: Penalty is above Val-only (+1.80 ± {half:.2f}); not told apart from Train+Val"
        f" (-0.20 ± {1.36:.2f}); below Oracle (-2.20 ± {half:.2f})."
    )
    whole = believed.believed(cpu)
    questions = ("better than not learning", "cut budget", "wide enough", "equal comparison", "on other data", "quirks")
    for question in (*questions, "the iterate that"):
        assert question in whole
    assert "diverged" not in whole and "None" not in whole and "nan" not in whole


def test_a_change_that_left_every_trial_as_it_was_is_no_test(cpu: sources.Sources) -> None:
    base = list(cpu.cell("denoising", "quirks", "penalty")["summary"]["by seed"].values())
    known = with_trials(cpu, {("quirks", "penalty-test-power-2"): base, ("quirks", "penalty-described"): base})
    table = tables.draw(known, "quirks")
    words = dict(zip(rows.has(known, "quirks"), table.shown["accuracy"], strict=True))
    assert [name for name, word in words.items() if word == "not in play"] == ["penalty-test-power-2", "penalty-described"]
    assert " of 16 effects are told from none; were there none, 0.8 would" in table.markdown()
    said = believed.quirks(known)
    assert ": of 16 changes" in said and "same to the last bit: Penalty, the tolerance test is on norms" in said


def test_importances_that_have_not_moved_are_told(cpu: sources.Sources) -> None:
    family = dict(cpu.cells["denoising"])
    for variant, apart in (("stocbio-10", 0.019), ("bsa-10", 0.021), ("aid-fp-10", -0.01)):
        cell = family[f"stocbio-hypercleaning-{variant}"]
        means = {"mean of clean": {"mean": 0.5 + apart}, "mean of corrupted": {"mean": 0.5}, "area under ROC": {"mean": 0.9}}
        family[f"stocbio-hypercleaning-{variant}"] = {**cell, "summary": {**cell["summary"], "importances": means}}
    lines = believed.cleaning(dataclasses.replace(cpu, cells={**cpu.cells, "denoising": family})).splitlines()
    told = [line for line in lines if "hardly moved" in line]
    assert len(told) == 1 and told[0].startswith("- Hyper-cleaning as in stocBiO, stocbio-10: Penalty is ")
    assert "Of stocBiO and AID-FP the importances" in told[0]


CLEAR = [0.0, 0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    ("quarter", "words"),
    [
        (2.0, "the margin survives equal tuning"),
        (-2.0, "do not believe it of the methods"),
        (0.0, "do not believe it of"),
    ],
)
def test_what_follows_for_approxgrad_is_what_equal_tuning_says(cpu: sources.Sources, quarter: float, words: str) -> None:
    wobble = [0.1, -0.1, 0.0, 0.1, -0.1]
    tuned = {
        (name, method): [90.0 + more + one for one in CLEAR]
        for name in ("tuned", "tuned-quarter", "quirks") for method, more in (("approxgrad", 0.0), ("penalty", 2.0))
    }  # fmt: skip
    # no method is below itself as released
    tuned["quirks", "penalty"] = [80.0 + one for one in CLEAR]
    tuned["tuned-quarter", "penalty"] = [90.0 + quarter + one + shift for one, shift in zip(CLEAR, wobble, strict=True)]
    if quarter != 2.0:
        tuned["tuned", "penalty"] = [88.0 + one for one in CLEAR]
    said = rivals.rival(with_trials(cpu, tuned))
    draws = cpu.params["denoising"]["search"]["tuned-quarter"]["draws"]
    searches = (
        "(on mnist-25 with the network softmax 20 points on 2 trials; the solver's step size is that of the lower problem;"
        f" on mnist-25 with the network mnist-quarter {draws} points on 2 trials; the solver's step size was searched by"
        " itself)"
    )
    assert f"equal tuning of both step sizes and one more number {searches} Penalty is" in said
    assert words in said and said.startswith("**Penalty is better than ApproxGrad**")
    tuned["tuned", "penalty"] = [88.0 + one for one in CLEAR]
    tuned["tuned-quarter", "penalty"] = [92.0 + one for one in CLEAR]
    said = rivals.rival(with_trials(cpu, tuned))
    assert "below it (-2.00 ± 0.00); on mnist-25 with the network mnist-quarter above it (+2.00 ± 0.00)" in said
    assert "it can be better, not that it always is" in said
    tuned["quirks", "approxgrad"] = [91.0 + one for one in CLEAR]
    said = rivals.rival(with_trials(cpu, tuned))
    assert "mnist-quarter ApproxGrad tuned is below itself as released (-1.00 ± 0.00): the search missed" in said
    assert "Tuned Penalty is above ApproxGrad as released (+1.00 ± 0.00)." in said
    assert said.endswith("equal tuning shows no such margin in the comparison that is left.")


def test_approxgrad_on_cifar_is_judged_after_equal_tuning(cpu: sources.Sources, paper: sources.Sources) -> None:
    """C17, where a profile has those cells: against Train+Val of the table, trial by trial."""
    trials = {("tuned-cifar10-25", "approxgrad"): CLEAR, ("cifar10-25", "train-val"): [one - 1 for one in CLEAR]}
    trials |= {("tuned-cifar10-50", "approxgrad"): CLEAR, ("cifar10-50", "train-val"): [one + 2 for one in CLEAR]}
    known = with_trials(paper, trials)
    said = rivals.tuned_against_all(known)
    assert "is above it on cifar10-25 (+1.00 ± 0.00); below it on cifar10-50 (-2.00 ± 0.00); Train+Val has" in said
    assert said in concluded.concluded(known) and rivals.tuned_against_all(cpu) == ""
    names = rows.tuned(paper)
    assert len(names) == 8 and [one for one in tables.drawn(paper) if one in names] == names


def test_all_pairs_of_one_recipe_are_counted(cpu: sources.Sources) -> None:
    pairs = rivals.untuned(cpu)
    assert all(one.replace("approxgrad", "penalty") == base for (_, base), (_, one) in pairs.values())
    own = [name for name in pairs if name in cpu.params["denoising"]["data"]]
    assert {"longer", "lower-steps (1)", "lower-steps (50)", "quirks", "quirks (described)", "franceschi"} <= set(pairs)
    assert own and not any("final" in name or name.startswith(("tuned", "controls")) for name in pairs)
    above = {parts: [one + 1 for one in CLEAR] for parts, _ in pairs.values()}
    above |= {parts: CLEAR for _, parts in pairs.values()}
    count = len(pairs)
    assert f"Of all {count} pairs" in (said := rivals.rival(with_trials(cpu, above)))
    assert f"it lies above in {count}, below in 0, and 0 are not told apart" in said and "Not above" not in said
    below = {**above, pairs["lower-steps (1)"][0]: [one - 1 for one in CLEAR], pairs["quirks"][0]: CLEAR}
    said = rivals.rival(with_trials(cpu, below))
    assert f"above in {count - 2}, below in 1, and 1 are" in said
    assert "Not above: quirks +0.00 ± 0.00; lower-steps (1) -1.00 ± 0.00." in said
    assert "lower steps 1 to 50 (20)" in said and "epochs of pre-training 10 to 20 (100)" in said


def test_selected_iterates_are_paired(cpu: sources.Sources) -> None:
    """A trial that diverged has no partner; the rest by Student's t."""
    mine, other = [90.5, 91.75, 92.0, 95.0], [90.0, 91.0, 92.5, 95.5]
    known = with_selected(cpu, {("longer", "penalty"): [*mine, 0.0], ("longer", "train-val"): other})
    found = rows.chosen(known, ("longer", "penalty"), ("longer", "train-val"))
    wanted = stats.ttest_rel(mine, other).confidence_interval(0.95)
    assert found is not None
    np.testing.assert_allclose(
        [found.value - found.half_width, found.value + found.half_width], [wanted.low, wanted.high], rtol=1e-4
    )


@pytest.mark.parametrize(("precision", "recall", "blind"), [(0.101, 0.994, True), (0.4, 0.8, False)])
def test_importances_that_call_all_wrong_are_told(
    cpu: sources.Sources, precision: float, recall: float, blind: bool
) -> None:
    family = dict(cpu.cells["denoising"])
    cell = family["stocbio-hypercleaning-penalty-10"]
    means = {"mean of clean": 0.2, "mean of corrupted": 0.1, "precision": precision, "recall": recall, "area under ROC": 0.7}
    found = {name: {"mean": mean} for name, mean in means.items()}
    family["stocbio-hypercleaning-penalty-10"] = {**cell, "summary": {**cell["summary"], "importances": found}}
    said = believed.cleaning(dataclasses.replace(cpu, cells={**cpu.cells, "denoising": family}))
    # 0.994 * 0.1 / 0.101
    assert ("But Penalty's importances call 98% of all labels wrong" in said) == blind


@pytest.mark.parametrize("over", [1.0, -1.0])
def test_a_method_above_oracle_speaks_of_budgets(cpu: sources.Sources, over: float) -> None:
    accuracies = {("franceschi", name): [90.0 + more + one for one in CLEAR]
                  for name, more in (("penalty-same-split", over), ("oracle-same-split", 0.0))}  # fmt: skip
    said = believed.cleaning(with_trials(cpu, accuracies))
    line = next(one for one in said.splitlines() if "franceschi-50, on the split of Franceschi et al.:" in one)
    assert ("Above Oracle, which still rises at its end, no choice of labels" in line) == (over > 0)
    assert "Penalty and ApproxGrad 54 × 20 of Adam on 200, after 20 epochs of pre-training; Oracle 54 of gradient" in line


def test_efforts_are_told_of_the_parameters(cpu: sources.Sources) -> None:
    assert efforts.effort(cpu, "franceschi", "rmd") == "54 × 50 of gradient descent on 5,000, each from a new start"
    assert efforts.effort(cpu, "franceschi", "rmd-final").endswith("on 10,000, by a new network, weighted")
    assert efforts.effort(cpu, "franceschi", "penalty-final").endswith("on examples whose importance is above 0.9")
    assert efforts.said(cpu, "franceschi", ["penalty", "approxgrad"]) == ""
    assert efforts.searched(cpu, "longer-50") == (
        "the lower step size of Val-only (0.003) and Train+Val (0.003) was searched on this network at the budget of"
        " *longer*; the lower step size of Penalty (0.003) was searched on this network at the budget of *quirks*; no cell"
        " of Oracle and ApproxGrad."
    )
    params = copy.deepcopy(cpu.params)
    del params["denoising"]["search"]["longer"]
    other = dataclasses.replace(cpu, params=params)
    assert "; not searched: Oracle (0.003), Val-only (0.003) and Train+Val (0.003), where the table's search on its own" in (
        efforts.searched(other, "longer")
    )
    assert efforts.uneven(other, "longer").endswith("that of Oracle, Val-only and Train+Val was not.")
    assert efforts.uneven(cpu, "longer").startswith(" On mnist-25 the lower step size of Oracle, Val-only and Train+Val was")


def test_what_follows_for_methods_that_the_paper_leaves_out(cpu: sources.Sources) -> None:
    more = {"penalty": (0.0, 0.0), "stocbio": (1.0, -1.0), "l2rw": (-1.0, -1.0), "f2sa": (1.0, 2.0), "bome": (1.0, 0.0)}
    tuned = {
        (name, method): [90.0 + shifts[place] + one for one in CLEAR]
        for place, name in enumerate(rows.tuned(cpu)) for method, shifts in more.items()
    }  # fmt: skip
    said = rivals.others(with_trials(cpu, tuned))
    assert said.startswith("**ApproxGrad is the rival to beat**")
    first = (
        "on mnist-25 with the network softmax it is above L2RW (+1.00 ± 0.00); below stocBiO (-1.00 ± 0.00), F2SA"
        " (-1.00 ± 0.00) and BOME (-1.00 ± 0.00)"
    )
    second = (
        "on mnist-25 with the network mnist-quarter it is above stocBiO (+1.00 ± 0.00) and L2RW (+1.00 ± 0.00); not told"
        " apart from BOME (+0.00 ± 0.00); below F2SA (-2.00 ± 0.00)"
    )
    assert f"{first}; {second}. " in said
    plain = "stocBiO descends by plain gradients where the others have Adam, on"
    assert f"{plain} the same range of step sizes on mnist-25 with the network softmax. " in said
    assert f"{plain} a range of its own on mnist-25 with the network mnist-quarter. " in said
    assert said.endswith("try F2SA first; stocBiO and BOME did better in a part of the comparisons.")
    worse = {parts: [one - 3 for one in values] if parts[1] != "penalty" else values for parts, values in tuned.items()}
    assert rivals.others(with_trials(cpu, worse)).endswith(" So none of them is better throughout.")


@pytest.mark.parametrize(
    ("ends", "alone", "words"),
    [
        ((0.95, 0.99), 0.7, "does find them from nothing, and adds to what the pre-trained network gave."),
        ((0.85, 0.8), 0.7, "does find them from nothing, but at this budget it ends below what the pre-trained"),
        ((0.95, 0.8), 0.7, "does find them from nothing, but at this budget it is not shown to add"),
        ((0.85, 0.8), 0.5, "it is not shown to find them from nothing, and at this budget it ends below"),
        ((0.9, 0.9), 0.5, "it is not shown to find them from nothing, and at this budget it is not shown to add"),
    ],
)
def test_what_follows_for_finding_wrong_labels_is_held_against_the_start(
    cpu: sources.Sources, ends: tuple[float, float], alone: float, words: str
) -> None:
    family = dict(cpu.cells["denoising"])
    courses = {variant: [0.9, 0.92, end] for variant, end in zip(finding.STARTS, ends, strict=True)}
    courses |= {variant: [0.5, 0.4, alone] for variant in finding.EQUAL}
    for variant, areas in courses.items():
        curve = {"mean": areas, "sd": [0.0 if areas[0] == 0.5 else 0.01, 0.01, 0.01]}
        learned = {"iteration": [0, 20, 40], "area under ROC": curve, "precision": {"mean": [0.7, 0.5, 0.4]}}
        family[f"quirks-{variant}"] = {**family[f"quirks-{variant}"], "learned": learned}
    said = finding.weights(dataclasses.replace(cpu, cells={**cpu.cells, "denoising": family}))
    equal = f"0.500 before the first upper iteration, 0.400 after 20 and {alone:.3f} after 40"
    assert f"it goes so: Penalty {equal}; ApproxGrad {equal}." in said
    first = f"as released 0.900 before the first upper iteration and {ends[0]:.3f} after 40 (precision 0.700 and 0.400)"
    assert f"{first}; by the text 0.900 before" in said and words in said
    assert said.endswith("one that is trained as long with equal weights (-1.04 ± 0.16).")
    params = copy.deepcopy(cpu.params)
    params["denoising"]["experiments"]["controls"].remove("plain-equal-weights")
    assert finding.weights(dataclasses.replace(cpu, params=params)).endswith(
        "none was trained with equal weights, so what the importances give it is not shown."
    )


DATA = ("mnist-25", "mnist-50")


def with_selected(inputs: sources.Sources, accuracies: dict[tuple[str, str], list[float]]) -> sources.Sources:
    """The same results, with other accuracies of the selected iterates of some cells."""
    family = dict(inputs.cells["denoising"])
    for parts, values in accuracies.items():
        cell = family["-".join(parts)]
        trials = [
            {"seed": seed, "status": "finished", "selected": {"test accuracy": value}} for seed, value in enumerate(values)
        ]
        family["-".join(parts)] = {**cell, "trials": trials}
    return dataclasses.replace(inputs, cells={**inputs.cells, "denoising": family})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((1.0, 1.0), "importances are worth more than stopping in time"),
        ((-1.0, 1.0), "it depends on how many labels are wrong"),
        ((0.0, 1.0), "stopped in time it is shown on mnist-50 alone"),
        ((-1.0, 0.0), "stopped in time it is not shown, which is not to say"),
        ((-1.0, -1.0), "stopped in time do not: that one is better"),
    ],
)
def test_what_follows_for_plain_training_is_what_both_iterates_say(
    cpu: sources.Sources, more: tuple[float, float], words: str
) -> None:
    known = with_trials(cpu, {(name, "penalty"): [99.0 + one for one in CLEAR] for name in believed.LONGER})
    known = with_selected(
        known,
        {
            (name, method): [90.0 + over + one for one in CLEAR]
            for name, apart in zip(believed.LONGER, more, strict=True)
            for method, over in (("train-val", 0.0), ("penalty", apart))
        },
    )
    said = concluded.plain(known)
    # made up: 54 upper iterations, of the paper's 100 epochs of 59,000 images, 200 at once
    budgets = "; ".join(f"{name}: 54 upper iterations at T = 2, of the paper's 29,500 at T = 20" for name in DATA)
    assert words in said and f"Trained for longer ({budgets}) it does in all: mnist-25 +" in said
    assert f"on mnist-50 {believed.WORDS[int(np.sign(more[1]))]} Train+Val ({more[1]:+.2f} ± " in said


@pytest.mark.parametrize("more", [1.0, -1.0])
def test_why_penalty_is_not_above_the_clean_split_alone(cpu: sources.Sources, more: float) -> None:
    ends = {("longer", name): [90.0 + over + one for one in CLEAR] for name, over in (("penalty", more), ("val-only", 0.0))}
    known = with_selected(with_trials(cpu, ends), {parts: [91.0 - one for one in values] for parts, values in ends.items()})
    family = dict(known.cells["denoising"])
    cell = family["longer-penalty"]
    curves = {**cell["curves"], "test accuracy": {**cell["curves"]["test accuracy"], "mean": [80.0, 92.5, 91.0]}}
    summary = {**cell["summary"], "importances": {"recall": {"mean": 0.75}}}
    family["longer-penalty"] = {**cell, "curves": curves, "summary": summary}
    said = believed.budget(dataclasses.replace(known, cells={**known.cells, "denoising": family}))
    why = (
        "- mnist-25: why not above Val-only, which sees no wrong label: Penalty is at its best, 92.50%, after"
        f" {curves['iteration'][1]} upper iterations, and ends at 91.00%; 25% of the wrong labels have an importance above"
        " one half there. By the iterates that are best on the clean split it is above Val-only (+1.00 ± 0.00)."
    )
    assert (why in said) == (more < 0)


@pytest.mark.parametrize("best", ["train-val", "train-val-small-steps"])
def test_the_iterate_that_is_stopped_has_the_step_size_that_is_best_for_it(cpu: sources.Sources, best: str) -> None:
    """By the selection split, wherever on the way it is best."""
    family = dict(cpu.cells["denoising"])
    for variant in ("train-val", "train-val-small-steps"):
        cell = family[f"longer-{variant}"]
        way = {"mean": [10.0, 96.0 if variant == best else 95.0, 85.0]}
        family[f"longer-{variant}"] = {**cell, "curves": {**cell["curves"], "selection accuracy": way}}
    known = dataclasses.replace(cpu, cells={**cpu.cells, "denoising": family})
    assert rows.best_stopped(known, "longer", "train-val") == best
    ends = {("longer", name): [90.0 + more + one for one in CLEAR]
            for name, more in ((best, 0.0), ("penalty", -1.0))}  # fmt: skip
    known = with_selected(with_trials(known, {("longer", "penalty"): [99.0 + one for one in CLEAR]}), ends)
    small = " with steps of 0.001, the better ones so" if best != "train-val" else ""
    assert f"on mnist-25 below Train+Val{small} (-1.00 ± 0.00)" in concluded.plain(known)
    named = ", with smaller steps" if small else ""
    assert f"Penalty is below Train+Val{named} (-1.00 ± 0.00)." in believed.budget(known)


@pytest.mark.parametrize("oracle", [1.0, 0.0])
def test_a_budget_that_settles_nothing_is_told(cpu: sources.Sources, oracle: float) -> None:
    """Where even Oracle lies no higher than training on all labels."""
    accuracies = {("cifar10-part", name): [20.0 + more + one for one in CLEAR]
                  for name, more in (("train-val", 0.0), ("approxgrad", -1.0), ("oracle", oracle))}  # fmt: skip
    said = concluded.part(with_trials(cpu, accuracies))
    assert said.startswith("**On CIFAR-10 ApproxGrad is worse") and "it is below Train+Val (-1.00 ± 0.00)." in said
    # made up: 54 upper iterations of 0.11 s; 200 epochs of 40,000 images, 50 at once
    told = f"see {54 * 50:,} training images, with repetitions, of the paper's 8,000,000. At 0.1 s for 50 of them, a trial"
    assert (told in said) == (oracle == 0.0)
    assert (f"takes ApproxGrad {0.11 * 8e6 / 50 / 86400:.1f} days" in said) == (oracle == 0.0)


def test_what_follows_is_said_of_every_part(cpu: sources.Sources, inputs: sources.Sources) -> None:
    steps = {("lower-steps", f"penalty-{t}"): [90.0 + more + one for one in CLEAR] for t, more in ((20, 0.0), (50, 1.0))}
    said = concluded.concluded(with_trials(cpu, steps)).splitlines()
    starts = [
        "Learning imp", "Penalty is better", "ApproxGrad is the rival", "Penalty comes", "On CIFAR-10", "In softmax",
        "The importances", "Penalty's upper iteration is cheaper",
    ]  # fmt: skip
    assert [line[4:].startswith(start) for line, start in zip(said, starts, strict=False)] == [True] * 8
    assert said[-1] == (
        "- Of CIFAR-10, SVHN, the wide residual network, the Meta-Weight-Net, fours against nines, a long tail and training"
        " without noise this profile trains nothing, so of the paper's numbers there it says nothing. No network is trained"
        " in bfloat16: all are in float32."
    )
    assert "At T = 20 ApproxGrad takes 1.00 times as long" in said[7] and "in the paper's figure" in said[7]
    assert "accuracy changes (points): Penalty +1.00 ± 0.00; ApproxGrad " in said[7]
    for text in (*said, *concluded.concluded(inputs).splitlines()):
        assert text.startswith("- ") and "None" not in text and "nan" not in text


def test_a_profile_without_experiments_has_no_such_table(inputs: sources.Sources) -> None:
    less = {name: held for name, held in inputs.params["denoising"].items() if name != "experiments"}
    without = dataclasses.replace(inputs, params={**inputs.params, "denoising": less}, measured={})
    others = [*few_shot.drawn(without), *poisoned.drawn(without), *clean_label.drawn(without)]
    assert tables.drawn(without) == [*tables.DRAWN, *others] and list(drawn.drawings(without)) == []


def test_the_figures(inputs: sources.Sources) -> None:
    names = [name for name, _ in figures.drawings(inputs)]
    assert {"accuracy-against-cost", "lower-steps", "importances", "least-trusted"} <= set(names)
    with drawing.style():
        made = {name: draw() for name, draw in drawn.drawings(inputs)}
    clock, calls, paper = made["accuracy-against-cost"].axes
    methods = params()["embedded"]["experiments"]["tuned"]
    assert len(clock.get_lines()) == len(calls.get_lines()) == len(methods) and len(paper.get_lines()) == 2
    np.testing.assert_allclose(np.asarray(clock.get_lines()[0].get_xdata(), float), 0.5 + np.array([0, 27, 54]) * 0.11)
    np.testing.assert_allclose(np.asarray(calls.get_lines()[0].get_xdata(), float), [0, 150, 300])
    assert len(made["importances"].axes) == 2 * 4
    bars = made["importances"].axes[2].patches
    # at the end all clean examples are in the bin of 0.88, all corrupted in that of 0.12
    heights = [np.asarray(bar.get_data().values) for bar in bars]  # type: ignore[attr-defined]
    assert [int(np.argmax(one)) for one in heights] == [17, 2] and all(one.max() == 1 for one in heights)
    shown = [axes for axes in made["least-trusted"].axes if axes.images]
    assert len(shown) == 2 * metrics.LEAST_TRUSTED
    assert [axes.get_title() for axes in shown[:11]] == ["0, is 1"] * 10 + ["0, and is"]
    assert len(names) == len(set(names))
