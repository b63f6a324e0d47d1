"""Put the drawn table of results into the README: `python -m pipelines.readme [--check]`.

The text between the markers <!-- results --> and <!-- /results --> becomes reports/cpu/tables/results.md; all else
stays. With --check nothing is written: the exit is not zero where the README holds another table. README.md is no output
of a stage, since those are deleted before a run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.errors import UserError, run
from pipelines.records import write_bytes
from pipelines.sources import REPORTS

PROFILE = "cpu"
README = Path("README.md")
START, END = "<!-- results -->", "<!-- /results -->"


def spliced(text: str, table: str) -> str:
    """The README with the table between its markers; raises UserError where they are not there once, in this order."""
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise UserError(f"{README} needs the lines {START} and {END}, once each and in this order")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    return f"{before}{START}\n\n{table.strip()}\n\n{END}{after}"


def read(path: Path, mend: str) -> str:
    """A file's text; raises UserError with the mend where it is missing."""
    try:
        return path.read_text()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: {mend}") from error


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.readme", description=__doc__)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    drawn = REPORTS / PROFILE / "tables" / "results.md"
    table = read(drawn, f"`python -m pipelines.tables {PROFILE}` makes it")
    text = read(README, "run this from the root of a whole clone")
    wanted = spliced(text, table)
    if given.check:
        if wanted != text:
            raise UserError(
                f"{README} does not hold the table of {drawn}: `python -m pipelines.readme` puts it there"
            )
    elif wanted != text:
        write_bytes(README, wanted.encode())


if __name__ == "__main__":
    run(main)
