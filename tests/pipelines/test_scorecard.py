"""The claims: all declared, judged on made-up records that are near the published numbers, and what changes with a
record."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up
import numpy as np
import pandas as pd
import pytest

from pipelines import budget, pages, published, settings, sources, summary
from pipelines.scorecard import card, claim, page, reasons, rule, story
from pipelines.scorecard.card import Judged
from pipelines.scorecard.declared import CLAIMS
from pipelines.scorecard.declared.attacks import BOUNDS
from pipelines.scorecard.declared.denoising import after_tuning
from pipelines.scorecard.measured import Accuracy, Distance, FewShot, FewShotAfter, IterationTime, OnTheWay, Seconds
from pipelines.scorecard.quantities import Computed, NotBuilt
from pipelines.scorecard.samples import of_curve
from pipelines.scorecard.targets import Broken, QuotedShare, published_bound
from pipelines.settings import Cell
from pipelines.sources import Sources
from pipelines.synthetic.metrics import FALLING, measure

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sources]]:
    """The inputs of made-up results by profile; reading parameters takes seconds, so once."""
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        made_up.write_params(place)
        patch.chdir(place)
        for profile in ("cpu", "embedded"):
            made_up.write_results(place, profile)
        yield {profile: sources.load(profile) for profile in ("cpu", "embedded")}


@pytest.fixture
def inputs(every: dict[str, Sources]) -> Sources:
    return every["cpu"]


def edited(inputs: Sources, family: str, cell: str, change: Callable[[Any], object]) -> Sources:
    """The inputs after a change of a cell's trials."""
    cells = dict(inputs.cells[family])
    cells[cell] = copy.deepcopy(cells[cell])
    change(cells[cell]["trials"])
    return replace(inputs, cells={**inputs.cells, family: cells})


def verdicts(inputs: Sources) -> dict[str, list[tuple[str, str]]]:
    return {
        one.claim.id: [(result.reading.name, result.verdict) for result in one.results] for one in card.judged(inputs)
    }


def of(inputs: Sources, identity: str) -> Judged:
    return next(one for one in card.judged(inputs) if one.claim.id == identity)


# what is declared


def test_every_claim_is_declared_once() -> None:
    ids = [one.id for one in CLAIMS]
    assert [f"C{number:02}" for number in range(1, 44)] == [one for one in ids if one.startswith("C")]
    assert len(ids) == len(set(ids)) and {one[0] for one in ids} == {"C", "S", "N"}
    for one in CLAIMS:
        assert one.sentence.endswith(".") and one.place and all(reading.parts for reading in one.readings)
        assert one.readings[0].name == claim.AS_PUBLISHED
        assert not one.page or one.page in pages.TITLES


def test_published_numbers_and_cells_exist() -> None:
    """A misspelt id would read as "not published", a misspelt cell as "not run"."""
    known = {}
    for profile in settings.PROFILES:
        for family in settings.FAMILIES:
            block = settings.profile_params(family, profile)["cells"]
            known |= {(family, first, second): profile for first, cells in block.items() for second in cells}
    for one in CLAIMS:
        for quantity in one.quantities:
            identity = getattr(quantity, "identity", None)
            assert identity is None or published.find(identity) is not None, (one.id, identity)
            for family, parts in quantity.cells:
                assert (family, *parts[:2]) in known, (one.id, parts)


def test_few_shot_cells_that_are_compared_have_the_same_tasks() -> None:
    """In every part: the same data set, so the same way and shots; and, where a number of iterations is said, all have as
    many and look at themselves there."""
    compared = 0
    for profile in settings.PROFILES:
        block = settings.profile_params("few_shot", profile)
        for one in CLAIMS:
            for part in (part for reading in one.readings for part in reading.parts):
                terms = [term for _, term in part.terms if isinstance(term, FewShot | FewShotAfter)]
                # cells that a profile has no settings of are not run there
                cells = [block["cells"].get(term.group, {}).get(term.variant) for term in terms]
                if not cells or None in cells:
                    continue
                data = {cell.get("data", term.group) for term, cell in zip(terms, cells, strict=True)}
                assert len(data) == 1, (profile, one.id, part.text)
                compared += len(terms) > 1
                for term, cell in zip(terms, cells, strict=True):
                    if isinstance(term, FewShotAfter):
                        every = cell["iterations"] / cell["evaluations"]
                        assert term.iteration <= cell["iterations"] and (term.iteration / every).is_integer()
    assert compared >= 20


def test_a_few_shot_accuracy_after_as_many_iterations(inputs: Sources) -> None:
    """Of the curve on meta-test there, linear between its points; a shorter run has none."""
    known = copy.deepcopy(inputs.cells["few_shot"])
    curves = known["omniglot-5way-5shot-maml"]["curves"]
    curves["iteration"], curves["test accuracy, first tasks"] = [0, 20, 100], over_one([30.0, 70.0, 90.0])
    changed = replace(inputs, cells={**inputs.cells, "few_shot": known})
    maml = [FewShotAfter("omniglot-5way-5shot", "maml", at).ours(changed) for at in (20, 60, 100, 101)]
    assert [one and one.estimate.mean for one in maml] == [70.0, 80.0, 90.0, None]
    # one trial has no spread, and none is printed
    assert [one and one.estimate.sd for one in maml] == [None] * 4
    assert [reasons.amount(one) for one in maml] == ["70.00", "80.00", "90.00", "not run"]
    two = {"mean": [10.0, 30.0], "sd": [1.0, 3.0]}
    trials = [{"status": "finished"}] * 2
    found = of_curve({"trials": trials, "curves": {"iteration": [0, 10], "a": two}}, "a", 5.0)
    assert found is not None and (found.estimate.mean, found.estimate.sd, found.estimate.n) == (20.0, 2.0, 2)
    assert FewShotAfter("fc100-5way-5shot", "maml", 60).ours(changed) is None


def over_one(values: list[float]) -> dict[str, Any]:
    """The curve of one trial."""
    return {"mean": values, "sd": [None] * len(values)}


def test_demonstrations_are_found_by_how_they_begin() -> None:
    """Each names one row of the committed results, and a row's bound is a range."""
    rows = json.loads((ROOT / "results/cpu/theory/demonstrations.json").read_text())["rows"]
    computed = [term for one in CLAIMS for term in one.quantities if type(term).__name__ == "Computed"]
    assert len(computed) >= 40
    for one in computed:
        found = [row for row in rows if row["claim"] == one.claim and row["computed"].startswith(one.said)]
        assert len(found) == 1, (one.claim, one.said, len(found))


# how they are judged


def test_near_the_published_numbers_the_claims_hold(inputs: Sources) -> None:
    found = {identity: results[0][1] for identity, results in verdicts(inputs).items()}
    assert [found[identity] for identity in ("C02", "C04", "C05", "C07")] == [rule.HOLDS] * 4
    # four of six rows are not run in this profile, so nothing can hold of all six
    assert (found["C14"], found["C17"], found["C19"]) == (rule.OPEN, rule.NOT_RUN, rule.NOT_RUN)
    assert of(inputs, "C14").first.passes_so_far
    assert of(inputs, "C14").first.label.word == budget.CUT and of(inputs, "C01").first.label.word == budget.FULL


def test_what_was_not_run_says_what_would(inputs: Sources) -> None:
    run = card.to_run(inputs, of(inputs, "C17").first)
    assert list(run.commands) == ["make repro PROFILE=paper"] and len(run.cells) == 4
    assert "of one core" in run.said
    assert {cell for _, cell, _ in run.cells} == {
        ("denoising", (data, method)) for data in ("cifar10-25", "cifar10-50") for method in ("approxgrad", "train-val")
    }
    fish = card.to_run(inputs, of(inputs, "C32").first)
    wanted = {("clean_label", ("dogfish", method)) for method in ("penalty", "feature-collision")}
    assert list(fish.commands) == ["make repro PROFILE=paper"] and {cell for _, cell, _ in fish.cells} == wanted
    missing = card.to_run(inputs, of(inputs, "S01").first)
    assert not missing.cells and "no cell measures" in missing.said


def test_a_changed_number_changes_what_depends_on_it_alone(inputs: Sources) -> None:
    before = verdicts(inputs)

    def worse(trials: Any) -> None:
        for trial in trials:
            if trial["T"] == 10:
                trial["last"]["error"] = 3.0

    after = verdicts(edited(inputs, "synthetic", "ex1-penalty-released", worse))
    changed = {identity for identity in before if before[identity] != after[identity]}
    assert changed == {"C02", "C05"}
    assert dict(after["C02"])[claim.AS_PUBLISHED] == rule.FAILS


def test_one_number_of_one_trial(inputs: Sources) -> None:
    """Of five trials one that is far off keeps a claim from holding: the spread is its own."""
    name = after_tuning(inputs, "tuned")
    assert dict(verdicts(inputs)["C14"])[name] == rule.HOLDS

    def off(trials: Any) -> None:
        trials[2]["last"]["test accuracy"] = 60.0

    found = verdicts(edited(inputs, "denoising", "tuned-penalty", off))
    assert dict(found["C14"])[name] == rule.OPEN
    # the other network is another reading
    assert dict(found["C14"])[after_tuning(inputs, "tuned-quarter")] == rule.HOLDS


@pytest.mark.parametrize(
    ("change", "said", "verdict"),
    [
        (lambda trials: trials[1].update(status="diverged"), "trials: 1 diverged", rule.OPEN),
        (lambda trials: trials[1]["last"].update({"test accuracy": None}), "trials: 1 diverged", rule.OPEN),
        (lambda trials: trials.pop(1), "trials: 1 missing", rule.OPEN),
    ],
    ids=["diverged", "no number", "missing"],
)
def test_a_lost_trial_is_seen(inputs: Sources, change: Any, said: str, verdict: str) -> None:
    found = edited(inputs, "denoising", "mnist-25-penalty", change)
    one = of(found, "C16")
    assert one.trouble == said and one.first.verdict == verdict
    assert not of(inputs, "C16").trouble
    row = card.table(found).shown.set_index("id").loc["C16"]
    assert said in row["evidence"] and said in page.card(found, one)
    parts = card.parts_table(found).numbers
    here = parts[(parts["id"] == "C16") & (parts["part"].str.contains("MNIST, 25%"))].iloc[0]
    assert here["diverged"] + here["missing"] == 1


def test_stand_ins_are_named(every: dict[str, Sources]) -> None:
    found = every["embedded"]
    one = of(found, "C14")
    assert one.first.verdict == rule.NOT_RUN
    digits = next(result for result in one.results if "digits" in result.reading.name)
    assert digits.label.word == budget.STAND_IN and "scikit-learn's digits for MNIST" in digits.label.said
    for judged in card.judged(found):
        for result in judged.results:
            terms = [term for part in result.parts if part.word != rule.NOT_RUN for _, term in part.part.terms]
            cells = [cell for term in terms for cell in term.cells]
            words = {one for cell in cells if (one := budget.source_of(found, *cell)) in budget.STAND_INS[cell[0]]}
            assert not words or result.label.word == budget.STAND_IN, judged.claim.id
            assert not words or result.reading.name != claim.AS_PUBLISHED, judged.claim.id


def test_targets_of_a_clean_label_attack_are_cases(every: dict[str, Sources]) -> None:
    """Broken within a bound, by hand; a diverged trial broke none; the same targets are compared by McNemar's test."""
    at = (0.5, False), (1.0, True), (2.0, False), (None, True)
    trials = [{"target": 7, "epsilon": e, "status": "finished", "judge": int(done)} for e, done in at]
    trials += [{"target": 8, "epsilon": e, "status": "diverged"} for e, _ in at]
    inputs = replace(every["embedded"], cells={"clean_label": {"some-penalty": {"trials": trials}}})
    for bound, share in ((0.5, 0.0), (1.0, 0.5), (2.0, 0.5), (None, 0.5)):
        found = Broken("some", "penalty", bound).ours(inputs)
        assert found is not None and found.cases == {"7": share > 0, "8": False}
        assert (found.estimate.mean, found.diverged) == (share, 1)
    assert Broken("some", "penalty", 0.25).ours(inputs) is None and Broken("some", "influence", 1.0).ours(inputs) is None
    koh = QuotedShare("cleanlabel-koh-57")
    assert koh.ours(inputs).estimate.mean == koh.theirs().estimate.mean == 0.57  # type: ignore[union-attr]
    theirs = Broken("dogfish", "penalty", published_bound(3), "fig3-eps3-penalty").theirs()
    assert theirs is not None and theirs.estimate.mean == pytest.approx(0.283, abs=2e-3)


def test_the_clean_label_claims_are_read_from_the_digits(every: dict[str, Sources]) -> None:
    one = of(every["embedded"], "C32")
    assert one.first.verdict == rule.NOT_RUN
    (digits,) = one.results[1:]
    assert digits.reading.name == "on fours and nines of digits" and digits.label.word == budget.STAND_IN
    assert "fours and nines of scikit-learn's digits for dog against fish" in digits.label.said
    assert {part.evidence.rule for part in digits.parts if part.evidence} == {"McNemar, exact"}
    listed = every["embedded"].params["clean_label"]["cells"]["digits-4-9"]["penalty"]["epsilons"]
    assert [part.part.terms[0][1].bound for part in digits.parts] == [bound for bound in listed if bound]  # type: ignore[attr-defined]
    (digits,) = of(every["embedded"], "C31").results[1:]
    assert [part.evidence.rule for part in digits.parts if part.evidence] == ["Wilson", "McNemar, exact"]


def test_a_part_of_a_data_set_is_no_row_of_the_paper(inputs: Sources) -> None:
    for one in card.judged(inputs):
        for result in one.results:
            cells = [cell for part in result.parts if part.word != rule.NOT_RUN for _, term in part.part.terms
                     for cell in term.cells]  # fmt: skip
            partly = any(budget.source_of(inputs, *cell) in budget.PARTS_OF for cell in cells)
            assert not partly or (result.label.word == budget.PART and result.reading.name != claim.AS_PUBLISHED)


@pytest.mark.parametrize(("identity", "many"), [("C14", 1), ("C15", 2), ("C17", 1)])
def test_networks_that_have_learned_nothing_are_not_judged(inputs: Sources, identity: str, many: int) -> None:
    """Where Oracle, which is told the wrong labels, is not above Train+Val, no order of the methods is a verdict."""

    def accuracies(mean: float) -> Callable[[Any], None]:
        def change(trials: Any) -> None:
            for place, one in enumerate(trials):
                one["last"]["test accuracy"] = mean + 0.1 * (place % 2)
        return change

    for oracle, word in ((30.0, rule.FAILS), (10.0, rule.OPEN)):
        found = inputs
        # each claim is the wrong way round
        means = {"oracle": oracle, "val-only": 14.0, "train-val": 15.0, "approxgrad": 20.0, "penalty": 12.0}
        for name, mean in means.items():
            found = edited(found, "denoising", f"cifar10-part-{name}", accuracies(mean))
        (one,) = [one for one in of(found, identity).results if one.reading.name == "on a part of CIFAR-10"]
        assert one.verdict == word and len(one.parts) == many
        assert (one.withheld is None) == (word == rule.FAILS) == ("not judged" not in one.evidence)
        assert {part.word for part in one.parts} == {rule.REFUTED if word == rule.FAILS else rule.OPEN}
    told = reasons.why(found, one)
    assert told.startswith("; needed: Oracle (a part of CIFAR-10) is above Train+Val (a part of CIFAR-10); here: 10.0")


def test_the_papers_own_numbers(inputs: Sources) -> None:
    verdict, note = of(inputs, "C14").paper
    assert (verdict, note) == (rule.HOLDS, "")
    # read off a figure, without spread
    assert "without spread" in of(inputs, "C29").paper[1]
    assert of(inputs, "C09").paper == ("", "")
    assert isinstance(Accuracy("mnist-25", "penalty", "denoise-mnist-25-penalty").theirs(), rule.Sample)
    assert NotBuilt("a", "b").ours(inputs) is None


# two places of one curve are compared trial by trial


def trial_of(seed: int, status: str, error: list[float | None]) -> dict[str, Any]:
    """A trial of T = 1, looked at every 4,000 upper iterations."""
    places = [4000 * place for place in range(len(error))]
    return {"seed": seed, "T": 1, "status": status, "curve": {"iteration": places, "error": error}}


def test_distances_on_the_way_are_those_of_each_trial() -> None:
    """Linear between the points of its own curve; none of a trial that diverged, and none of other cells."""
    record = {"trials": [trial_of(0, "finished", [8.0, 4.0, 0.0, 6.0]), trial_of(1, "diverged", [8.0, None, None, None])]}
    cell = Cell("synthetic", "cpu", (*FALLING, "released"), {}, {})
    assert [one["on the way"] for one in measure(cell, record)["trials"]] == [{"0": 8.0, "5000": 3.0, "10000": 3.0}, {}]
    other = measure(replace(cell, parts=("ex1", "penalty", "released")), record)
    assert [set(one) for one in other["trials"]] == [{"seed", "T", "status", "last"}] * 2


def test_a_curve_falls_trial_by_trial(inputs: Sources) -> None:
    """What trials differ in from the start is no part of the spread of their fall: by hand, and where Welch's test would not
    tell the two places apart."""
    starts, falls = np.linspace(0.0, 8.0, 20), np.tile([0.2, 0.3], 10)

    def along(trials: Any) -> None:
        for trial in trials:
            for place in range(9):
                trial["on the way"][str(5000 * place)] = 9.0 + starts[trial["seed"]] - place * falls[trial["seed"]]

    found = edited(inputs, "synthetic", "ex2-penalty-released", along)
    first, second = (OnTheWay(place).ours(found) for place in (0, 1))
    assert first is not None and second is not None and first.trials.keys() == second.trials.keys()
    evidence = rule.contrast([1.0, -1.0], [first, second])
    assert evidence is not None and (evidence.rule, evidence.trials) == ("paired t", 20)
    assert evidence.value == pytest.approx(falls.mean(), rel=1e-12)
    assert evidence.bounds(rule.ALPHA)[0] > 0.2
    blind = rule.contrast([1.0, -1.0], [replace(one, trials={}) for one in (first, second)])
    assert blind is not None and blind.rule == "Welch" and blind.bounds(rule.ALPHA)[0] < 0
    words = [part.word for part in of(found, "C03").first.parts if "upper iterations" in part.part.text]
    assert words == [rule.PASSES] * 8


# the summary follows the trials


def test_means_are_those_of_the_trials() -> None:
    trials = [
        {"seed": seed, "status": "finished", "last": {"test accuracy": 90.0 + seed}, "importances": {"recall": 0.5}}
        for seed in range(5)
    ]
    none = {"mean": 0.0, "sd": 0.0, "n": 0, "half_width": 0.0}
    block = {"last": {"test accuracy": none}, "importances": {"recall": none}, "by seed": {}, "diverged": 0}
    block["oracle calls"] = {"f": 3}
    found = summary.followed(block, trials)
    assert (found["last"]["test accuracy"]["mean"], found["last"]["test accuracy"]["n"]) == (92.0, 5)
    assert found["importances"]["recall"]["mean"] == 0.5 and found["by seed"]["4"] == 94.0
    assert found["oracle calls"] == {"f": 3}
    trials[4]["status"] = "diverged"
    found = summary.followed(block, trials)
    assert (found["last"]["test accuracy"]["mean"], found["diverged"], list(found["by seed"])) == (91.5, 1, list("0123"))


@pytest.mark.parametrize("family", settings.FAMILIES)
def test_committed_means_are_those_of_their_trials(family: str) -> None:
    cells = json.loads((ROOT / f"results/cpu/{family}/summary.json").read_text())["cells"]
    for name, cell in cells.items():
        assert summary.followed(cell["summary"], cell["trials"]) == cell["summary"], name


# the page


def test_the_page_is_whole(inputs: Sources) -> None:
    text = page.body(inputs, pages.markdown)
    assert text.count('<article class="claim') == len(CLAIMS)
    assert not re.search(r"<(script|link|iframe)\b", text) and "http" not in text
    for word, count in card.counts(card.judged(inputs)).items():
        assert f">{word} ({count})</label>" in text
        assert text.count(f'class="claim v-{page.slug(word)} ') == count
    # every button hides what is not its own
    for identity in re.findall(r'<input type="radio"[^>]* id="([^"]+)"', text):
        assert identity.endswith("-all") or f"#{identity}:checked ~ .list > .claim:not(.{identity})" in text
    anchors = set(re.findall(r'id="([^"]+)"', text))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= anchors


def test_the_story_follows_the_verdicts(inputs: Sources) -> None:
    found = card.judged(inputs)
    assert "[C02](#C02)" in story.holding(inputs, found) and "[C02](#C02)" not in story.failing(inputs, found)

    def off(trials: Any) -> None:
        for trial in trials:
            trial["last"]["error"] += 1.0

    found = card.judged(edited(inputs, "synthetic", "ex1-penalty-released", off))
    inputs = edited(inputs, "synthetic", "ex1-penalty-released", off)
    assert "[C02](#C02)" not in story.holding(inputs, found)
    here = reasons.amount(Distance("ex1", "penalty", 5).ours(inputs))
    assert f"**Refuted.** Needed: Penalty on example 1, T = 5 is below 0.05; here: {here};" in story.failing(inputs, found)
    # each claim stands once in the overview, under its verdict
    rows = [line.split(" | ") for line in story.overview(found, "x.html").splitlines()[2:]]
    for one in found:
        (row,) = [row for row in rows if row[0].removeprefix("| ") == one.claim.section]
        link = f"[{one.claim.id}](x.html#{one.claim.id})"
        cell = row[1 + rule.VERDICTS.index(one.first.verdict)]
        cut = one.first.label.word in (budget.CUT, budget.STAND_IN, budget.PART)
        assert link in cell and (link + story.CUT in cell) == cut
    # nothing is open or not run without a reason
    for line in story.open_ones(inputs, found).splitlines():
        assert re.search(r"\*\*(Passes so far:|Open\.|Not run:)\*\* \S", line), line


def test_a_remark_stands_beside_every_verdict(inputs: Sources) -> None:
    """A hurried reader is not told less of a claim that holds than of one that does not."""
    found = card.judged(inputs)
    said = "\n".join(draw(inputs, found) for draw in (story.holding, story.failing, story.open_ones))
    lines = {line[3:6]: line for line in said.splitlines() if line.startswith("- [")}
    assert len(lines) == len(CLAIMS) and any(one.claim.remark for one in found if one.first.verdict == rule.HOLDS)
    for one in found:
        assert lines[one.claim.id].endswith(one.claim.remark)


def test_the_papers_claims_are_counted_apart() -> None:
    """By place: those of other works name their source."""
    others = [one.id for one in CLAIMS if re.match(r"stocBiO slides|Poster|Note", one.place)]
    found = [one.id for one in CLAIMS if not card.Standing(one.id, rule.HOLDS, budget.FULL).is_the_papers]
    assert found == others and len(found) == 8


def test_the_counts_tell_apart_what_a_cut_budget_says(inputs: Sources) -> None:
    some = [card.Standing(*one) for one in (
        ("C01", rule.HOLDS, budget.FULL), ("C02", rule.FAILS, budget.COMPUTED), ("C03", rule.FAILS, budget.CUT),
        ("C04", rule.FAILS, budget.FULL), ("C05", rule.FAILS, budget.PART), ("C06", rule.NOT_RUN, budget.NONE),
    )]  # fmt: skip
    assert card.said_counts(some) == (
        "Of the paper's 6 claims **1 holds** (1 at full budget), **4 do not hold** (1 at full budget, 1 computed, 2 at a cut"
        " budget), 0 are undecided and 1 was not run. A verdict at a cut budget is none on the paper."
    )
    assert card.said_counts([*some, card.Standing("N01", rule.OPEN, budget.CUT)]).endswith(
        " 1 more is of other works: 1 is undecided."
    )
    # the drawn table has the same
    table = card.table(inputs)
    assert card.standings_in(table.csv()) == card.standings(card.judged(inputs))
    assert story.summary(inputs, card.judged(inputs)).startswith(card.said_counts(card.standings_in(table.csv())))


def test_a_quirk_is_told_with_what_it_was_measured_on(inputs: Sources) -> None:
    """The data, the network, the epochs and the lower steps are those of the cell; the ends are those of its interval."""
    block = copy.deepcopy(inputs.params)
    cells = block["denoising"]["cells"]["quirks"]
    for cell in cells.values():
        cell |= {"data": "mnist-50", "network": "mnist-quarter", "epochs": 7}
    cells["approxgrad-one-step"]["settings"]["lower_steps"], cells["approxgrad"]["settings"]["lower_steps"] = 1, 4
    trials = copy.deepcopy(inputs.cells)
    seeds = {"approxgrad": {"0": 90.0, "1": 91.0}, "approxgrad-one-step": {"0": 89.0, "1": 92.0}}
    seeds |= {"penalty": {"0": 90.0, "1": 91.0}, "penalty-moments-example": {"0": 90.0, "1": 91.0}}
    for name, by_seed in seeds.items():
        trials["denoising"][f"quirks-{name}"]["summary"]["by seed"] = by_seed
    changed = replace(inputs, params=block, cells=trials)
    # differences -1 and 1: s.d. sqrt(2), standard error 1, t of one degree of freedom 12.706
    where = "On MNIST (50% wrong, a quarter of the network, 7 epochs)"
    one_step = f"{where}, 1 lower step instead of 4: +0.00 (95%: from -12.71 to +12.71) points of test accuracy."
    assert f"takes 20. {one_step}" in story.unequal(changed, card.judged(inputs))
    assert f"{where}, changing it alone: no trial moves." in story.released(changed)


def parts_of(inputs: Sources, identity: str) -> list[claim.PartResult]:
    return list(of(inputs, identity).first.parts)


def test_what_a_comparison_rests_on(inputs: Sources, every: dict[str, Sources]) -> None:
    """Numbers as a reader knows them, not as the contrast is computed: by hand."""
    part = next(one for one in parts_of(inputs, "C02") if one.part.text == "Penalty on example 1, T = 5 is below 0.05")
    value = Distance("ex1", "penalty", 5).ours(inputs)
    assert value is not None and value.estimate.mean is not None and part.evidence is not None
    ends = [one + 0.05 for one in part.evidence.bounds(rule.ALPHA)]
    assert reasons.outcome(part) == f"{value.estimate.mean:.3g}, 90% interval {ends[0]:.3g} to {ends[1]:.3g}"
    # of two the one that is named first, less the other
    part = next(one for one in parts_of(inputs, "C24") if "Label flipping" in one.part.text)
    first, second = (term.ours(inputs) for _, term in reversed(part.part.terms))
    assert first is not None and second is not None
    apart = (first.estimate.mean or 0.0) - (second.estimate.mean or 0.0)
    assert reasons.outcome(part).startswith(f"difference {apart:+.2f}, 90% interval ")
    assert f"here: {reasons.amount(first)} and {reasons.amount(second)} (" in reasons.because(inputs, part)
    # so many times: the ratio
    part = parts_of(inputs, "C27")[0]
    samples = [term.ours(inputs) for _, term in part.part.terms]
    ratio = samples[0].estimate.mean / samples[1].estimate.mean  # type: ignore[union-attr, operator]
    assert f"({ratio:.2f} times), of 3 trials, where a verdict takes {rule.LEAST}" in reasons.because(inputs, part)
    # shares: the cases that tell two apart, so many of how many
    digits = of(every["embedded"], "C31").results[1]
    shares = {one.evidence.rule: one for one in digits.parts if one.evidence}
    assert re.search(r"here: \d+ of \d+ ", reasons.because(every["embedded"], shares["Wilson"]))
    assert "of the" in reasons.outcome(shares["McNemar, exact"]) and "cases that tell the two apart" in reasons.because(
        every["embedded"], shares["McNemar, exact"]
    )


def test_what_is_open_stands_beside_what_is_refuted(inputs: Sources) -> None:
    """C04: ApproxGrad arrives on example 3, and one trial of Penalty on example 4 is far off."""

    def arrives(trials: Any) -> None:
        for trial in trials:
            trial["last"]["error"] = 1e-3 * (1 + trial["seed"])

    def off(trials: Any) -> None:
        for trial in trials:
            if trial["T"] == 10 and trial["seed"] == 0:
                trial["last"]["error"] = 16.0

    found = edited(edited(inputs, "synthetic", "ex3-approxgrad-released", arrives), "synthetic", "ex4-penalty-released", off)
    first = of(found, "C04").first
    assert [part.word for part in first.deciding] == [rule.REFUTED, rule.OPEN]
    said = reasons.decided(found, first)
    here = reasons.amount(Distance("ex4", "penalty", 10).ours(found))
    assert said.startswith("needed: ApproxGrad on example 3, T = 10 is above 0.2; here: ")
    assert said.endswith(f"; and undecided: Penalty on example 4, T = 10 is below 0.2 (here: {here})")
    # those that pass are shown where nothing else is there
    held = of(inputs, "C04").first
    assert len(held.deciding) == len(held.parts) == held.count(rule.PASSES)


def test_many_comparisons_of_a_word_are_counted(inputs: Sources) -> None:
    """The first in full, two more in brief, the others as a number."""

    def worse(trials: Any) -> None:
        for trial in trials:
            trial["last"]["error"] = 2.9 + 0.001 * trial["seed"]

    found = edited(inputs, "synthetic", "ex1-gd-released", worse)
    found = edited(found, "synthetic", "ex1-rmd-released", worse)
    first = of(found, "C01").first
    assert [part.word for part in first.deciding] == [rule.REFUTED] * 4
    told = [f"{part.part.text} (here: {reasons.amount(part.part.terms[0][1].ours(found))})" for part in first.deciding[1:3]]
    wanted = f"; and also refuted: {told[0]}, and {told[1]}, and 1 more of 4 comparisons"
    assert reasons.decided(found, first).endswith(wanted)


def test_a_reading_names_its_own_stand_in(inputs: Sources) -> None:
    """Omniglot is the paper's own data elsewhere; for the slides' claim it stands in."""
    (omniglot,) = [one for one in of(inputs, "C41").results if one.reading.name == "on Omniglot"]
    assert omniglot.label.word == budget.STAND_IN
    assert omniglot.label.said.startswith("Omniglot for mini-ImageNet and FC100; ")
    assert of(inputs, "C22").first.label.word == budget.CUT


def test_readings_name_the_rows_they_rest_on() -> None:
    """A reading of one or two rows of the table does not pass for all six."""
    longer = {one.id: [reading for reading in one.readings if "longer" in reading.name] for one in CLAIMS}
    names = {identity: [(reading.name, len(reading.parts)) for reading in some] for identity, some in longer.items() if some}
    quarter = "longer, with a quarter of the network"
    assert names == {
        "C14": [(f"MNIST 25% alone, {quarter}", 1)],
        "C15": [(f"MNIST 25% and 50% alone, {quarter}", 4)],
        "C16": [(f"MNIST 25% alone, {quarter}", 1)],
        "C18": [(f"MNIST 25%, {quarter}", 2), (f"MNIST 50%, {quarter}", 2)],
    }


@pytest.mark.parametrize("profile", ["cpu", "embedded"])
def test_every_bound_of_a_clean_label_cell_is_compared(profile: str) -> None:
    cells = settings.profile_params("clean_label", profile)["cells"]
    listed = [data for data in BOUNDS if data in cells]
    assert listed
    for data in listed:
        shared = [{one for one in cells[data][method]["epsilons"] if one} for method in ("penalty", "feature-collision")]
        assert set(BOUNDS[data]) == set.intersection(*shared)


def test_names_are_whole(every: dict[str, Sources], monkeypatch: pytest.MonkeyPatch) -> None:
    """No raw name of a cell, no letter in code, and no row that speaks of the row before it."""
    monkeypatch.chdir(ROOT)
    inputs = sources.load("cpu")
    for one in CLAIMS:
        for quantity in one.quantities:
            assert not re.search(r"\d-?way-\d|dogfish|meta-learners\)|selection loss", quantity.name), quantity.name
            if isinstance(quantity, Computed):
                said = quantity.needed(inputs)
                assert not re.search(r"the same (without|over|$)|the same:|grad_|gamma| ± ", said), said
        for part in (part for reading in one.readings for part in reading.parts):
            assert not re.search(r"at most 0 (above|below)| ± ", part.text), part.text


def test_seconds_have_their_unit(inputs: Sources) -> None:
    """Ours and the published ones, of a synthetic example and of an upper iteration."""
    upper = IterationTime("poisoning", "mnist-untargeted", "penalty", "fig5c-time-T20-penalty")
    for one in (Seconds("ex1", "penalty", 10), upper):
        for sample in (one.ours(inputs), one.theirs()):
            assert sample is not None and re.fullmatch(r"[\d.]+( ± [\d.]+)? s", reasons.amount(sample))


def test_what_is_computed_is_told_with_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    inputs = sources.load("cpu")
    for part in parts_of(inputs, "C38"):
        rows = inputs.theory["demonstrations"]["rows"]
        (row,) = [one for one in rows if one["claim"] == "C38" and one["computed"].startswith(part.part.text)]
        said = f"needed: {row['computed']}: {row['bound']}; here: {row['number']:.3g}"
        assert reasons.because(inputs, part) == said


def test_the_tables_say_the_same_as_the_page(inputs: Sources) -> None:
    table = card.table(inputs).numbers.set_index("id")
    assert list(table.index) == [one.id for one in CLAIMS]
    parts = card.parts_table(inputs).numbers
    first = parts[parts["reading"] == claim.AS_PUBLISHED]
    for identity, some in first.groupby("id"):
        words = list(some["word"])
        wanted = table["verdict"][identity]
        assert (wanted == rule.NOT_RUN) == (set(words) == {rule.NOT_RUN})
        assert (wanted == rule.FAILS) == (rule.REFUTED in words)
        assert (wanted == rule.HOLDS) == (set(words) == {rule.PASSES})
    inside = parts[parts["word"] == rule.PASSES]
    above, below = (pd.to_numeric(inside[name]) for name in ("above", "below"))
    assert ((inside["lower bound"].astype(float) > above) | above.isna()).all()
    assert ((inside["upper bound"].astype(float) < below) | below.isna()).all()


def test_a_cell_whose_time_is_taken_is_named_by_its_own_family() -> None:
    """Three families have cells of one name; the few-shot ones are not MNIST's."""
    names = {family: IterationTime(family, "lower-steps", "penalty-20").name for family in ("denoising", "few_shot")}
    assert names == {
        "denoising": "the time of an upper iteration of Penalty, T = 20 (MNIST, T varied)",
        "few_shot": "the time of an upper iteration of Penalty, T = 20 (few-shot learning, T varied)",
    }
    attack = IterationTime("poisoning", "mnist-untargeted", "approxgrad")
    assert attack.name == "the time of an upper iteration of ApproxGrad (untargeted attack)"
