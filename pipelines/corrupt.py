"""Prepare a data set for a family: `python -m pipelines.corrupt <family> <profile> <data>`.

Reads pipelines/<family>/params.yaml, key <profile>.prepared.<data>, and the source's raw files. Writes the prepared
folder (`pipelines.datasets.prepared.folder_of`); which files it holds is said in pipelines/<family>/prepare.py. The
same settings and the same source give the same bytes.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from pipelines.datasets import entries, preparing
from pipelines.datasets.folders import locked, named
from pipelines.datasets.prepared import command, folder_of
from pipelines.errors import UserError, run


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; raises UserError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.corrupt", description="Prepare a family's data.")
    parser.add_argument("family", choices=preparing.FAMILIES)
    parser.add_argument("profile", help="a top-level key of the family's params.yaml")
    parser.add_argument("data", help="a key of its list `prepared`, such as mnist-25")
    options = parser.parse_args(arguments)
    entry = entries.read_entry(options.family, options.profile, options.data)
    folder = folder_of(options.profile, options.data, options.family)
    prepare = importlib.import_module(f"pipelines.{options.family}.prepare").prepare
    try:
        made = prepare(entry)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder, "writes into"), named(folder):
            preparing.write(folder, made, entry.found)
    except MemoryError as error:
        raise UserError(
            f"memory ran out over {folder}: close other programs, raise a limit (ulimit -v), or take a machine with more, "
            f"then run `{command(folder)}` again"
        ) from error
    print(f"{folder}: {made.said}")


if __name__ == "__main__":
    run(main)
