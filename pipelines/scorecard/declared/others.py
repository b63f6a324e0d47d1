"""C39 to C42, S01, S02 and N01: stocBiO's slides, the Meta-Weight-Net's poster and the note on reweighting."""

from __future__ import annotations

from pipelines.denoising.rows import label as denoising_label
from pipelines.scorecard.claim import AS_PUBLISHED, Claim, Part, Reading, above, below, not_above, not_worse, times
from pipelines.scorecard.measured import Accuracy, AtEqualTime, FewShot, FewShotAfter, IterationTime
from pipelines.scorecard.quantities import NotBuilt, Quantity

SECTION = "Other works"
CLEANING = "stocbio-hypercleaning"
RIVALS = ("aid-fp", "aid-cg", "rmd", "bsa", "ttsa")
SHARES = (10, 40)
POSTER = {"meta-weight-net": "mw-net", "l2rw": "l2rw"}
"""Method -> how the poster's numbers name it."""
LENGTHS = ("200", "100", "50", "20", "10", "1")
NEWS = {"aid-fp": "AID-FP", "aid-cg": "AID-CG", "hoag": "HOAG", "reverse": "reverse mode"}


CHANCE = 20
AS_MANY = 60
"""Upper iterations of the experiment with further meta-learners, after which all of C41 are compared."""


def _learner(variant: str) -> FewShotAfter:
    return FewShotAfter(LEARNERS, variant, AS_MANY)


def _cleaning(method: str, share: int, rival: str) -> AtEqualTime:
    both = (f"stocbio-{share}", f"{rival}-{share}")
    called = {"rmd": "reverse"}.get(method, method)
    return AtEqualTime("denoising", CLEANING, f"{method}-{share}", both, "selection loss", f"stocbio-mnist-{called}")


def _news(method: str, identity: str) -> NotBuilt:
    return NotBuilt(f"test loss of {method} on 20 Newsgroups", "the test loss on 20 Newsgroups", identity)


def _lower_loss() -> tuple[Part, ...]:
    mnist = [below(_cleaning("stocbio", p, r), _cleaning(r, p, r)) for p in SHARES for r in RIVALS]
    own = _news("stocBiO", "stocbio-news-60s-stocbio-1000")
    return (*mnist, *(below(own, _news(name, f"stocbio-news-60s-{key}")) for key, name in NEWS.items()))


def _batch(size: str) -> NotBuilt:
    time = "55s" if size == "100" else "60s"
    return _news(f"stocBiO, batch {size}", f"stocbio-newsbatch-{time}-stocbio-{size}")


def _tail(method: str, length: str) -> Accuracy:
    return Accuracy("long-tail", f"{method}-{length}", f"mwnet-lt-cifar10-{length}-{POSTER[method]}")


def _drawn_anew(method: str, percent: int) -> Quantity:
    """On CIFAR-10 with so many percent of labels drawn anew; the cells have 40."""
    identity = f"mwnet-wrn-cifar10-{percent}-{POSTER[method]}"
    if percent == 40:
        return Accuracy("wrn", method, identity)
    name = f"{denoising_label(method)} on CIFAR-10 with {percent}% of labels drawn anew"
    return NotBuilt(name, f"WRN-28-10 with {percent}% of labels drawn anew", identity)


MNIST_LOSS = tuple(below(_cleaning("stocbio", p, r), _cleaning(r, p, r)) for p in SHARES for r in RIVALS)
GROWING = "AID-BiO with a growing number of inner steps"
LEARNERS, FC = "meta-learners", "fc100-5way-5shot"
AID, ANIL, FIRST_ORDER = (
    NotBuilt(f"{name} (FC100)", f"{name} on FC100") for name in ("AID-BiO", "ANIL", "first-order ITD-BiO")
)

CLAIMS = (
    Claim(
        "C39", "stocBiO has a lower test loss at equal time than AID-FP, AID-CG and reverse mode (on MNIST also BSA"
        " and TTSA, on"
        " 20 Newsgroups also HOAG).", "stocBiO slides, experiments", SECTION,
        (Reading(AS_PUBLISHED, _lower_loss()), Reading("MNIST alone, 10% and 40% of labels drawn anew", MNIST_LOSS)),
        ("stocbio-hypercleaning",), ("hyper-cleaning",), "denoising",
        "On MNIST the loss is not that of the test images but of held-out clean ones, when the faster of the two is done."
        " The published script draws the noise anew at every visit and loses the weights it has learned; here noise is drawn"
        " once. The figure does not say which share of labels was wrong. Where the importances of clean and of wrong labels"
        " have hardly moved apart, which the table shows by their mean and the area under the ROC curve, a method is plain"
        " training with all labels: then a lower loss says that its lower steps train faster, and nothing of what it learns"
        " about labels.",
    ),
    Claim(
        "C40", "stocBiO on 20 Newsgroups: batches of 500 and 1,000 are no worse than 100 and 2,000, and all beat HOAG.",
        "stocBiO slides, experiments", SECTION,
        (Reading(AS_PUBLISHED, (
            *(not_above(_batch(good), _batch(bad), 0.05) for good in ("500", "1000") for bad in ("100", "2000")),
            *(below(_batch(size), _news("HOAG", "stocbio-newsbatch-60s-hoag")) for size in ("100", "500", "1000", "2000")),
        )),),
        page="denoising", remark="No profile trains on 20 Newsgroups yet; the published losses are read off a picture.",
    ),
    Claim(
        "C41", "ITD-BiO and AID-BiO are ahead of MAML and ANIL after as many iterations; first-order ITD-BiO costs"
        " less, without"
        " loss.", "stocBiO slides, meta-learning", SECTION,
        (
            Reading(AS_PUBLISHED, (
                above(FewShot(FC, "itd"), FewShot(FC, "maml")),
                above(AID, FewShot(FC, "maml")), above(FewShot(FC, "itd"), ANIL), above(AID, ANIL),
                not_worse(FIRST_ORDER, FewShot(FC, "itd"), 1.0),
            )),
            Reading("on Omniglot", stand_in="Omniglot for mini-ImageNet and FC100", parts=(
                *(above(_learner(one), FewShotAfter("omniglot-5way-5shot", "maml", AS_MANY)) for one in ("itd", "aid")),
                *(above(_learner(one), _learner("anil")) for one in ("itd", "aid")),
                not_worse(_learner("fo-itd"), _learner("itd"), 1.0),
            )),
        ),
        ("few-shot-further",), ("few-shot-curves",), "few_shot",
        "The slides show curves on mini-ImageNet and FC100 and print no number. A method that"
        f" ends at chance, {CHANCE}% of five classes, as AID-BiO may, has settings that do not suit this encoder: that says"
        " nothing of the method.",
    ),
    Claim(
        "C42", "The Meta-Weight-Net is above L2RW with 40% and 60% of labels drawn anew, and on CIFAR-10 with a long tail.",
        "Poster, tables of the Meta-Weight-Net", SECTION,
        (Reading(AS_PUBLISHED, (
            *(above(_drawn_anew("meta-weight-net", one), _drawn_anew("l2rw", one)) for one in (40, 60)),
            *(above(_tail("meta-weight-net", one), _tail("l2rw", one)) for one in LENGTHS),
        )),
         Reading("on digits in the place of CIFAR-10", (
             above(Accuracy("reweighting", "meta-weight-net"), Accuracy("reweighting", "l2rw")),
         ))),
        ("wrn", "long-tail", "reweighting"), (), "denoising",
    ),
    Claim(
        "S01", "Slides: a constant number of inner steps suffices; AID-BiO with it is ahead of AID-BiO with a growing one.",
        "stocBiO slides, theory and meta-learning", SECTION,
        (Reading(AS_PUBLISHED, (
            above(NotBuilt("AID-BiO, constant inner steps", GROWING), NotBuilt("AID-BiO, growing inner steps", GROWING)),
        )),),
        page="few_shot", remark="No cell lets the number of inner steps grow.",
    ),
    Claim(
        "S02", "Slides: sampling makes an upper iteration of stocBiO cheaper than full batches do (AID-FP, AID-CG,"
        " reverse mode).",
        "stocBiO slides, theory", SECTION,
        (Reading(AS_PUBLISHED, tuple(
            times(IterationTime("denoising", CLEANING, f"{rival}-{share}"),
                  IterationTime("denoising", CLEANING, f"stocbio-{share}"), 1.0)
            for share in SHARES for rival in RIVALS[:3]
        )),),
        ("stocbio-hypercleaning",), ("hyper-cleaning",), "denoising",
    ),
    Claim(
        "N01", "Note: implicit differentiation with wrong weights at the start may learn the wrong pattern: ApproxGrad"
        " is worse"
        " where importances start equal.", "Note, Section 4.1.1", SECTION,
        (Reading(AS_PUBLISHED, (
            below(Accuracy("quirks", "approxgrad-importances-equal"), Accuracy("quirks", "approxgrad")),
        )),),
        ("quirks",), ("importances",), "denoising",
    ),
)  # fmt: skip
