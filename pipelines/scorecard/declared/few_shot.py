"""C21 to C23: few-shot learning (Section 3.3)."""

from __future__ import annotations

from pipelines.scorecard.claim import AS_PUBLISHED, Claim, Part, Reading, above, alike, below, not_worse
from pipelines.scorecard.measured import FewShot
from pipelines.scorecard.quantities import Quoted

SECTION = "Few-shot learning"
MINI = {"5w1s": "mini-imagenet-5way-1shot", "5w5s": "mini-imagenet-5way-5shot"}
OMNIGLOT = {"5w1s": "omniglot-5way-1shot", "5w5s": "omniglot-5way-5shot",
            "20w1s": "omniglot-20way-1shot", "20w5s": "omniglot-20way-5shot"}  # fmt: skip
LITE, GLYPHS = "mini-imagenet-lite-5way-5shot", ("glyphs-5way-1shot", "glyphs-5way-5shot")
TABLE = "Section 3.3, Table 4 (published: 3)"


def mini(setting: str, method: str) -> FewShot:
    """A cell on mini-ImageNet, with its published number."""
    return FewShot(MINI[setting], method, f"fewshot-mini-{setting}-{method}")


def omniglot(setting: str, method: str) -> FewShot:
    """A cell on Omniglot, with its published number."""
    return FewShot(OMNIGLOT[setting], method, f"fewshot-omni-{setting}-{method}")


def _quoted(setting: str, method: str, data: str = "mini") -> Quoted:
    return Quoted(f"fewshot-{data}-{setting}-{method}")


def _alike() -> tuple[Part, ...]:
    near = tuple(alike(omniglot(one, "penalty"), omniglot(one, "approxgrad"), 1.0) for one in OMNIGLOT)
    return near + tuple(not_worse(omniglot(one, "penalty"), _quoted(one, "rmd", "omni"), 1.5) for one in OMNIGLOT)


def _others() -> tuple[Part, ...]:
    return (
        *(below(mini(one, "penalty"), _quoted(one, "snail")) for one in MINI),
        *(not_worse(mini(one, "penalty"), mini(one, "maml"), 0.0) for one in MINI),
        not_worse(mini("5w1s", "penalty"), _quoted("5w1s", "imaml"), 0.0),
        *(not_worse(mini(one, "penalty"), _quoted(one, "relationnet"), 0.0) for one in MINI),
        above(mini("5w1s", "penalty"), mini("5w1s", "protonet")),
        below(mini("5w5s", "penalty"), mini("5w5s", "protonet")),
    )


CLAIMS = (
    Claim(
        "C21", "Mini-ImageNet: Penalty is above ApproxGrad and above RMD, 1-shot and 5-shot.", TABLE, SECTION,
        (
            Reading(AS_PUBLISHED, (
                *(above(mini(one, "penalty"), mini(one, "approxgrad")) for one in MINI),
                *(above(mini(one, "penalty"), _quoted(one, "rmd")) for one in MINI),
            )),
            Reading("against ApproxGrad, on a part of mini-ImageNet", (
                above(FewShot(LITE, "penalty"), FewShot(LITE, "approxgrad")),
            )),
        ),
        ("few-shot",), ("few-shot-curves",), "few_shot",
        "The released ApproxGrad moves the encoder by the implicit term of one task of a meta-batch; ours takes all. RMD's"
        " numbers are quoted.",
    ),
    Claim(
        "C22", "Omniglot: Penalty is within 1 point of ApproxGrad, and at most 1.5 below RMD, in all four settings.",
        TABLE, SECTION,
        (
            Reading(AS_PUBLISHED, _alike()),
            Reading("against ApproxGrad, on drawn letters in the place of Omniglot", tuple(
                alike(FewShot(one, "penalty"), FewShot(one, "approxgrad"), 1.0) for one in GLYPHS
            )),
        ),
        ("few-shot",), ("few-shot-curves",), "few_shot",
        "The margin against ApproxGrad is ours: the paper says comparable, its largest gap is 0.63. RMD's numbers are"
        " quoted.",
    ),
    Claim(
        "C23", "Mini-ImageNet: Penalty is below SNAIL, at least as good as MAML, iMAML and relation networks, above"
        " prototypical"
        " networks at 1-shot and below them at 5-shot.", TABLE, SECTION,
        (Reading(AS_PUBLISHED, _others()),),
        ("few-shot",), ("few-shot-curves",), "few_shot",
        "The numbers of SNAIL, iMAML and relation networks are quoted, as in the paper; networks differ between them.",
    ),
)  # fmt: skip
