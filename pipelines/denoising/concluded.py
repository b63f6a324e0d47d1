"""What follows for a reader from the comparisons of this section: a sentence for each thing that the paper says, with the
numbers that bear it and what to make of them. The comparisons one by one: `pipelines.denoising.believed`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines import published
from pipelines.comparison import FULL_BUDGET, Difference
from pipelines.denoising import efforts, further
from pipelines.denoising.believed import LONGER, against
from pipelines.denoising.finding import weights
from pipelines.denoising.rivals import others, rival, tuned_against_all
from pipelines.denoising.rows import WORDS, best_stopped, chosen, data, has, label, paired, seconds_of, tuned
from pipelines.layout import interval, listed
from pipelines.sources import Sources

NOT_HERE = {
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "svhn": "SVHN",
    "wrn": "the wide residual network",
    "reweighting": "the Meta-Weight-Net",
    "four-nine": "fours against nines",
    "long-tail": "a long tail",
    "no-noise": "training without noise",
}
"""Parts of the section, by what their data sets or experiments are called."""
T = (20, 50)
"""The paper's number of lower steps, and the one beyond which it sees little more."""


def concluded(inputs: Sources) -> str:
    """The sentences, as a list; those whose cells a profile has."""
    asked: list[Callable[[Sources], str]] = [plain, rival, others, reference, part, tuned_against_all]
    asked += [softmax, weights, cost, missing]
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
    ends, picks, told = [], list[tuple[str, Difference]](), list[str]()
    for name in runs:
        where = further.data_of(inputs, name, "penalty")
        pairs = [((name, "penalty"), (name, other)) for other in ("train-val", "val-only")]
        found = [paired(inputs, *pair) for pair in pairs]
        if all(found):
            ends.append((where, [one for one in found if one is not None]))
        stopped = best_stopped(inputs, name, "train-val")
        picked = chosen(inputs, (name, "penalty"), (name, stopped))
        if picked is not None:
            picks.append((where, picked))
            told.append(f"on {where} {WORDS[picked.sign]} Train+Val{_sized(inputs, name, stopped)} ({interval(picked, 2)})")
    if ends:
        budget = f" ({'; '.join(efforts.longer(inputs, name) for name in runs)})"
        said = [
            f"{where} {interval(one[0], 2)} above Train+Val and {interval(one[1], 2)} above Val-only" for where, one in ends
        ]
        if all(apart.sign == 1 for _, one in ends for apart in one):
            text += f" Trained for longer{budget} it does in all: {'; '.join(said)}."
        else:
            text += f" Trained for longer{budget}, in points: {'; '.join(said)}, where not every interval leaves zero out."
        text += "".join(sorted({efforts.uneven(inputs, name) for name in runs}))
    if picks:
        text += (
            " But where every method takes the iterate that is best on a clean split which no cost has seen, Penalty is"
            f" {'; '.join(told)}."
        )
        text += _of_plain(picks)
    return text


def _sized(inputs: Sources, experiment: str, variant: str) -> str:
    """The step size of a variant of Train+Val that is not the one of its last iterate."""
    if variant == "train-val":
        return ""
    size = inputs.params["denoising"]["cells"][experiment][variant]["settings"]["lower_step_size"]
    return f" with steps of {size:g}, the better ones so"


def _of_plain(picks: Sequence[tuple[str, Difference]]) -> str:
    """What follows where each method takes the iterate that is best on a clean split; an interval that holds zero shows
    neither that importances help there nor that they do not."""
    by = {sign: [where for where, apart in picks if apart.sign == sign] for sign in WORDS}
    if len(by[1]) == len(picks):
        return " So believe it at these budgets: importances are worth more than stopping in time."
    text = " So believe it of networks that are trained on here after their best; against one that is stopped in time"
    if by[1] and by[-1]:
        return f"{text} it depends on how many labels are wrong."
    if by[1]:
        return f"{text} it is shown on {listed(by[1])} alone."
    if len(by[-1]) == len(picks):
        return f"{text} do not: that one is better."
    return f"{text} it is not shown, which is not to say that importances are worth nothing."


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
    asked = [where for one in tuned(inputs) if "approxgrad" in has(inputs, one) and (where := data(inputs, one))]
    if asked and not any("cifar10" in where for where in asked):
        where = " and ".join(f"on {one}" for one in asked)
        text += f" Whether it is so after tuning no cell asks: methods were tuned {where}."
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
        text += efforts.of_reverse(inputs)
    return text


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
    absent = [said for part, said in NOT_HERE.items() if not any(f"{name}-".startswith(f"{part}-") for name in trained)]
    if not absent:
        return ""
    return (
        f"Of {listed(absent)} this profile trains nothing, so of the paper's numbers there it says nothing. No network is"
        " trained in bfloat16: all are in float32."
    )
