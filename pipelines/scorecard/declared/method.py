"""C06, C09 to C13, C36 to C38 and C43: what the paper and the note say of the method itself."""

from __future__ import annotations

from pipelines.scorecard.claim import AS_PUBLISHED, Claim, Part, Reading, computed, near, under
from pipelines.scorecard.measured import Distance
from pipelines.scorecard.quantities import Exponent
from pipelines.theory.tables import DERIVED, NEAR

SECTION = "The method"
TABLES, PAGE = ("demonstrations",), "theory"
HELD = "example 1, gamma held at 0.5, 1, 2"
PROBLEMS = ("quadratic, condition 10", "logistic regression", "tanh network")


def _rows(claim: str, *said: str) -> tuple[Part, ...]:
    return tuple(computed(claim, one) for one in said)


def _of_kkt(case: str) -> list[str]:
    held = ["|h|"] if case == "with h" else []
    growing = ["|grad_v g|", *held, "KKT residual", "|u - u*|", "best-fitting multipliers' error"]
    return [
        *(f"{case}: exponent of {one} in gamma" for one in growing),
        f"{case}: KKT residual at the end", f"{case}: -gamma (h, grad_v g) off",
    ]  # fmt: skip


def _shrinks(case: str) -> Part:
    whole = f"{case}: how far -gamma (h, grad_v g) is off the solution's at the end, over that of the first round"
    return computed("C10", f"{case}: the same over", whole)


def _long_reverse(rho: str) -> tuple[Part, ...]:
    return _rows("C06", *(f"T = 100, example {one}, rho = {rho}: mean distance" for one in (1, 2)))


A_LINE = computed("C36", "a line of lower solutions, 3 starts, Penalty")


def _isolated(gamma_0: str) -> Part:
    said = f"two isolated lower solutions, from v = -1.2, Penalty, gamma_0 = {gamma_0}"
    return computed("C36", f"{said}:", f"{said}: distance from the optimistic one")


CLAIMS = (
    Claim(
        "C06", "RMD converges on the synthetic examples where T is about 100.", "Section 3.1 of the published text, no"
        " number",
        SECTION,
        (
            Reading(AS_PUBLISHED, _rows("C06", *(f"T = 100, example {one}, rho = 0.0001 (released)" for one in (1, 2)))),
            Reading("with a lower step size of 0.05", _long_reverse("0.05")),
        ),
        TABLES, ("other-claims",), PAGE,
        "Examples 1 and 2, after 40,000 upper iterations; with the released lower step size of 1e-4, 100 steps are too few.",
    ),
    Claim(
        "C09", "Lemma 3: at the penalty's minimiser in v, its gradient in u is the hypergradient's formula, and 1/γ"
        " from df/du.",
        "Section 2.3, Lemma 3", SECTION,
        (Reading(AS_PUBLISHED, _rows("C09", *(
            f"{problem}: {what}" for problem in PROBLEMS
            for what in ("grad_u f~ at its minimiser v", "exponent in gamma of its d", "exponent in gamma of the minimiser")
        ))),),
        TABLES, ("penalty-theory",), PAGE,
    ),
    Claim(
        "C10", "Theorem 2: with γ → ∞ and ε → 0 the iterates come to KKT points, and −γ(h, ∇g) to the multipliers.",
        "Section 2.2, Theorem 2", SECTION,
        (Reading(AS_PUBLISHED, tuple(
            part for case in ("without h", "with h") for part in (*_rows("C10", *_of_kkt(case)), _shrinks(case))
        )),),
        TABLES, ("penalty-theory",), PAGE,
    ),
    Claim(
        "C11", "The regularisation λ acts as a damping: H is replaced by H + (λ/γ) I.", "Supplement C.1", SECTION,
        (Reading(AS_PUBLISHED, _rows(
            "C11",
            "three problems, lambda/gamma 1%, 10% and 100% of the least eigenvalue: grad_u f~, off the formula with H + ",
            "three problems, lambda/gamma 1%, 10% and 100% of the least eigenvalue: grad_u f~, off the formula with H alone",
        )),),
        TABLES, ("penalty-theory",), PAGE,
    ),
    Claim(
        "C12", "With multipliers a finite γ is enough: the solution is reached with γ held.", "Supplement C.2", SECTION,
        (Reading(AS_PUBLISHED, (
            computed("C12", f"{HELD}, with multipliers"),
            computed("C12", "the same without",
                     f"{HELD}, without multipliers: from the derived distance sqrt(40) / (2 + 8 gamma), relative"),
        )),),
        TABLES, ("penalty-theory",), PAGE,
    ),
    Claim(
        "C13", "Penalty and ApproxGrad need space O(U + V), RMD O(U + VT), FMD O(UV).", "Section 2.4, Table 1", SECTION,
        (Reading(AS_PUBLISHED, tuple(
            near(Exponent(method, "space", varied), DERIVED[method]["space"][varied], NEAR["space"])
            for method in ("penalty", "approxgrad", "rmd", "fmd") for varied in ("T", "U", "V")
        )),),
        ("table-1",), ("table-1",), PAGE, "Bytes of all tensors alive at once are counted while T, U or V doubles.",
    ),
    Claim(
        "C36", "Where lower solutions are not unique, Penalty finds the optimistic one.", "Section 2.3", SECTION,
        (
            Reading(AS_PUBLISHED, (A_LINE, *map(_isolated, ("0.1", "100")))),
            Reading("with a small γ₀", (A_LINE, _isolated("0.1"))),
            Reading("on examples 3 and 4 at T = 10", tuple(
                under(Distance(example, "penalty", 10), 0.2) for example in ("ex3", "ex4")
            )),
        ),
        (*TABLES, "figure-2"), ("other-claims", "figure-2"), PAGE,
        "Judged of two small problems whose optimistic solution is known; examples 3 and 4 are read apart. With isolated"
        " solutions it depends on γ₀: a large one holds v where it starts.",
    ),
    Claim(
        "C37", "Penalty handles upper constraints without projecting.", "Section 2.2", SECTION,
        (Reading(AS_PUBLISHED, _rows(
            "C37", "no projection: exponent", "no projection: distance", "no projection: least violation",
            "with multipliers",
        )),),
        TABLES, ("penalty-theory",), PAGE, "Feasible in the limit only. On images it is claim C32.",
    ),
    Claim(
        "C38", "Adam solves ApproxGrad's linear system as well as conjugate gradients, given enough steps.",
        "Supplement E", SECTION,
        (Reading(AS_PUBLISHED, _rows("C38", *(
            f"condition {one}, 12 lower variables: relative error of the hypergradient, {how}"
            for one in (10, 100) for how in ("24 steps of CG", "2000 steps of Adam")
        ))),),
        TABLES, ("other-claims",), PAGE, "2,000 steps of Adam, the best of two step sizes, against 24 of conjugate"
        " gradients.",
    ),
    Claim(
        "C43", "The note: an augmented Lagrangian is at least as good as the penalty.", "Note, equation 21", SECTION,
        (Reading(AS_PUBLISHED, (computed(
            "C43", "with multipliers over without",
            f"{HELD}: largest ratio of the distances at the end, with multipliers over without",
        ),)),),
        TABLES, ("penalty-theory",), PAGE, "On example 1 with γ held; the multiplier in the experiments is claim C34.",
    ),
)  # fmt: skip
