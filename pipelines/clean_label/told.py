"""Sentences of the page on the clean-label attack, made from the numbers: what stands in, what is cut, what was found."""

from __future__ import annotations

from pipelines import comparison, published, settings
from pipelines.clean_label import key_of
from pipelines.clean_label.rows import (
    CLEAN,
    FAMILY,
    WITHOUT_BOUND,
    attacks,
    bounds,
    cuts,
    label,
    paired,
    settings_of,
    share,
    source_of,
    summary,
    targets,
)
from pipelines.layout import interval, listed, number
from pipelines.sources import Sources

DIGITS = {"digits": "scikit-learn's digits", "mnist": "MNIST"}
STILL = 0.05
"""Share of the feature distance by which a run that has settled no longer falls between its last two evaluations."""


def victim(inputs: Sources, data: str) -> str:
    """The victim without an attack, and its targets, in a sentence."""
    found = summary(inputs, data, CLEAN)
    attacked = {targets(inputs, data, one) for one in attacks(inputs)}
    theirs = published.value("cleanlabel-cleanacc").mean
    return (
        f"{data}: without a poison {found['judge']:.1f} percent of {found['tests']} test images are called right by the"
        f" judge, {found['RMSProp']:.1f} by RMSProp (the paper, on dog against fish: {number(theirs, 1)});"
        f" {found['targets']} by both, of which {' or '.join(map(str, sorted(attacked)))} are attacked."
    )


def stand_in(inputs: Sources, data: str) -> list[str]:
    """What data and features are in the place of the paper's; [] where they are the paper's."""
    source = source_of(inputs, data)
    if source == "dogfish":
        return []
    mine = inputs.params[FAMILY]["prepared"][data]
    theirs = settings.profile_params(FAMILY, "paper")["prepared"]["dogfish"]
    what = "English springers against tenches of Imagenette"
    if source in DIGITS:
        what = f"{mine['pair'][0]}s against {mine['pair'][1]}s of {DIGITS[source]}"
    shrunk = f", height and width divided by {mine['shrink']}" if mine.get("shrink") else ""
    said = [f"{data} stands in for dog against fish: {what}{shrunk}"]
    if mine.get("train_rows", 0) < theirs["train_rows"]:
        said.append(f"{mine['train_rows']} of {theirs['train_rows']} training images of a class")
    if mine["features"] == "learned":
        said.append(
            f"features of a small network trained here on {mine['learned']['source']} in the place of Inception-v3's"
        )
    return [f"{'; '.join(said)}. Bounds are of other pixels, and features of another network: neither carries over."]


def budget(inputs: Sources) -> list[str]:
    """The cuts as a note, if there are any: those of all methods, and those of one with its name."""
    notes = []
    for data in inputs.params[FAMILY]["data"]:
        found = {method: cuts(inputs, data, method) for method in attacks(inputs)}
        first, *others = found.values()
        common = [cut for cut in first if all(cut in some for some in others)]
        words = comparison.said(common)
        for method, some in found.items():
            own = comparison.said([cut for cut in some if cut not in common])
            words += [f"{label(method)} {listed(own)}"] if own else []
        notes += [f"Not comparable with the paper's numbers: {'; '.join(words)}."] if words else []
    return notes


def against_influence(inputs: Sources, data: str) -> list[str]:
    """Penalty against influence functions, bound by bound and without one, beside the paper's order of the two."""
    if not {"penalty", "influence"} <= set(attacks(inputs)):
        return []
    at = [one for one in bounds(inputs, data, "penalty") if one is not None and one in bounds(inputs, data, "influence")]
    if not at:
        return []
    counts = {one: (share(inputs, data, "influence", one), share(inputs, data, "penalty", one)) for one in at}
    more = [one for one, (first, second) in counts.items() if first.k > second.k]
    fewer = [one for one, (first, second) in counts.items() if first.k < second.k]
    first, second = counts[max(at)]
    words = [
        f"{data}, by the judge: influence functions break more targets than Penalty at {len(more)} of {len(at)} bounds"
        f"{_listed(more)} and fewer at {len(fewer)}{_listed(fewer)}; at {max(at):g}, {first.k} of {first.n} against"
        f" {second.k} of {second.n}, {interval(paired(inputs, data, 'influence', 'penalty', max(at)), 1)} points."
    ]
    both = {"influence", "unconstrained"} <= set(attacks(inputs))
    if both and None in bounds(inputs, data, "influence"):
        mine, other = (share(inputs, data, one, None) for one in ("influence", "unconstrained"))
        theirs = [published.value(WITHOUT_BOUND[one]).mean for one in ("influence", "unconstrained")]
        reversed_ = (mine.k - other.k) * (theirs[0] - theirs[1]) < 0
        words.append(
            f"Without a bound {mine.k} of {mine.n} against {other.k} of {other.n} by unconstrained Penalty; the paper has"
            f" {theirs[0]:g} against {theirs[1]:g} percent{', the other order' if reversed_ else ''}. Its {theirs[0]:g} is"
            " that of Koh and Liang's attack, which moves no pixel by more than half a grey level: it stands beside a number"
            " without a bound for want of a nearer one."
        )
    return [" ".join(words)]


def _listed(some: list[float]) -> str:
    return f" ({listed([f'{one:g}' for one in some])})" if some else ""


def own_classifier(inputs: Sources, data: str) -> list[str]:
    """Whether Penalty's last W, which an attack is steered by, calls the target as a fresh classifier does."""
    if "penalty" not in attacks(inputs):
        return []
    curves = inputs.cell(FAMILY, data, "penalty")["curves"]
    at = [one for one in bounds(inputs, data, "penalty") if "margin" in curves[key_of(one)]]
    margins = [last for one in at if (last := curves[key_of(one)]["margin"]["mean"][-1]) is not None]
    broken = [one.percent for one in (share(inputs, data, "penalty", e) for e in at) if one.percent is not None]
    if not margins or not broken:
        return []
    said = (
        f"{data}: the mean margin by which Penalty's own last W calls targets by the base's class is {min(margins):+.1f} to"
        f" {max(margins):+.1f} over its bounds; a fresh classifier calls {min(broken):.1f} to {max(broken):.1f} percent so."
    )
    if min(margins) > 0 and max(broken) < 50:
        said += " That W is not the solution of the lower problem."
    return [said + _falling(inputs, data)]


def _falling(inputs: Sources, data: str) -> str:
    """The bounds at which Penalty's features still come nearer to the target's when it stops."""
    every = inputs.cell(FAMILY, data, "penalty")["curves"]
    said = []
    for bound in bounds(inputs, data, "penalty"):
        path = every[key_of(bound)].get("feature distance", {}).get("mean", [])
        if bound is None or len(path) < 2 or None in path or path[-2] - path[-1] <= STILL * path[-1]:
            continue
        said.append(f"at {bound:g} ({', '.join(number(one, 1) for one in path)})")
    if not said:
        return ""
    at = f"{every['iteration'][0]:,} to {every['iteration'][-1]:,}"
    return f" Penalty is not finished {listed(said)}: mean feature distances from iteration {at}, still falling."


def chosen(inputs: Sources, data: str) -> list[str]:
    """That a profile's step sizes come from no recorded search, and where γ₀ is not the paper's."""
    params = inputs.params[FAMILY]
    full = settings.profile_params(FAMILY, "paper")["cells"]["dogfish"]
    if params.get("search") or source_of(inputs, data) == "dogfish":
        return []
    said = []
    for method in attacks(inputs):
        mine, theirs = (one["settings"] for one in (settings_of(inputs, data, method), full[method]))
        names = {"upper_step_size": "step size", "step_size": "step size", "pull": "pull", "gamma_0": "γ₀"}
        parts = [f"{word} {mine[name]:g} ({theirs[name]:g})" for name, word in names.items() if name in mine]
        said.append(f"{label(method)} {listed(parts)}")
    return [f"{data}: no recorded search chose these settings; in brackets those of the profile paper. {'; '.join(said)}."]
