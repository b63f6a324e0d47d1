"""What follows for a reader from the comparisons of this section: a sentence for each thing that the paper says, with the
numbers that bear it and what to make of them. The comparisons one by one: `pipelines.denoising.believed`."""

from __future__ import annotations

from collections.abc import Callable

from pipelines import comparison, published
from pipelines.comparison import FULL_BUDGET, Difference, Estimate
from pipelines.denoising import further
from pipelines.denoising.believed import LONGER, TUNED, WORDS, against
from pipelines.denoising.rows import chosen, data, has, label, method_of, paired, seconds_of
from pipelines.layout import interval, listed, number
from pipelines.sources import Sources

NOT_HERE = {"mnist": "MNIST", "cifar10": "CIFAR-10", "svhn": "SVHN", "wrn": "the wide residual network"}
"""Parts of the section, by what their data sets or experiments are called."""
PAPERS = ("approxgrad", "penalty")
"""The paper's bilevel methods."""
STARTS = {"penalty": "as released", "penalty-importances-probability": "by the text"}
"""Variants of Penalty among the quirks whose importances start by what the pre-trained network says of a label."""
T = (20, 50)
"""The paper's number of lower steps, and the one beyond which it sees little more."""


def concluded(inputs: Sources) -> str:
    """The sentences, as a list; those whose cells a profile has."""
    asked: list[Callable[[Sources], str]] = [plain, rival, others, reference, part, softmax, weights, cost, missing]
    return "\n".join(f"- {text}" for text in (question(inputs) for question in asked) if text)


def plain(inputs: Sources) -> str:
    """C15: Penalty above Val-only and Train+Val."""
    table = {
        (name, other): paired(inputs, (name, "penalty"), (name, other))
        for name in inputs.params["denoising"]["data"] for other in ("val-only", "train-val")
    }  # fmt: skip
    known = {parts: apart for parts, apart in table.items() if apart is not None}
    if not known:
        return ""
    won = sum(apart.sign == 1 for apart in known.values())
    text = (
        f"**Learning importances is better than training on everything, or on the clean set alone** (the paper: in all its"
        f" rows). At the budget of the table Penalty lies above in {won} of {len(known)} comparisons."
    )
    runs = [name for name in LONGER if {"penalty", "train-val", "val-only"} <= set(has(inputs, name))]
    ends, picks = [], []
    for name in runs:
        where = further.data_of(inputs, name, "penalty")
        pairs = [((name, "penalty"), (name, other)) for other in ("train-val", "val-only")]
        found = [paired(inputs, *pair) for pair in pairs]
        if all(found):
            ends.append((where, [one for one in found if one is not None]))
        picked = chosen(inputs, *pairs[0])
        if picked is not None:
            picks.append((where, picked))
    if ends:
        said = [
            f"{where} {interval(one[0], 2)} above Train+Val and {interval(one[1], 2)} above Val-only" for where, one in ends
        ]
        if all(apart.sign == 1 for _, one in ends for apart in one):
            text += f" Trained for longer it does in all: {'; '.join(said)}."
        else:
            text += f" Trained for longer (points): {'; '.join(said)}, where not every interval leaves zero out."
    if picks:
        said = [f"{where} {WORDS[apart.sign]} Train+Val ({interval(apart, 2)})" for where, apart in picks]
        text += (
            " But where every method takes the iterate that is best on a clean split which no cost has seen, Penalty is on"
            f" {'; on '.join(said)}."
        )
        text += _of_plain([apart for _, apart in picks])
    return text


def _of_plain(picks: list[Difference]) -> str:
    if all(apart.sign == 1 for apart in picks):
        return " So believe it: importances are worth more than stopping in time."
    if any(apart.sign == 1 for apart in picks):
        return (
            " So believe it of a network that is trained to the end; against one that is stopped in time it depends on how"
            " many labels are wrong."
        )
    return " So believe it of a network that is trained to the end; one that is stopped in time needs no importances here."


def rival(inputs: Sources) -> str:
    """C14: Penalty above ApproxGrad."""
    pairs = [(name, "approxgrad", "penalty") for name in inputs.params["denoising"]["data"]]
    pairs += [(name, "approxgrad", "penalty") for name in LONGER if "approxgrad" in has(inputs, name)]
    small = "franceschi"
    pairs += [
        (small, one, base) for one in has(inputs, small)
        if method_of(one) == "approxgrad" and (base := further.penalty_of(inputs, small, one))
    ]  # fmt: skip
    before = [apart for name, one, base in pairs if (apart := paired(inputs, (name, base), (name, one)))]
    if not before:
        return ""
    signs = [apart.sign for apart in before]
    text = (
        "**Penalty is better than ApproxGrad** (the paper: in all six rows of its table). With lower step sizes from one"
        f" grid and all else as published it lies above in {signs.count(1)} of {len(signs)} comparisons, below in"
        f" {signs.count(-1)}."
    )
    after = {
        data(inputs, name): apart for name in TUNED
        if "penalty" in has(inputs, name) and (apart := paired(inputs, (name, "penalty"), (name, "approxgrad")))
    }  # fmt: skip
    if after:
        said = [f"on {where} {WORDS[apart.sign]} it ({interval(apart, 2)})" for where, apart in after.items()]
        text += f" After equal tuning of both step sizes and one more number Penalty is {'; '.join(said)}."
        text += _of_rival({apart.sign for apart in after.values()})
    return text


def _of_rival(signs: set[int]) -> str:
    if signs == {1}:
        return " So believe it: the margin survives equal tuning."
    if 1 in signs:
        return " So believe that it can be better, not that it always is: the margin depends on network and settings."
    return " So do not believe it of the methods: it is a margin of their settings."


def others(inputs: Sources) -> str:
    """Methods that the paper's table does not have, after equal tuning."""
    said, signs = [], dict[str, list[int]]()
    for name in TUNED:
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
        f" leaves out, after equal tuning, Penalty stands so: {'; '.join(said)}."
    )
    always = [label(method) for method, of_all in signs.items() if set(of_all) == {1}]
    partly = [label(method) for method, of_all in signs.items() if 1 in of_all and min(of_all) < 1]
    if always:
        return f"{text} So do not take Penalty for the best choice here: try {listed(always)} first{_partly(partly)}."
    return f"{text} So none of them is better throughout{_partly(partly)}."


def _partly(names: list[str]) -> str:
    return f"; {listed(names)} did better in a part of the comparisons" if names else ""


def reference(inputs: Sources) -> str:
    """C16: Penalty close to Oracle."""
    places = [(name, "the table's budget") for name in inputs.params["denoising"]["data"]]
    places += [(name, "the longer one") for name in LONGER if "oracle" in has(inputs, name)]
    said = []
    for name, budget in places:
        apart = paired(inputs, (name, "oracle"), (name, "penalty"))
        where = further.data_of(inputs, name, "penalty") if name in LONGER else name
        if apart is not None:
            said.append(f"{interval(apart, 2)} points below it on {where} at {budget}")
    if not said:
        return ""
    return (
        "**Penalty comes close to a network that is told which labels are wrong** (the paper: within 0.4 to 4.6 points). It"
        f" lies {listed(said).replace('+', '')}."
    )


def part(inputs: Sources) -> str:
    """C17: ApproxGrad below Train+Val on CIFAR-10; and what budget the part of CIFAR-10 has, where it settles nothing."""
    name = "cifar10-part"
    if not {"approxgrad", "train-val", "oracle"} <= set(has(inputs, name)):
        return ""
    apart, top = (paired(inputs, (name, one), (name, "train-val")) for one in ("approxgrad", "oracle"))
    if apart is None or top is None:
        return ""
    text = (
        "**On CIFAR-10 ApproxGrad is worse than Train+Val** (the paper: 71.59 against 79.1 and 68.05 against 72.2). On a"
        f" part of CIFAR-10 it is {WORDS[apart.sign]} Train+Val ({interval(apart, 2)})."
    )
    if top.sign == 1:
        return text
    known = [one.mean for method in has(inputs, name) if (one := inputs.accuracy(name, method)).mean is not None]
    best, cell = max(mean for mean in known if mean is not None), inputs.params["denoising"]["cells"][name]["approxgrad"]
    images = inputs.cell("denoising", name, "approxgrad")["curves"]["iteration"][-1] * cell["batch"]
    full = FULL_BUDGET["cifar10"]["training images"] * FULL_BUDGET["cifar10"]["epochs"]
    text += (
        f" But there even Oracle is {WORDS[top.sign]} Train+Val ({interval(top, 2)}), and no method is beyond {best:.1f}%,"
        " so this settles nothing: at this budget and these step sizes no network learns. The bilevel methods see"
        f" {images:,} training images, with repetitions, of the paper's {full:,}."
    )
    seconds = seconds_of(inputs).get(f"{name}-approxgrad")
    if seconds:
        days = seconds * full / cell["batch"] / 86_400
        many = f"{seconds:.1f} s for {cell['batch']} of them"
        text += f" At {many}, a trial of all takes ApproxGrad {days:.1f} days of a core."
    return text


def softmax(inputs: Sources) -> str:
    """C20: the order of softmax regression with half the labels wrong."""
    name, final = "franceschi", "penalty-final"
    if final not in has(inputs, name):
        return ""
    first = against(inputs, name, final, [one for one in ("oracle", "val-only", "train-val") if one in has(inputs, name)])
    text = (
        "**In softmax regression with half the labels wrong, Oracle comes first, then Penalty, Val-only, RMD and Train+Val**"
        f" (the paper: 91.06, 90.77, 90.54, 90.09, 86.25). Penalty with its last fit is {first}."
    )
    base = "penalty-same-split-final"
    others = [one for one in has(inputs, name) if further.penalty_of(inputs, name, one) == base]
    if others:
        text += f" On the split and with the last fit of RMD's authors it is {against(inputs, name, base, others)}."
    return text


def weights(inputs: Sources) -> str:
    """Whether importances find wrong labels, and what a new network makes of them."""
    places = [*inputs.params["denoising"]["data"], *(name for name in LONGER if "penalty" in has(inputs, name))]
    areas = {}
    for name in places:
        found = inputs.cell("denoising", name, "penalty")["summary"].get("importances")
        if found and found["area under ROC"]["mean"] is not None:
            areas[name] = found["area under ROC"]["mean"]
    if not areas:
        return ""
    low, high = min(areas.values()), max(areas.values())
    text = (
        "**The importances find the wrong labels.** The area under Penalty's ROC curve is"
        f" {number(low, 3)}{f' to {number(high, 3)}' if high > low else ''} (one half is guessing, 1 is perfect)."
        f"{_by_pretraining(inputs)}"
    )
    apart = None
    if "penalty-retrained" in has(inputs, "controls"):
        apart = paired(inputs, ("controls", "penalty-retrained"), ("quirks", "penalty"))
    if apart is not None:
        word = "carry" if apart.sign >= 0 else "do not carry"
        text += (
            f" A new network that is trained with them is {WORDS[apart.sign]} the iterate that learned them"
            f" ({interval(apart, 2)} points): they {word} what was learned."
        )
    return text


def _by_pretraining(inputs: Sources) -> str:
    """Whether bilevel training finds more wrong labels than the pre-trained network that importances start from."""
    said, signs = [], set()
    for variant in (one for one in STARTS if one in has(inputs, "quirks")):
        learned = inputs.cell("denoising", "quirks", variant).get("learned", {"iteration": []})
        trials = inputs.accuracy("quirks", variant).n
        if len(learned["iteration"]) < 2 or not trials or trials < 2:
            continue
        area, precision = learned["area under ROC"], [number(one, 3) for one in learned["precision"]["mean"]]
        start, end = (Estimate(area["mean"][place], area["sd"][place], trials) for place in (0, -1))
        signs.add(comparison.difference(end, start).sign)
        said.append(
            f"{STARTS[variant]} {number(start.mean, 3)} before the first upper iteration and {number(end.mean, 3)} after"
            f" {learned['iteration'][-1]} (precision {precision[0]} and {precision[-1]})"
        )
    if not said:
        return ""
    text = (
        " They start from what a network pre-trained on the clean split says of the labels: the area is"
        f" {'; '.join(said)}."
    )
    if signs == {1}:
        return f"{text} So bilevel training finds more of them than that network did."
    if signs == {-1}:
        return (
            f"{text} So at this budget do not believe that bilevel training finds them: that network does, and training the"
            " importances loses a part of it."
        )
    return f"{text} So at this budget bilevel training is not shown to find more of them than that network did."


def cost(inputs: Sources) -> str:
    """C27 and C28: seconds of an upper iteration, and what more lower steps give."""
    seconds, name = seconds_of(inputs), "lower-steps"
    names = {method: f"{method}-{T[0]}" for method in ("approxgrad", "penalty")}
    if not set(names.values()) <= set(has(inputs, name)):
        return ""
    times = {method: seconds.get(f"{name}-{variant}") for method, variant in names.items()}
    theirs = {method: published.find(f"fig5a-time-T{T[0]}-{method}") for method in names}
    text = "**Penalty's upper iteration is cheaper than ApproxGrad's, and T = 20 is enough.**"
    if times["approxgrad"] and times["penalty"]:
        ratio = times["approxgrad"] / times["penalty"]
        paper = ""
        if theirs["approxgrad"] and theirs["penalty"]:
            paper = f", {theirs['approxgrad'].mean / theirs['penalty'].mean:.2f} in the paper's figure"
        text += f" At T = {T[0]} ApproxGrad takes {ratio:.2f} times as long{paper}."
    gains = [
        f"{label(method)} {interval(apart, 2)}" for method in ("penalty", "approxgrad")
        if (apart := paired(inputs, (name, f"{method}-{T[1]}"), (name, f"{method}-{T[0]}")))
    ]  # fmt: skip
    if gains:
        text += f" From T = {T[0]} to {T[1]}, with as many upper iterations, accuracy changes (points): {'; '.join(gains)}."
    return text


def missing(inputs: Sources) -> str:
    """What of the section the profile does not train."""
    block = inputs.params["denoising"]
    trained = [name for name in [*block["data"], *block.get("experiments", {})] if "part" not in name.split("-")]
    absent = [said for part, said in NOT_HERE.items() if not any(name.split("-")[0] == part for name in trained)]
    if not absent:
        return ""
    return f"Of {listed(absent)} this profile trains nothing, so of the paper's numbers there it says nothing."
