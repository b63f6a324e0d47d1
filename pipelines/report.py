"""Redraw a profile's tables, figures and pages: `python -m pipelines.report [--profile NAME]`; this is `make report`.

Trains and evaluates nothing, whatever is stale; where a cell's records changed, what is gathered of its family is gathered
anew before, so that what is drawn follows the records.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from pipelines.errors import UserError, run
from pipelines.repro import DVC, profile_in_use, use_profile
from pipelines.sources import FAMILIES

GATHERING = ("summary", "costs")
DRAWING = ("tables", "figures", "pages")


def gather(profile: str) -> None:
    """Summaries and costs of every family, where a record of theirs is another."""
    stages = [f"pipelines/{family}/{profile}/dvc.yaml:{kind}_{profile}" for family in FAMILIES for kind in GATHERING]
    if subprocess.run([*DVC, "repro", "--single-item", *stages], check=False).returncode != 0:
        raise UserError("a family's records could not be gathered, see above; `make repro` makes what is missing")


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.report", description=__doc__)
    parser.add_argument("--profile", default="")
    given = parser.parse_args(arguments)
    if given.profile:
        use_profile(given.profile)
    profile = profile_in_use()
    gather(profile)
    for stage in DRAWING:
        done = subprocess.run([*DVC, "repro", "--force", "--single-item", f"{stage}@{profile}"], check=False)
        if done.returncode != 0:
            raise UserError(f"{stage} could not be drawn, see above; `make repro` makes what is missing")
    print(f"the report: {Path('reports').resolve() / profile / 'index.html'}")


if __name__ == "__main__":
    run(main)
