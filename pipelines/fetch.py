"""Fetch data sets: `python -m pipelines.fetch mnist`; `--list` shows the known ones, `--check` verifies.

Writes data/raw/<data set>/<file>, uncompressed, and only what is missing or wrong. `BILEVEL_MIRROR` may name
a folder or an http(s) address to look in first; where the bytes come from does not change them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pipelines.datasets import download
from pipelines.datasets.registry import DATA_SETS, RAW, DataSet, data_set
from pipelines.errors import UserError, run


def fetch(entry: DataSet, raw: Path = RAW, mirror: str | None = None) -> None:
    """Bring every file of a data set into raw/<name>/, saying where each came from.

    Raises UserError where a file is to be had from no source, OSError where the folder cannot be written.
    """
    folder = raw / entry.name
    for file in entry.files:
        source = download.fetch(entry, file, folder, mirror)
        print(f"{folder / file.name}: {'already there' if source is None else f'from {source}'}")
    print(f"{entry.title}. Terms: {entry.licence}. Cite: {entry.citation}.")


def state(entry: DataSet, raw: Path = RAW) -> str:
    """One word or two for the whole: 'complete', 'missing', 'in part', or 'wrong' where any file is wrong."""
    states = {file.state(raw / entry.name) for file in entry.files}
    if "wrong" in states:
        return "wrong"
    if states == {"right"}:
        return "complete"
    return "missing" if states == {"missing"} else "in part"


def listing(raw: Path = RAW) -> str:
    """A line for each known data set: name, size uncompressed, state, title."""
    rows = [f"{'name':<12} {'size':>9}  {'state':<9} what it is"]
    for entry in DATA_SETS.values():
        rows.append(f"{entry.name:<12} {entry.size / 1e6:>6.1f} MB  {state(entry, raw):<9} {entry.title}")
    return "\n".join(rows)


def check(entries: Sequence[DataSet], raw: Path = RAW) -> None:
    """Verify every file by size and hash, a line for each; raises UserError where one is wrong or missing."""
    commands = []
    for entry in entries:
        for file in entry.files:
            found = file.state(raw / entry.name)
            print(f"{raw / entry.name / file.name}: {found}")
            if found != "right" and entry.command not in commands:
                commands.append(entry.command)
    if commands:
        raise UserError(f"files are missing or wrong: run `{' && '.join(commands)}`, it fetches those alone")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; raises UserError for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.fetch", description="Fetch the data sets of the paper."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(sorted(DATA_SETS))}")
    parser.add_argument("--list", action="store_true", help="show name, size and state of every data set")
    parser.add_argument(
        "--check", action="store_true", help="verify what was fetched; without a name, all of it"
    )
    options = parser.parse_args(arguments)
    entries = [data_set(name) for name in options.names]
    if options.list:
        print(listing())
    elif options.check:
        present = [entry for entry in DATA_SETS.values() if state(entry) != "missing"]
        if not (entries or present):
            print(f"nothing was fetched into {RAW} yet")
        check(entries or present)
    elif entries:
        for entry in entries:
            fetch(entry, mirror=os.environ.get(download.MIRROR))
    else:
        raise UserError(f"name a data set to fetch: {', '.join(sorted(DATA_SETS))}")


if __name__ == "__main__":
    run(main)
