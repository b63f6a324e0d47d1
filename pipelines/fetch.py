"""Fetch data sets: `python -m pipelines.fetch mnist`; `--list` shows the known ones, `--check` verifies.

Writes data/raw/<data set>/<file>, uncompressed, an archive as one tar, and only what is missing or wrong. `BILEVEL_MIRROR`
may name a folder or an http(s) address to look in first, data/mirror what was put there by hand; where the bytes come from
does not change them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pipelines.datasets import download
from pipelines.datasets.registry import DATA_SETS, RAW, DataSet, File, data_set
from pipelines.errors import UserError, run


def fetch(entry: DataSet, raw: Path = RAW, mirror: str | None = None) -> None:
    """Bring every file of a data set into raw/<name>/, saying where each came from.

    Raises UserError where a file is to be had from no source, OSError where the folder cannot be written.
    """
    folder = raw / entry.name
    # Those with a published sum first: they may list what the others must hold.
    for file in sorted(entry.files, key=lambda one: not one.is_published):
        source = download.fetch(entry, file, folder, mirror)
        print(f"{folder / file.name}: {_already(file, folder) if source is None else f'from {source}'}")
    print(f"{entry.title}. Terms: {entry.licence}. Cite: {entry.citation}.")


def _already(file: File, folder: Path) -> str:
    """What is said of a file that lies there; of one that was merely trusted, how to come by another copy."""
    if file.is_published:
        return "already there"
    return f"already there, the copy trusted first; to bring another, delete it and {file.record(folder)} and run this again"


def state(entry: DataSet, raw: Path = RAW, mirror: str | None = None) -> str:
    """A word or two for the whole: 'complete', 'in part', 'wrong' or 'unreadable' where any file is, else 'missing' and how
    to get it.

    That is '(mirror)' where the folder of a mirror, or data/mirror, has all of it; '(download)' where it has an address;
    '(by hand)' where no program can fetch it, or '(not in this mirror)' where a mirror is named.
    """
    states = {file.state(raw / entry.name) for file in entry.files}
    for trouble in ("unreadable", "wrong"):
        if trouble in states:
            return trouble
    if states == {"right"}:
        return "complete"
    if states != {"missing"}:
        return "in part"
    if all(any(Path(one).is_file() for one in download.sources(entry, file, mirror)) for file in entry.files):
        return "missing (mirror)"
    if entry.addresses or (mirror and download.is_address(mirror)):
        return "missing (download)"
    return "missing (not in this mirror)" if mirror else "missing (by hand)"


def listing(raw: Path = RAW, mirror: str | None = None) -> str:
    """A line for each known data set: name, size uncompressed, state, title; "<" before a size that is a bound."""
    rows = [("name", "size", "state", "what it is")]
    for entry in DATA_SETS.values():
        bound = "<" if any(file.at_most for file in entry.files) else ""
        rows.append((entry.name, f"{bound}{entry.size / 1e6:.1f} MB", state(entry, raw, mirror), entry.title))
    name, size, found, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    return "\n".join(f"{row[0]:<{name}} {row[1]:>{size}}  {row[2]:<{found}} {row[3]}" for row in rows)


def check(entries: Sequence[DataSet], raw: Path = RAW) -> None:
    """Verify every file by size and hash, a line for each; raises UserError where one is wrong, missing or unreadable."""
    commands: list[str] = []
    mends: list[str] = []
    for entry in entries:
        for file in entry.files:
            found = file.state(raw / entry.name)
            print(f"{raw / entry.name / file.name}: {found}")
            if found == "unreadable":
                mends.append(file.unreadable(raw / entry.name))
            elif found != "right" and entry.command not in commands:
                commands.append(entry.command)
    if commands:
        mends.append(f"files are missing or wrong: run `{' && '.join(commands)}`, it fetches those alone")
    if mends:
        raise UserError("; ".join(mends))


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
    mirror = os.environ.get(download.MIRROR)
    if options.list:
        print(listing(mirror=mirror))
    elif options.check:
        present = [entry for entry in DATA_SETS.values() if not state(entry).startswith("missing")]
        if not (entries or present):
            print(f"nothing was fetched into {RAW} yet")
        check(entries or present)
    elif entries:
        for entry in entries:
            fetch(entry, mirror=mirror)
    else:
        raise UserError(f"name a data set to fetch: {', '.join(sorted(DATA_SETS))}")


if __name__ == "__main__":
    run(main)
