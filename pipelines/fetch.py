"""Fetch data sets: `python -m pipelines.fetch mnist`; `--list` shows the known ones, `--list mnist` all on one, `--check`
verifies.

Writes data/raw/<data set>/<file>, uncompressed, an archive as one tar, and only what is missing or wrong. `BILEVEL_MIRROR`
may name a folder or an http(s) address to look in first, data/mirror what was put there by hand; where the bytes come from
does not change them. Of what a package ships nothing is fetched: it is verified where it lies.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.datasets import download, shipped
from pipelines.datasets.registry import DATA_SETS, RAW, SHIPPED, DataSet, File, State, data_set
from pipelines.errors import UserError, run


def fetch(entry: DataSet, raw: Path = RAW, mirror: str | None = None) -> None:
    """Bring every file of a data set into raw/<name>/, saying where each came from.

    Raises UserError where a file is to be had from no source, OSError where the folder cannot be written.
    """
    folder = raw / entry.name
    if entry.comes_with:
        check([entry], raw)
        print(f"{entry.name} comes with {entry.comes_with}: there is nothing to fetch")
    # Those with a published sum first: they may list what the others must hold.
    for file in [] if entry.comes_with else sorted(entry.files, key=lambda one: not one.is_published):
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

    That is '(offered by a mirror, unchecked)' where the folder of a mirror, or data/mirror, has all of its files;
    '(download)' where it has an address; '(by hand)' where no program can fetch it, or '(not in this mirror)' where a
    mirror is named. Of what a package ships, the package is named.
    """
    states = {_place_and_state(entry, file, raw)[1] for file in entry.files}
    by = f", comes with {entry.comes_with}" if entry.comes_with else ""
    for trouble in ("unreadable", "wrong", *(["missing"] if by else [])):
        if trouble in states:
            return f"{trouble}{by}"
    if states == {"right"}:
        return f"complete{by}"
    if states != {"missing"}:
        return "in part"
    if all(any(Path(one).is_file() for one in download.sources(entry, file, mirror)) for file in entry.files):
        return "missing (offered by a mirror, unchecked)"
    if entry.addresses or (mirror and download.is_address(mirror)):
        return "missing (download)"
    return "missing (not in this mirror)" if mirror else "missing (by hand)"


def _place_and_state(entry: DataSet, file: File, raw: Path) -> tuple[Path, State]:
    """Where a file lies, in data/raw or in the package that ships it, and what lies there."""
    if entry.comes_with:
        return shipped.path_of(entry, file), shipped.state(entry, file)
    return raw / entry.name / file.name, download.state(file, raw / entry.name)


def _size(entry: DataSet) -> str:
    """Bytes uncompressed, in MB; with "<" where that is a bound."""
    megabytes = entry.size / 1e6
    bound = "<" if any(file.at_most for file in entry.files) else ""
    return f"{bound}{megabytes:.1f} MB" if megabytes > 0.1 else f"{bound}{megabytes:.2f} MB"


def listing(raw: Path = RAW, mirror: str | None = None) -> str:
    """A line for each known data set: name, size uncompressed, state, title; "<" before a size that is a bound."""
    rows = [("name", "size", "state", "what it is")]
    for entry in (*DATA_SETS.values(), *SHIPPED.values()):
        rows.append((entry.name, _size(entry), state(entry, raw, mirror), entry.title))
    name, size, found, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    return "\n".join(f"{row[0]:<{name}} {row[1]:>{size}}  {row[2]:<{found}} {row[3]}" for row in rows)


def details(entry: DataSet, raw: Path = RAW, mirror: str | None = None) -> str:
    """All that is known of a data set, a line for each: state, size, files, origin, terms, citation, who has the sums."""
    found = [_place_and_state(entry, file, raw) for file in entry.files]
    origin = f"comes with {entry.comes_with}" if entry.comes_with else ", ".join(entry.addresses) or entry.by_hand
    lines = {"title": entry.title, "size": _size(entry), "state": state(entry, raw, mirror), "from": origin,
             "terms": entry.licence, "cite": entry.citation, "sums": entry.sums}  # fmt: skip
    told = [*(f"{name}: {words}" for name, words in lines.items()), *(f"{place}: {words}" for place, words in found)]
    return "\n  ".join([entry.name, *told])


def check(entries: Sequence[DataSet], raw: Path = RAW) -> None:
    """Verify every file by size and hash, a line for each; raises UserError where one is wrong, missing or unreadable."""
    commands: list[str] = []
    mends: list[str] = []
    for entry in entries:
        for file in entry.files:
            place, found = _place_and_state(entry, file, raw)
            print(f"{place}: {found}")
            if found == "right":
                continue
            if entry.comes_with:
                mend = f"{entry.name} is not what this project was built on: {shipped.mend(entry)}"
                mends += [mend] if mend not in mends else []
            elif found == "unreadable":
                mends.append(file.unreadable(raw / entry.name))
            elif entry.command not in commands:
                commands.append(entry.command)
    if commands:
        mends.append(f"files are missing or wrong: run `{' && '.join(commands)}`, it fetches those alone")
    if mends:
        raise UserError("; ".join(mends))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; raises UserError for what the user can mend.

    Where nobody reads on what it prints (`| head`), it ends as a shell expects of such a command, and says nothing.
    """
    try:
        _main(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # or Python would write the rest at its end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _main(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.fetch", description="Fetch the data sets of the paper."
    )
    known = ", ".join(sorted({**DATA_SETS, **SHIPPED}))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {known}")
    parser.add_argument(
        "--list", action="store_true", help="show name, size and state of every data set; of those named, all that is known"
    )
    parser.add_argument(
        "--check", action="store_true", help="verify what was fetched; without a name, all of it"
    )
    options = parser.parse_args(arguments)
    entries = [data_set(name) for name in options.names]
    mirror = os.environ.get(download.MIRROR)
    if options.list and entries:
        print("\n".join(details(entry, mirror=mirror) for entry in entries))
    elif options.list:
        print(listing(mirror=mirror))
        print("`--list NAME` shows files, origin, terms and citation of one")
    elif options.check:
        present = [entry for entry in DATA_SETS.values() if not state(entry).startswith("missing")]
        if not (entries or present):
            print(f"nothing was fetched into {RAW} yet")
        check(entries or [*present, *SHIPPED.values()])
    elif entries:
        for entry in entries:
            fetch(entry, mirror=mirror)
    else:
        raise UserError(f"name a data set to fetch: {known}")


if __name__ == "__main__":
    run(main)
