"""C14 to C20: data denoising (Section 3.2, supplement D.1)."""

from __future__ import annotations

from functools import partial

from pipelines.scorecard.claim import AS_PUBLISHED, Claim, Part, Reading, above, alike, below, near, not_above, over
from pipelines.scorecard.measured import Accuracy, AtTheEnd
from pipelines.scorecard.quantities import Quoted

SECTION = "Data denoising"
ROWS = ("mnist-25", "mnist-50", "cifar10-25", "cifar10-50", "svhn-25", "svhn-50")
DIGITS = ("digits-25", "digits-50")
GAP = 5.0
"""Penalty is close to Oracle within so many points: the largest published gap is 4.6."""
STAND_IN = "on digits in the place of MNIST"
PART_OF = "on a part of CIFAR-10"
QUARTER = "a quarter of the network"
ON_25 = "MNIST 25% alone"
LONGER = f"longer, with {QUARTER}"
TUNED = {
    "tuned": "25% alone, a small model (MNIST: softmax regression), after equal tuning",
    "tuned-quarter": f"{ON_25}, {QUARTER}, after equal tuning",
}
"""Experiment -> the name of a reading. The table's six rows are of convolutional networks, never of softmax regression."""
SMALL = "franceschi"
SPLITS = ("train", "validation")
TABLE = "Section 3.2, Table 3 (published: 2)"


def row(data: str, method: str) -> Accuracy:
    """A cell of the paper's table, with its published number (of Val-only on MNIST the newer one)."""
    if data in DIGITS:
        return Accuracy(data, method)
    newer = "-acml" if data.startswith("mnist") and method == "val-only" else ""
    return Accuracy(data, method, f"denoise-{data}-{method.replace('train-val', 'trainval')}{newer}")


def _of_part(*parts: tuple[str, str]) -> Reading:
    """On the part of CIFAR-10: (the method that must lie above, another), judged only where Oracle shows that a network
    learns there."""
    cell = partial(Accuracy, "cifar10-part")
    learns = above(cell("oracle"), cell("train-val"))
    return Reading(PART_OF, tuple(above(cell(first), cell(second)) for first, second in parts), only_if=learns)


def _over(*others: str, rows: tuple[str, ...] = ROWS) -> tuple[Part, ...]:
    return tuple(above(row(data, "penalty"), row(data, other)) for other in others for data in rows)


def _close(*rows: str) -> tuple[Part, ...]:
    return tuple(not_above(row(data, "oracle"), row(data, "penalty"), GAP) for data in rows)


def _longer(*others: str) -> tuple[Part, ...]:
    pairs = [(group, one) for one in others for group in ("longer", "longer-50")]
    # half the labels wrong: the longer run has no ApproxGrad and no Oracle
    known = [(group, one) for group, one in pairs if group == "longer" or one in ("val-only", "train-val")]
    return tuple(above(Accuracy(group, "penalty"), Accuracy(group, one)) for group, one in known)


def _small(*names: str) -> tuple[Part, ...]:
    cells = [Accuracy(SMALL, one) for one in names]
    return tuple(above(first, second) for first, second in zip(cells, cells[1:], strict=False))


def _softmax() -> tuple[Part, ...]:
    """The published order: RMD's number is of another split, so it is quoted."""
    identity = "softmax-mnist-50-{}".format
    oracle, penalty, val, both = (
        Accuracy(SMALL, name, identity(called)) for name, called in (
            ("oracle", "oracle"), ("penalty-final", "penalty"), ("val-only", "val-only"), ("train-val", "trainval"),
        )
    )  # fmt: skip
    rmd = Quoted(identity("rmd"))
    return above(oracle, penalty), above(penalty, val), above(val, rmd), below(both, rmd)


def _settled(right: float, group: str = "mnist-25", *published: str) -> tuple[Part, ...]:
    """Where the curves of Penalty end, with so many percent of right labels; `published`: the splits of Figure 4(a)."""
    train, validation = (
        AtTheEnd(group, "penalty", f"{split} accuracy", split if split in published else "") for split in SPLITS
    )
    return near(train, right, 2.0), over(validation, 99.0)


CLAIMS = (
    Claim(
        "C14", "Penalty is above ApproxGrad in all six rows of the denoising table.", TABLE,
        SECTION,
        (
            Reading(AS_PUBLISHED, _over("approxgrad")),
            Reading(f"{ON_25}, {LONGER}", _longer("approxgrad")),
            *(Reading(said, (above(Accuracy(one, "penalty"), Accuracy(one, "approxgrad")),)) for one, said in TUNED.items()),
            _of_part(("penalty", "approxgrad")),
            Reading(STAND_IN, _over("approxgrad", rows=DIGITS)),
        ),
        ("denoising", "tuned", "tuned-quarter", "longer"), ("accuracies", "learning-curves"), "denoising",
        "In the released code ApproxGrad's lower step sizes are 10 to 100 times smaller than Penalty's, and were not tuned.",
    ),
    Claim(
        "C15", "Penalty is above Val-only and above Train+Val in all six rows.", TABLE, SECTION,
        (
            Reading(AS_PUBLISHED, _over("val-only", "train-val")),
            Reading(f"MNIST 25% and 50% alone, {LONGER}", _longer("val-only", "train-val")),
            _of_part(("penalty", "val-only"), ("penalty", "train-val")),
            Reading(STAND_IN, _over("val-only", "train-val", rows=DIGITS)),
        ),
        ("denoising", "longer", "longer-50"), ("accuracies", "learning-curves"), "denoising",
        "Trained for a short time, Train+Val has not yet learnt the wrong labels by heart. The paper's versions print two"
        " numbers of Val-only on MNIST, 90.5 and 94.6; the newer one is judged.",
    ),
    Claim(
        "C16", f"Penalty is within {GAP:g} points of Oracle in all six rows.", TABLE, SECTION,
        (
            Reading(AS_PUBLISHED, _close(*ROWS)),
            Reading(f"{ON_25}, {LONGER}", (not_above(Accuracy("longer", "oracle"), Accuracy("longer", "penalty"), GAP),)),
            Reading(STAND_IN, _close(*DIGITS)),
        ),
        ("denoising", "longer"), ("accuracies",), "denoising",
        "The margin is ours: the paper says close, and its largest gap is 4.6.",
    ),
    Claim(
        "C17", "CIFAR-10: ApproxGrad is worse than Train+Val.", TABLE, SECTION,
        (
            Reading(AS_PUBLISHED, tuple(
                below(row(data, "approxgrad"), row(data, "train-val")) for data in ("cifar10-25", "cifar10-50")
            )),
            _of_part(("train-val", "approxgrad")),
        ),
        ("denoising", "cifar10-part"), ("accuracies",), "denoising",
        "The released script of ApproxGrad on CIFAR-10 takes one lower step where Penalty's takes 20.",
    ),
    Claim(
        "C18", "Under Penalty the train accuracy settles at the share of right labels (within 2 points), validation at"
        " 99% and"
        " more.", "Section 3.2, Figure 4(a)", SECTION,
        (
            Reading(AS_PUBLISHED, _settled(75.0, "mnist-25", *SPLITS)),
            Reading(f"MNIST 25%, {LONGER}", _settled(75.0, "longer")),
            Reading(f"MNIST 50%, {LONGER}", _settled(50.0, "longer-50")),
        ),
        ("denoising", "longer", "longer-50"), ("learning-curves",), "denoising",
        "What settles is seen at the end of a curve: a run that is cut may end before it has settled.",
    ),
    Claim(
        "C19", "WRN-28-10, 36% of labels wrong, T = 1: Penalty is comparable to L2RW (within 1 point) and below MW-Net.",
        "Supplement D.1.2", SECTION,
        (Reading(AS_PUBLISHED, (
            alike(Accuracy("wrn", "penalty", "wrn-cifar10-36-penalty"), Accuracy("wrn", "l2rw", "wrn-cifar10-36-l2rw"), 1.0),
            below(Accuracy("wrn", "penalty", "wrn-cifar10-36-penalty"),
                  Accuracy("wrn", "meta-weight-net", "wrn-cifar10-36-mwnet")),
        )),),
        ("wrn",), (), "denoising",
        "The earlier version says higher than L2RW, the published one comparable; the margin is ours.",
    ),
    Claim(
        "C20", "Softmax regression, half the labels wrong: Oracle > Penalty > Val-only > RMD > Train+Val.",
        "Supplement D.1.1", SECTION,
        (
            Reading(AS_PUBLISHED, _softmax()),
            Reading("on one split for all", _small(
                "oracle-same-split", "penalty-same-split-final", "val-only-same-split", "rmd-final", "train-val-same-split",
            )),
        ),
        ("franceschi",), (), "denoising",
        "The published number of RMD is of its authors' own split and radius, which is not stated; as published it is"
        " quoted.",
    ),
)  # fmt: skip
