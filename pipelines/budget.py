"""Under which budget, and on which data, numbers were reached: the label that stands beside every verdict.

A cell's budget is held against that of the same cell in the profile `paper`, which has the paper's settings in full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipelines import comparison, settings
from pipelines.clean_label import rows as clean_label
from pipelines.comparison import Cut
from pipelines.few_shot import tables as few_shot
from pipelines.poisoning import rows as poisoning
from pipelines.sources import Sources

STAND_IN, PART, CUT, FULL = "stand-in data", "a part of the data", "cut budget", "full budget"
TIMED, COMPUTED, NONE = "timed here", "computed", ""

BESIDE = {
    "longer": "mnist-25",
    "longer-50": "mnist-50",
    "cifar10-part": "cifar10-25",
    "tuned-quarter": "tuned",
    "tuned-softmax": "tuned",
    "digits-25": "mnist-25",
    "digits-50": "mnist-50",
}
"""Our cells of the denoising family -> the paper's beside which they stand; others stand beside those of their own name."""

PARTS_OF = {"cifar10-part": "CIFAR-10", "mini-imagenet-lite": "mini-ImageNet"}
DIGITS = {"digits": "scikit-learn's digits for MNIST"}
STAND_INS: dict[str, dict[str, str]] = {
    "synthetic": {},
    "denoising": DIGITS,
    "poisoning": DIGITS,
    "few_shot": {"glyphs": "letters drawn from fonts for Omniglot"},
    "clean_label": {
        "digits": "fours and nines of scikit-learn's digits for dog against fish",
        "mnist": "fours and nines of MNIST for dog against fish",
        "dogfish-imagenette": "fish against dogs of Imagenette for dog against fish",
    },
}
"""Family -> source of its data that is not the paper's -> what is said of it."""


class Label(NamedTuple):
    """A word, and what it means here."""

    word: str
    said: str


def label(
    inputs: Sources, cells: Sequence[tuple[str, tuple[str, ...]]], others: Sequence[str] = (), stand_in: str = ""
) -> Label:
    """Of all cells of a reading: the weakest word of any.

    Args: others: files of results that no cell trains. stand_in: what is said of data that stand in for those of the claim
    alone.
    """
    if not cells:
        if any("timings" in name for name in others):
            return Label(TIMED, f"measured on {inputs.timings['machine'].get('device', 'an unknown device')}")
        return Label(COMPUTED, "computed in float64") if others else Label(NONE, "")
    words: dict[str, list[str]] = {STAND_IN: [stand_in] * bool(stand_in), PART: [], CUT: []}
    cuts: list[Cut] = []
    for family, parts in cells:
        source = source_of(inputs, family, parts)
        if source in STAND_INS[family]:
            words[STAND_IN].append(STAND_INS[family][source])
        elif source in PARTS_OF:
            words[PART].append(f"a part of {PARTS_OF[source]}")
        cuts += cuts_of(inputs, family, parts)
    words[CUT] = comparison.said(cuts)
    said = "; ".join(dict.fromkeys(text for some in words.values() for text in some))
    for word, some in words.items():
        if some:
            return Label(word, said)
    return Label(FULL, "the paper's budget")


def is_elsewhere(inputs: Sources, family: str, parts: tuple[str, ...]) -> bool:
    """Whether a cell of the profile is trained on a part of the paper's data, or on other data."""
    if family == "synthetic" or parts[1] not in inputs.params[family]["cells"].get(parts[0], {}):
        return False
    source = source_of(inputs, family, parts)
    return source in STAND_INS[family] or source in PARTS_OF


def source_of(inputs: Sources, family: str, parts: tuple[str, ...]) -> str:
    """Where a cell's data come from; "" for the synthetic examples."""
    if family == "synthetic":
        return ""
    block = inputs.params[family]
    return str(block["prepared"][block["cells"][parts[0]][parts[1]].get("data", parts[0])]["source"])


def cuts_of(inputs: Sources, family: str, parts: tuple[str, ...]) -> list[Cut]:
    """How a cell's budget falls short of the paper's."""
    if family == "synthetic":
        return comparison.synthetic_cuts(inputs.common["synthetic"])
    block = inputs.params[family]
    cell = block["cells"][parts[0]][parts[1]]
    prepared = block["prepared"][cell.get("data", parts[0])]
    if family == "few_shot":
        found = few_shot.cuts_of(prepared, cell)
    elif family == "poisoning":
        found = poisoning.cuts(inputs, poisoning.Place(parts, cell["points"][-1]))
    elif family == "clean_label":
        found = clean_label.cuts(inputs, *parts)
    else:
        found = _of_denoising(cell, prepared, parts)
    return [cut for cut in found if not cut.what.startswith("the data are")]


def _of_denoising(cell: Mapping[str, Any], prepared: Mapping[str, Any], parts: tuple[str, ...]) -> list[Cut]:
    paper = settings.profile_params("denoising", "paper")
    group = BESIDE.get(parts[0], parts[0])
    full = paper["cells"].get(group, {}).get(parts[1])
    if full is None:
        return [Cut("of the paper's settings")]
    whole = paper["prepared"][full.get("data", group)]
    unit = "iterations" if full.get("iterations") else "epochs"  # null: as many as the epochs have
    pairs = {
        unit: (cell.get(unit) or 0, full.get(unit) or 0),
        "lower steps": (cell["settings"].get("lower_steps", 0), full["settings"].get("lower_steps", 0)),
    }
    if prepared["source"] in comparison.FULL_BUDGET and prepared.get("train_size"):
        sizes = comparison.FULL_BUDGET[whole["source"]]["training images"]
        pairs["training images"] = (prepared["train_size"], whole.get("train_size") or sizes)
    cuts = [Cut(name, have, most) for name, (have, most) in pairs.items() if have < most]
    if cell["network"] != full["network"]:
        cuts.append(Cut(f"the network {cell['network']} in the place of {full['network']}"))
    return cuts
