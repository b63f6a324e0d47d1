"""The paper's numbers as data, read and checked.

paper_results.yaml holds single values, each with an id (fig12-ex1-T10-penalty, time-ex4-T5-rmd,
denoise-mnist-25-oracle, fig7-left-T1-lam0, ...), figure_curves.yaml the mean curves that were read off the
figures. How exactly a value is known comes along: the error of reading it off a figure, or half a unit of the
last digit that was printed.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import UserError

HERE = Path(__file__).resolve().parent
VALUES = HERE / "paper_results.yaml"
CURVES = HERE / "figure_curves.yaml"


class _Labels(dict[str, str]):
    """A method that the paper does not have goes by our name."""

    def __missing__(self, method: str) -> str:
        return method


LABELS = _Labels({
    "gd": "GD",
    "rmd": "RMD",
    "approxgrad": "ApproxGrad",
    "penalty": "Penalty",
    "oracle": "Oracle",
    "val-only": "Val-only",
    "train-val": "Train+Val",
})  # fmt: skip
"""Our name of a method -> the paper's."""

SPREADS = ("sd", "ci95", "none")
NEEDED = ("table_or_figure", "dataset", "method", "metric", "unit", "setting")


@dataclass(frozen=True)
class Value:
    """One published number.

    Attributes:
        spread: the number after the plus-minus sign, None where there is none; spread_kind says what it is:
        "sd"
            over trials, "ci95" the half width of a 95% interval, or "none". n_trials: None where not stated.
        resolution: how far the true mean can be from the published one for reasons of printing or reading.
        decimals: how many it was given with.
    """

    id: str
    table: str
    dataset: str
    method: str
    metric: str
    unit: str
    setting: Mapping[str, Any]
    mean: float
    spread: float | None
    spread_kind: str
    n_trials: int | None
    resolution: float
    decimals: int

    @property
    def sd(self) -> float | None:
        """The standard deviation over trials, None where it cannot be told."""
        if self.spread is None or self.spread_kind == "none":
            return None
        if self.spread_kind == "sd":
            return self.spread
        return None if self.n_trials is None else self.spread * math.sqrt(self.n_trials) / 1.96


@dataclass(frozen=True)
class Curve:
    """A published mean curve, read off a figure at a few places."""

    x: tuple[float, ...]
    mean: tuple[float, ...]


def value(identity: str) -> Value:
    """The published number of this id; raises UserError with the nearest id for an unknown one."""
    known = _values()
    if identity not in known:
        close = difflib.get_close_matches(identity, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"{VALUES.name} has no id {identity!r}{hint}")
    return known[identity]


def find(identity: str) -> Value | None:
    """The same, None for what was not published: a solver that the paper does not have."""
    return _values().get(identity)


def values(
    table: str | None = None, dataset: str | None = None, method: str | None = None, **setting: Any
) -> list[Value]:
    """All numbers of a table or figure ("Table 2"), data set, method and setting (T=5), in file order.

    A method may be given by our name or by the paper's.
    """
    wanted = LABELS.get(method, method) if method is not None else None
    place = None if table is None else re.compile(rf"\b{re.escape(table)}(?!\d)", re.IGNORECASE)
    return [
        one
        for one in _values().values()
        if (place is None or place.search(one.table))
        and (dataset is None or one.dataset.casefold() == dataset.casefold())
        and (wanted is None or one.method.casefold() == wanted.casefold())
        and all(name in one.setting and one.setting[name] == held for name, held in setting.items())
    ]


def single(
    table: str | None = None, dataset: str | None = None, method: str | None = None, **setting: Any
) -> Value:
    """The only number that `values` finds; raises UserError where there is none, or more than one."""
    found = values(table, dataset, method, **setting)
    if len(found) != 1:
        asked = {"table": table, "dataset": dataset, "method": method, **setting}
        said = ", ".join(f"{name} {held}" for name, held in asked.items() if held is not None)
        which = f": {', '.join(one.id for one in found[:5])}" if found else ""
        raise UserError(f"{VALUES.name} has {len(found)} numbers for {said}, not one{which}")
    return found[0]


def curve(example: int, steps: int, method: str) -> Curve:
    """Figures 1 and 2: the mean distance against upper iterations, for an example, T and a method."""
    return _panel("fig1_fig2_mean_curves", example=example, T=steps, method=LABELS.get(method, method))


def find_curve(example: int, steps: int, method: str) -> Curve | None:
    """The same, None for a method that the paper does not have."""
    return curve(example, steps, method) if find(f"fig12-ex{example}-T{steps}-{method}") else None


def ablation_curve(block: str, steps: int, lambda_0: float) -> Curve:
    """Figure 7: the mean distance on example 1; block "left" (it seems: with multipliers) or "right"."""
    return _panel("fig7_mean_curves", block=block, T=steps, lambda_0=lambda_0)


def accuracy_curve(split: str, method: str) -> Curve:
    """Figure 4(a): accuracy in percent on the split (train, validation, test) against seconds."""
    figure = _curves()["fig4a"]
    return Curve(tuple(figure["x_wall_clock_s"]), tuple(figure[split][LABELS.get(method, method)]))


def few_shot_curve(split: str, method: str) -> Curve:
    """Figure 4(b): accuracy in percent on the split (meta-train, meta-test) of mini-ImageNet against seconds."""
    figure = _curves()["fig4b"]
    return Curve(tuple(figure["x_wall_clock_s"]), tuple(figure[split][LABELS.get(method, method)]))


def _panel(figure: str, **keys: Any) -> Curve:
    block = _curves()[figure]
    for panel in block["panels"]:
        if all(panel[name] == held for name, held in keys.items()):
            return Curve(tuple(map(float, block["x_upper_iterations"])), tuple(map(float, panel["mean"])))
    said = ", ".join(f"{name} {held}" for name, held in keys.items())
    raise UserError(f"{CURVES.name}: {figure} has no panel with {said}")


@functools.cache
def _values() -> dict[str, Value]:
    return checked_values(_read(VALUES))


@functools.cache
def _curves() -> dict[str, Any]:
    return checked_curves(_read(CURVES))


def _read(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run this from a whole clone") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error


def checked_values(entries: Any) -> dict[str, Value]:
    """The entries of paper_results.yaml by id; raises UserError naming the first that is not well formed."""
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{VALUES.name} must hold a list of entries")
    known: dict[str, Value] = {}
    for number, entry in enumerate(entries):
        name = entry.get("id") if isinstance(entry, dict) else None
        place = f"{VALUES.name}, entry {number + 1} ({name})"
        if not isinstance(name, str):
            raise UserError(f"{place}: it needs an id")
        if name in known:
            raise UserError(f"{place}: the id is there twice")
        known[name] = _value(entry, place)
    return known


def _value(entry: Mapping[str, Any], place: str) -> Value:
    for key in (*NEEDED, "mean", "sd_or_ci", "spread_kind"):
        if key not in entry:
            raise UserError(f"{place}: {key} is missing")
    if not _finite(entry["mean"]):
        raise UserError(f"{place}: mean must be a number, not {entry['mean']!r}")
    kind, spread, trials = entry["spread_kind"], entry["sd_or_ci"], entry.get("n_trials")
    if kind not in SPREADS:
        raise UserError(f"{place}: spread_kind must be one of {', '.join(SPREADS)}, not {kind!r}")
    if (kind == "none") != (spread is None) or (spread is not None and not (_finite(spread) and spread >= 0)):
        raise UserError(f"{place}: sd_or_ci {spread!r} does not fit spread_kind {kind}")
    if trials is not None and not (isinstance(trials, int) and trials > 0):
        raise UserError(f"{place}: n_trials must be a positive whole number or nothing, not {trials!r}")
    digits = max(_decimals(entry["mean"]), 0 if spread is None else _decimals(spread))
    error = entry.get("reading_error")
    if error is not None and not (_finite(error) and error >= 0):
        raise UserError(f"{place}: reading_error must be a number, not {error!r}")
    return Value(
        id=entry["id"],
        table=entry["table_or_figure"],
        dataset=entry["dataset"],
        method=entry["method"],
        metric=entry["metric"],
        unit=entry["unit"],
        setting=entry["setting"] or {},
        mean=float(entry["mean"]),
        spread=None if spread is None else float(spread),
        spread_kind=kind,
        n_trials=trials,
        resolution=0.5 * 10.0**-digits if error is None else float(error),
        decimals=digits if error is None else max(digits, _decimals(error)),
    )


def checked_curves(figures: Any) -> dict[str, Any]:
    """figure_curves.yaml; raises UserError where a curve and its x axis differ in length."""
    for name in ("fig1_fig2_mean_curves", "fig7_mean_curves"):
        block = figures.get(name) if isinstance(figures, dict) else None
        if not isinstance(block, dict) or not isinstance(block.get("panels"), list):
            raise UserError(f"{CURVES.name}: {name} needs a list of panels")
        length = len(block["x_upper_iterations"])
        for number, panel in enumerate(block["panels"]):
            points = panel.get("mean")
            if not isinstance(points, list) or len(points) != length or not all(map(_finite, points)):
                raise UserError(f"{CURVES.name}: {name}, panel {number + 1}: mean needs {length} numbers")
    checked: dict[str, Any] = figures
    return checked


def _finite(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)


def _decimals(number: float) -> int:
    """How many decimals a number was written with; zeros at its end are lost: it looks coarser, not finer."""
    digits = repr(float(number)).partition(".")[2]
    return 0 if digits == "0" and isinstance(number, int) else min(len(digits), 6) if "e" not in digits else 6
