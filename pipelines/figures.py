"""Draw the figures of a profile: `python -m pipelines.figures <profile>`.

Writes reports/<profile>/figures/*, as PNG, PDF and SVG: the paper's Figures 1, 2 and 7 (each on the paper's axis and on a
logarithmic one, and for every preset), wall-clock (ratios to Penalty), learning-curves and accuracies
(denoising), those of denoising/figures.py where a profile has the experiments, those of few_shot/figures.py,
table-1 (bytes and seconds against T, U and V), penalty-theory and other-claims (demonstrations), and a contact
sheet of each few-shot set. Lines are ours, points with white faces are published.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

from matplotlib.figure import Figure

from pipelines import datasheet, distances
from pipelines.clean_label import figures as clean_label
from pipelines.denoising import curves
from pipelines.denoising import figures as experiments
from pipelines.drawing import style, write
from pipelines.errors import run
from pipelines.few_shot import figures as few_shot
from pipelines.few_shot import missing as few_shot_budget
from pipelines.poisoning import figures as poisoned
from pipelines.sources import REPORTS, Sources, load
from pipelines.synthetic import figures as synthetic
from pipelines.theory import figures as theory


def drawings(inputs: Sources) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """(file name, what draws it) of all figures; the main preset's carry no preset in their name."""
    for preset in distances.presets(inputs):
        ending = "" if preset == distances.MAIN_PRESET else f"-{preset}"
        for log in (False, True):
            scale = "-log" if log else ""
            for name in distances.FIGURES:
                yield f"{name}{ending}{scale}", partial(synthetic.convergence, inputs, name, preset, log)
            yield f"figure-7{ending}{scale}", partial(synthetic.ablation, inputs, preset, log)
    yield "wall-clock", partial(synthetic.wall_clock, inputs)
    yield "learning-curves", partial(curves.learning_curves, inputs)
    yield "accuracies", partial(curves.final_accuracies, inputs)
    yield from experiments.drawings(inputs)
    yield from few_shot.drawings(inputs)
    yield from few_shot_budget.drawings(inputs)
    yield from poisoned.drawings(inputs)
    yield from clean_label.drawings(inputs)
    yield "table-1", partial(theory.complexity, inputs)
    yield "penalty-theory", partial(theory.penalty, inputs)
    yield "other-claims", partial(theory.others, inputs)
    for name, data in datasheet.sheets(inputs).items():
        yield name, partial(datasheet.sheet, inputs, data)


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.figures", description=__doc__)
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    inputs = load(given.profile)
    with style():
        for name, draw in drawings(inputs):
            write(draw(), REPORTS / given.profile / "figures" / name)


if __name__ == "__main__":
    run(main)
