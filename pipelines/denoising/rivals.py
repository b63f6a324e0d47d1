"""What follows of Penalty against other bilevel methods: ApproxGrad before and after equal tuning, and methods that the
paper leaves out."""

from __future__ import annotations

from typing import Any

from pipelines.comparison import Difference
from pipelines.denoising import tuning
from pipelines.denoising.believed import against
from pipelines.denoising.rows import WORDS, data, has, label, paired, tuned
from pipelines.denoising.setting import plain_descent
from pipelines.layout import interval, listed
from pipelines.sources import Sources

PAPERS = ("approxgrad", "penalty")
"""The paper's bilevel methods."""
PUBLISHED = {"lower steps": 20, "batch": 200, "epochs of pre-training": 100, "upper step size of ApproxGrad": 1.0}
"""The paper's recipe for MNIST (supplement E.2), and ApproxGrad's step size in the released code."""
SOLVER = 10.0
"""ApproxGrad's step size of the linear system over that of the lower problem, in the released code."""


def rival(inputs: Sources) -> str:
    """C14: Penalty above ApproxGrad."""
    pairs = untuned(inputs)
    known = {one: apart for one in pairs if (apart := paired(inputs, *pairs[one])) is not None}
    if not known:
        return ""
    counts = {sign: sum(apart.sign == sign for apart in known.values()) for sign in WORDS}
    text = (
        f"**Penalty is better than ApproxGrad** (the paper: in all six rows of its table). Of all {len(known)} pairs of"
        f" cells that give both one recipe before any equal tuning, it lies above in {counts[1]}, below in {counts[-1]}, and"
        f" {counts[0]} are not told apart; many share data and seeds, so they are no {len(known)} tests."
    )
    rest = [f"{one} {interval(apart, 2)}" for one, apart in known.items() if apart.sign < 1]
    text += f" Not above: {'; '.join(rest)}." if rest else ""
    text += _recipe(inputs, [pairs[one] for one in known])
    after = {
        name: apart for name in tuned(inputs)
        if "penalty" in has(inputs, name) and (apart := paired(inputs, (name, "penalty"), (name, "approxgrad")))
    }  # fmt: skip
    if not after:
        return text
    said = [f"on {data(inputs, name)} {WORDS[apart.sign]} it ({interval(apart, 2)})" for name, apart in after.items()]
    text += (
        f" After equal tuning of both step sizes and one more number ({_searches(inputs, list(after))}) Penalty is"
        f" {'; '.join(said)}."
    )
    doubts = {name: found for name in after if (found := tuning.fallen_below(inputs, name))}
    text += "".join(_doubt(inputs, name, found) for name, found in doubts.items())
    return text + _of_rival({apart.sign for name, apart in after.items() if name not in doubts}, bool(doubts))


def untuned(inputs: Sources) -> dict[str, tuple[tuple[str, str], tuple[str, str]]]:
    """Name -> the cells of Penalty and of ApproxGrad that have one recipe, but for those after equal tuning and for new
    networks that are fitted with what was learned."""
    found = {}
    block = inputs.params["denoising"]
    for name in block["data"]:
        if set(PAPERS) <= set(block["methods"]):
            found[name] = ((name, "penalty"), (name, "approxgrad"))
    for name in block.get("experiments", {}):
        known = has(inputs, name)
        for one in known:
            other = one.replace("approxgrad", "penalty")
            cell = block["cells"][name][one]
            if name in tuned(inputs) or other == one or other not in known or cell["solver"] != "approxgrad":
                continue
            changed = "-".join(filter(None, one.replace("approxgrad", "").split("-")))
            found[f"{name} ({changed})" if changed else name] = ((name, other), (name, one))
    return found


def _recipe(inputs: Sources, pairs: list[tuple[tuple[str, str], tuple[str, str]]]) -> str:
    """What these cells take that the paper does not, in words."""
    cells = inputs.params["denoising"]["cells"]
    both = [cells[name][one] for pair in pairs for name, one in pair]
    solved = [cells[name][one]["settings"] for _, (name, one) in pairs]
    taken: dict[str, list[Any]] = {
        "lower steps": [cell["settings"]["lower_steps"] for cell in both],
        "batch": [cell["batch"] for cell in both],
        "epochs of pre-training": [cell["pretrain"]["epochs"] for cell in both if "pretrain" in cell],
        "upper step size of ApproxGrad": [one["upper_step_size"] for one in solved],
    }
    said = [
        f"{what} {_span(values)} ({published:g})" for what, published in PUBLISHED.items()
        if (values := taken[what]) and set(values) != {published}
    ]  # fmt: skip
    if any(one["solver_step_size"] != SOLVER * one["lower_step_size"] for one in solved):
        said.append(f"the step size of ApproxGrad's linear system that of the lower problem ({SOLVER:g} times it)")
    if not said:
        return ""
    return f" They are not the paper's recipe (in brackets, for MNIST): {'; '.join(said)}; and other lower step sizes."


def _span(values: list[Any]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _searches(inputs: Sources, names: list[str]) -> str:
    """How wide the searches were, and whether they had the step size of ApproxGrad's linear system; searches that were
    alike once, others by their data."""
    found: dict[str, list[str]] = {}
    for name in names:
        many = tuning.points(inputs, name)
        if many:
            solver = "is that of the lower problem" if tuning.solver_is_tied(inputs, name) else "was searched by itself"
            found.setdefault(f"{many}; the solver's step size {solver}", []).append(f"on {data(inputs, name)}")
    if not found:
        return "no search is recorded"
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{listed(where)} {said}" for said, where in found.items())


def _doubt(inputs: Sources, experiment: str, worse: dict[str, Difference]) -> str:
    """Why nothing follows from a search that made a method worse."""
    said = [f"{label(one)} tuned is below itself as released ({interval(apart, 2)})" for one, apart in worse.items()]
    where = data(inputs, experiment)
    text = f" But on {where} {listed(said)}: the search missed what was known, so its margin says nothing."
    apart = paired(inputs, (experiment, "penalty"), ("quirks", "approxgrad")) if "approxgrad" in worse else None
    if apart is not None:
        text += f" Tuned Penalty is {WORDS[apart.sign]} ApproxGrad as released ({interval(apart, 2)})."
    return text


def _of_rival(signs: set[int], doubted: bool) -> str:
    where = " in the comparison that is left" if doubted else ""
    if not signs:
        return " So these cells do not say which is better after tuning."
    if signs == {1}:
        return f" So believe it: the margin survives equal tuning{where}."
    if 1 in signs:
        return " So believe that it can be better, not that it always is: the margin depends on network and settings."
    return f" So do not believe it of the methods: equal tuning shows no such margin{where}."


def others(inputs: Sources) -> str:
    """Methods that the paper's table does not have, after equal tuning."""
    said, signs = [], dict[str, list[int]]()
    for name in tuned(inputs):
        rest = [method for method in has(inputs, name) if method not in PAPERS]
        found = against(inputs, name, "penalty", rest)
        if found:
            said.append(f"on {data(inputs, name)} it is {found}")
        for method in rest:
            apart = paired(inputs, (name, method), (name, "penalty"))
            if apart is not None:
                signs.setdefault(method, []).append(apart.sign)
    if not said:
        return ""
    text = (
        "**ApproxGrad is the rival to beat** (the paper's table has no other bilevel method). Against methods that the paper"
        f" leaves out, after equal tuning, Penalty stands so: {'; '.join(said)}.{_plain_descent(inputs)}"
    )
    always = [label(method) for method, of_all in signs.items() if set(of_all) == {1}]
    partly = [label(method) for method, of_all in signs.items() if 1 in of_all and min(of_all) < 1]
    if always:
        return f"{text} So do not take Penalty for the best choice here: try {listed(always)} first{_partly(partly)}."
    return f"{text} So none of them is better throughout{_partly(partly)}."


def _plain_descent(inputs: Sources) -> str:
    """Which methods descend by plain gradients where the others have Adam, and on which range of step sizes."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in tuned(inputs):
        plain = [label(one) for one in plain_descent(inputs, name) if one not in PAPERS]
        if plain:
            found.setdefault((listed(plain), tuning.descent(inputs, name)), []).append(f"on {data(inputs, name)}")
    one_range = len(found) == 1
    said = [
        f" {names} descends by plain gradients where the others have Adam{_on(place)}"
        f"{'' if one_range else ' ' + listed(where)}."
        for (names, place), where in found.items()
    ]
    return "".join(said)


def _on(place: str) -> str:
    return f", on {place}" if place else ""


def tuned_against_all(inputs: Sources) -> str:
    """C17: whether ApproxGrad after equal tuning is below Train+Val on CIFAR-10."""
    said = []
    for name in tuned(inputs):
        where = inputs.params["denoising"]["cells"][name]["penalty"]["data"] if "penalty" in has(inputs, name) else ""
        known = where in inputs.params["denoising"]["data"] and "train-val" in inputs.params["denoising"]["methods"]
        if where.startswith("cifar10-") and known and "approxgrad" in has(inputs, name):
            apart = paired(inputs, (name, "approxgrad"), (where, "train-val"))
            said += [f"{WORDS[apart.sign]} it on {where} ({interval(apart, 2)})"] if apart is not None else []
    if not said:
        return ""
    return (
        "**Is ApproxGrad on CIFAR-10 worse than Train+Val, or was it its settings?** After equal tuning, and with as many"
        f" lower steps as Penalty, ApproxGrad is {'; '.join(said)}; Train+Val has the step size of the released code."
    )


def _partly(names: list[str]) -> str:
    return f"; {listed(names)} did better in a part of the comparisons" if names else ""
