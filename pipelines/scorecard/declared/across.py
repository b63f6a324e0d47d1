"""C27 to C30 and C33: time and settings, of which the paper speaks in several of its experiments at once."""

from __future__ import annotations

import itertools

from pipelines.distances import MAIN_PRESET
from pipelines.scorecard.claim import AS_PUBLISHED, Claim, Part, Reading, above, alike, not_above, times
from pipelines.scorecard.declared.attacks import at_most_poisons
from pipelines.scorecard.measured import Accuracy, AtEqualTime, Distance, IterationTime
from pipelines.scorecard.quantities import NotBuilt

SECTION = "Time and settings"
METHODS = ("penalty", "approxgrad")
EQUAL = ("approxgrad-20", "penalty-20")
RATIO = 1.5
"""ApproxGrad's time over Penalty's: published about 1.6 to 1.7, in words about two."""
SMALL_GAIN = 0.5
TIMED = "accuracy on mini-ImageNet against wall clock"
VARIANTS = [f"{one}{nu}" for one in ("lambda0", "lambda1e-4", "lambda1e-2", "lambda1") for nu in ("-nu", "")]


def _slower(family: str, group: str, figure: str) -> Part:
    penalty, rival = (IterationTime(family, group, f"{m}-20", f"{figure}-time-T20-{m}") for m in METHODS)
    return times(rival, penalty, RATIO)


def _of_poisons() -> Part:
    penalty, rival = (IterationTime("poisoning", "mnist-untargeted", m, f"fig5c-time-T20-{m}") for m in METHODS)
    return times(rival, penalty, RATIO)


def _gain(method: str) -> Part:
    more, less = (Accuracy("lower-steps", f"{method}-{t}", f"fig5a-acc-T{t}-{method}") for t in (50, 20))
    return not_above(more, less, SMALL_GAIN)


def _gain_of_poisons(method: str) -> Part:
    more = at_most_poisons("lower-steps", f"{method}-50", f"fig5c-acc-T50-{method}")
    # a stronger attack leaves a lower accuracy
    return not_above(at_most_poisons("mnist-untargeted", method, f"fig5c-acc-T20-{method}"), more, SMALL_GAIN)


def _alike(preset: str) -> tuple[Part, ...]:
    first, *rest = VARIANTS
    return tuple(
        alike(Distance("ablation", one, t, preset), Distance("ablation", first, t, preset), 0.05)
        for t, one in itertools.product((5, 10), rest)
    )


LAMBDAS = tuple(
    alike(at_most_poisons("ablation", f"lambda0-{one}", f"abl-lambda0-{one}"),
          at_most_poisons("mnist-untargeted", "penalty", "abl-lambda0-100"), 1.5)
    for one in ("0", "1", "10")
)  # fmt: skip
ON_MNIST = above(
    *(AtEqualTime("denoising", "lower-steps", one, EQUAL, "test accuracy", at=200.0) for one in reversed(EQUAL))
)


def _on_mini(split: str, seconds: str, *identities: str | None) -> Part:
    first, second = identities or (None, None)
    name = f"{split} accuracy on mini-ImageNet after {seconds} s"
    return above(NotBuilt(f"Penalty's {name}", TIMED, first), NotBuilt(f"ApproxGrad's {name}", TIMED, second))


CLAIMS = (
    Claim(
        "C27", f"At T = 20 an upper iteration of ApproxGrad takes more than {RATIO:g} times that of Penalty.",
        "Supplement, Figure 5", SECTION,
        (
            Reading(AS_PUBLISHED, (
                _slower("denoising", "lower-steps", "fig5a"), _slower("few_shot", "lower-steps", "fig5b"), _of_poisons(),
            )),
            Reading("MNIST alone", (_slower("denoising", "lower-steps", "fig5a"),)),
            Reading("poisoning alone", (_of_poisons(),)),
        ),
        ("lower-steps", "poisoning-lower-steps", "few-shot-further"), ("lower-steps", "figure-5b", "figure-5c"), "denoising",
        "The figure has 1.60 to 1.71; the text says about twice, an earlier version almost half the time for as good a"
        " result.",
    ),
    Claim(
        "C28", f"More than T = 20 lower steps gain less than {SMALL_GAIN:g} point, on MNIST and in poisoning.",
        "Supplement, Figure 5", SECTION,
        (
            Reading(AS_PUBLISHED, (*map(_gain, METHODS), *map(_gain_of_poisons, METHODS))),
            Reading("MNIST alone", tuple(map(_gain, METHODS))),
            Reading("poisoning alone", tuple(map(_gain_of_poisons, METHODS))),
        ),
        ("lower-steps", "poisoning-lower-steps"), ("lower-steps", "figure-5c"), "denoising",
        "The margin is ours: the published gains are at most 0.1 and 0.5 point. Of a method the step sizes are the same at"
        " every T; where they were chosen at one T, in a cut profile at a small one, the others are at a disadvantage. In"
        " the profile cpu poisoning is cut, Penalty at T = 20 before it has converged (the table poisoning-converged): what"
        " T = 50 gains there is also what iterations left out would have.",
    ),
    Claim(
        "C29", "Penalty reaches a given accuracy earlier: at equal wall clock it is above ApproxGrad, on MNIST and on"
        " mini-ImageNet.", "Section 3.2 and 3.3, Figure 4", SECTION,
        (Reading(AS_PUBLISHED, (ON_MNIST, _on_mini("meta-test", "4000"))), Reading("MNIST alone", (ON_MNIST,))),
        ("lower-steps",), ("lower-steps", "accuracy-against-cost"), "denoising",
        "On MNIST at T = 20, when the faster of the two is done; of the published curves, at 200 seconds. The figure of"
        " accuracy against cost is of other cells, those after equal tuning, which may have another order: at equal time"
        " the verdict is judged on the cells of the figure of lower steps.",
    ),
    Claim(
        "C30", "Mini-ImageNet after 9,000 s: Penalty is above ApproxGrad on meta-test and on meta-train classes.",
        "Section 3.3, Figure 4(b)", SECTION,
        (Reading(AS_PUBLISHED, tuple(
            _on_mini(split, "9000", *(f"fig4b-{split}-9000s-{m}" for m in METHODS)) for split in ("meta-test", "meta-train")
        )),),
        ("few-shot",), (), "few_shot", "Mini-ImageNet has to be fetched by hand; no profile times it yet.",
    ),
    Claim(
        "C33", "λ₀ hardly matters: on example 1 (within 0.05, with the multiplier and without), and in poisoning (within 1.5"
        " points).", "Supplement, Figure 7 and Table 6", SECTION,
        (
            Reading(AS_PUBLISHED, (*_alike(MAIN_PRESET), *LAMBDAS)),
            Reading("example 1 alone", _alike(MAIN_PRESET)),
            Reading("example 1 alone, by the text's rules", _alike("described")),
            Reading("poisoning alone", LAMBDAS),
        ),
        ("figure-7", "poisoning-ablation"), ("figure-7", "figure-7-log"), "synthetic",
        "The margins are ours; the published accuracies lie within 0.6 point.",
    ),
)  # fmt: skip
