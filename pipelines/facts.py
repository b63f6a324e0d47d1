"""Gather what there is to know of a family's prepared data: `python -m pipelines.facts <family> <profile>`.

Reads index.json of every data set of the profile's cells, and of few-shot data the training images. Writes
results/<profile>/<family>/data.json: sizes, classes, rates, settings, fingerprints, and a contact sheet of few-shot
data. It is what tables, figures and pages draw data from, so that they need no data file.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from pipelines import records
from pipelines.datasets import entries, preparing
from pipelines.datasets.prepared import folder_of, read_index
from pipelines.errors import UserError, run
from pipelines.few_shot import stored

SHEET = (12, 20)
"""Rows and columns of the sheet's first part, a drawing of each of as many classes."""
ROWS = 5
"""Classes of which the sheet shows twenty drawings."""


def names(family: str, profile: str) -> list[str]:
    """The data sets that a profile prepares for a family; raises UserError where its params.yaml does not say."""
    params, path = entries.params(family)
    try:
        found = preparing.data_sets(params[profile])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} must hold {profile}.data, a list of names (it may be empty)") from error
    return found


def facts(family: str, profile: str, data: str) -> dict[str, Any]:
    """What the index of a prepared data set says, without the list of its arrays.

    Raises UserError, naming the command, where it was not prepared, or from other settings than params.yaml has.
    """
    folder = folder_of(profile, data, family)
    found = read_index(folder)
    arrays = found.pop("files")
    del found["entry"]  # `settings` has it, with what it leaves out
    found["bytes"] = sum(
        int(np.prod(one["shape"])) * np.dtype(one["type"]).itemsize for file in arrays.values() for one in file.values()
    )
    return found


def with_sheets(family: str, profile: str, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same with a contact sheet of the first few-shot set of each source, unless its images are photographs, of which a
    sheet would be megabytes."""
    shown: set[str] = set()
    for data, one in found.items():
        source = one["settings"]["source"]
        if family != "few_shot" or source in shown:
            continue
        images = stored.load(folder_of(profile, data, family)).train_images
        if images.ndim == 4:
            one["sheet"] = sheet(images)
            shown.add(source)
    return found


def sheet(images: np.ndarray) -> dict[str, Any]:
    """A contact sheet of images [classes, drawings, side, side], packed: "classes" [240, ...], one drawing of as
    many classes, evenly spaced, and "drawings" [5, 20, ...], of five of them."""
    count = min(len(images), SHEET[0] * SHEET[1])
    spread = np.linspace(0, len(images) - 1, count).astype(int)
    few = np.linspace(0, len(images) - 1, ROWS + 2).astype(int)[1:-1]
    return {
        "classes": records.pack(images[spread, 0]),
        "drawings": records.pack(images[few, : SHEET[1]]),
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.facts", description=__doc__)
    parser.add_argument("family", choices=preparing.FAMILIES)
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    found = {data: facts(given.family, given.profile, data) for data in names(given.family, given.profile)}
    found = with_sheets(given.family, given.profile, found)
    head = {"schema": records.SCHEMA, "family": given.family, "profile": given.profile}
    records.write_json(records.RESULTS / given.profile / given.family / "data.json", {**head, "data": found})


if __name__ == "__main__":
    run(main)
