"""Put the drawn table of results and the scorecard's counts into the README: `python -m pipelines.readme [--check]`.

The text between the markers <!-- results --> and <!-- /results --> becomes reports/cpu/tables/results.md, and that between
<!-- scorecard --> and <!-- /scorecard --> a sentence that counts the verdicts of reports/cpu/tables/claims.csv; all else
stays. With --check nothing is written: the exit is not zero where the README holds another table, or other counts. README.md
is no output of a stage, since those are deleted before a run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.errors import UserError, run
from pipelines.records import write_bytes
from pipelines.scorecard import card
from pipelines.sources import REPORTS

PROFILE = "cpu"
README = Path("README.md")
RESULTS, SCORECARD = "results", "scorecard"
"""What stands between markers of these names."""


def spliced(text: str, name: str, part: str) -> str:
    """The README with a part between its markers; raises UserError where they are not there once, in this order."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise UserError(f"{README} needs the lines {start} and {end}, once each and in this order")
    before, rest = text.split(start)
    after = rest.split(end)[1]
    return f"{before}{start}\n\n{part.strip()}\n\n{end}{after}"


def counts(claims: str) -> str:
    """The sentence of the scorecard, from the drawn table of claims."""
    return f"**What holds, in profile `{PROFILE}`.** {card.said_counts(card.standings_in(claims))}"


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
    folder, mend = REPORTS / PROFILE / "tables", f"`python -m pipelines.tables {PROFILE}` makes it"
    drawn, claims = folder / "results.md", folder / "claims.csv"
    table, counted = read(drawn, mend), counts(read(claims, mend))
    text = read(README, "run this from the root of a whole clone")
    wanted = spliced(spliced(text, RESULTS, table), SCORECARD, counted)
    if given.check:
        if wanted != text:
            raise UserError(
                f"{README} does not hold the table of {drawn}, or the counts of {claims}:"
                " `python -m pipelines.readme` puts them there"
            )
    elif wanted != text:
        write_bytes(README, wanted.encode())


if __name__ == "__main__":
    run(main)
