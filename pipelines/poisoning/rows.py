"""What tables and figures of poisoning share: which cells there are, and what was measured of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipelines import comparison, published, settings
from pipelines.comparison import Cut, Difference, Estimate, ours
from pipelines.denoising.cells import experiments
from pipelines.published import LABELS, Value
from pipelines.records import significant
from pipelines.sources import Sources
from pipelines.statistics import over_trials

FAMILY = "poisoning"
SUMMARY = ("poisoning/summary.json", "poisoning/params.yaml")
COSTS = "poisoning/costs.json"
NAMES = {"label-flipping": "Label flipping", "stocbio": "stocBiO", "f2sa": "F2SA"}
"""Methods that other families do not have."""
MEASURED = {"untargeted": "test accuracy", "targeted": "attack success"}
"""Attack -> what the paper measures of it, in percent; a stronger attack has less of the first, more of the second."""
FLIPPING = "label-flipping"
IN_FULL = {"untargeted": "converged", "targeted": "converged-targeted"}
"""Attack -> the experiment that goes through the paper's upper iterations with one seed."""


class Place(NamedTuple):
    """One number: a cell at a number of poisons."""

    parts: tuple[str, ...]
    points: int


def label(method: str) -> str:
    """A method's name as it is read."""
    return NAMES.get(method) or LABELS[method]


def settings_of(inputs: Sources, *parts: str) -> Mapping[str, Any]:
    """What params.yaml says of a cell."""
    found: Mapping[str, Any] = inputs.params[FAMILY]["cells"][parts[0]][parts[1]]
    return found


def data_of(inputs: Sources, *parts: str) -> str:
    """The prepared data set of a cell."""
    return str(settings_of(inputs, *parts).get("data", parts[0]))


def prepared(inputs: Sources, data: str) -> Mapping[str, Any]:
    """What `prepared` says of a data set, sizes filled in from its facts."""
    found = inputs.params[FAMILY]["prepared"][data]
    facts = inputs.data[FAMILY].get(data, {})
    return {**found, "sizes": facts.get("sizes") or found.get("sizes") or {"train": 1000}}


def attack_of(inputs: Sources, data: str) -> str:
    """untargeted or targeted."""
    return str(inputs.params[FAMILY]["prepared"][data]["attack"])


def in_full(inputs: Sources, data: str) -> list[Place]:
    """The cells on a data set that go through the paper's upper iterations; [] where there is none."""
    experiment = IN_FULL[attack_of(inputs, data)]
    every = [place for one in has(inputs, experiment) for place in places(inputs, experiment, one)]
    return [place for place in every if data_of(inputs, *place.parts) == data]


def percent(inputs: Sources, data: str, points: int) -> float:
    """Poisons in percent of the clean training rows."""
    return float(round(100 * points / prepared(inputs, data)["sizes"]["train"], 1))


def has(inputs: Sources, experiment: str) -> list[str]:
    """The variants of an experiment that the profile has; [] for none."""
    return experiments(inputs.params[FAMILY]).get(experiment, [])


def places(inputs: Sources, *parts: str) -> list[Place]:
    """A cell's numbers of poisons."""
    return [Place(parts, points) for points in settings_of(inputs, *parts)["points"]]


def measure_of(inputs: Sources, *parts: str) -> str:
    """What the paper measures of a cell's attack."""
    return MEASURED[attack_of(inputs, data_of(inputs, *parts))]


def strength(inputs: Sources, place: Place, classifier: str = "judge") -> Estimate:
    """What the paper measures of the attack, by one of the fresh classifiers."""
    found = inputs.cell(FAMILY, *place.parts)["summary"][f"points={place.points}"][classifier]
    return ours(found[measure_of(inputs, *place.parts)])


def clean(inputs: Sources, *parts: str) -> Estimate:
    """The same without poisons, by the judge."""
    return ours(inputs.cell(FAMILY, *parts)["summary"]["clean"]["judge"][measure_of(inputs, *parts)])


def by_seed(inputs: Sources, place: Place) -> dict[str, float]:
    """Seed -> the judge's number."""
    measure = measure_of(inputs, *place.parts)
    found = inputs.cell(FAMILY, *place.parts)["summary"][f"points={place.points}"]["by seed"]
    return {seed: one[measure] for seed, one in found.items()}


def paired(inputs: Sources, place: Place, base: Place) -> Difference | None:
    """A number less that of another cell, seed by seed, with the 95% interval by Student's t; None below two seeds."""
    mine, other = by_seed(inputs, place), by_seed(inputs, base)
    apart = over_trials([mine[seed] - other[seed] for seed in mine if seed in other])
    return None if apart["half_width"] is None else Difference(apart["mean"], apart["half_width"], "paired")


class Continued(NamedTuple):
    """One seed after the iterations of its cell (`cut`) and after the paper's (`full`), beside the s.d. over seeds."""

    data: str
    method: str
    seed: int
    points: int
    iterations: int
    iterations_in_full: int
    cut: float
    full: float
    spread: float | None

    @property
    def is_unfinished(self) -> bool:
        """Whether what is left out changes more than the spread over seeds."""
        return self.spread is not None and abs(self.full - self.cut) > self.spread


def continued(inputs: Sources) -> list[Continued]:
    """Of every seed that goes through the paper's upper iterations beside a cell that is cut; [] where none does."""
    found = []
    for data in inputs.params[FAMILY]["data"]:
        for place in in_full(inputs, data):
            base = Place((data, place.parts[-1]), place.points)
            have, whole = (settings_of(inputs, *one.parts)["iterations"] for one in (base, place))
            for seed, full in by_seed(inputs, place).items():
                cut = by_seed(inputs, base)[seed]
                spread = strength(inputs, base).sd
                found.append(Continued(data, place.parts[-1], int(seed), place.points, have, whole, cut, full, spread))
    return found


def method_of(inputs: Sources, place: Place) -> str:
    """The method of a cell, which a variant of an experiment carries as its solver."""
    name = place.parts[-1]
    return name if name in inputs.params[FAMILY]["methods"] else str(settings_of(inputs, *place.parts)["solver"])


def in_the_paper() -> Mapping[str, Any]:
    """The settings of an attack in full, the same for every method and attack: Penalty's of the profile `paper`."""
    found: Mapping[str, Any] = settings.profile_params(FAMILY, "paper")["cells"]["mnist-untargeted"]["penalty"]
    return found


def cuts(inputs: Sources, place: Place) -> list[Cut]:
    """How the judge's number falls short of the paper's; empty where it does not. The judge is trained to the minimum,
    so that epochs of the paper's own fresh classifier change nothing of it."""
    source = prepared(inputs, data_of(inputs, *place.parts))["source"]
    if source != "mnist":
        return [Cut(f"the data are {source}, which the paper does not use")]
    mine, full = settings_of(inputs, *place.parts), in_the_paper()
    if mine["iterations"] == 0:  # no attack is run: nothing is pretrained for it
        return []
    found = [
        Cut("upper iterations", mine["iterations"], full["iterations"]),
        Cut("epochs of pretraining", mine["pretrain"]["epochs"], full["pretrain"]["epochs"]),
    ]
    return [cut for cut in found if cut.have < cut.full]


def published_of(inputs: Sources, place: Place) -> Value | None:
    """The paper's number in Table 5, of as many percent."""
    return published_at(inputs, data_of(inputs, *place.parts), place.points, place.parts[-1])


def published_at(inputs: Sources, data: str, points: int, method: str) -> Value | None:
    """The same of any method, whether the profile trains it or not."""
    share = percent(inputs, data, points)
    return published.find(f"poison-{attack_of(inputs, data)}-{share:g}pct-{method.replace('-', '')}")


def verdict(inputs: Sources, place: Place, value: Value | None) -> str:
    """That of `comparison.verdict`, or that there is nothing to compare with."""
    if value is None:
        return comparison.NOT_PUBLISHED
    return comparison.verdict(strength(inputs, place), comparison.theirs(value), cuts(inputs, place))


def as_numbers(apart: Difference | None, name: str) -> dict[str, Any]:
    """Columns of a difference; None where there is none."""
    return {name: apart and significant(apart.value), f"{name} half width": apart and significant(apart.half_width)}
