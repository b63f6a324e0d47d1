"""A package that registers solvers, laid out as pip installs one."""

from __future__ import annotations

from pathlib import Path

from core import solvers

ROOT = Path(__file__).parents[2]
NAME = "far-identity"


def install(place: Path) -> Path:
    """Put it in the folder `place`, which is to be on the path: two names, one of them of ours, for the template's copy."""
    module, facts = place / "far_away" / "identity.py", place / "far_away-1.0.dist-info"
    module.parent.mkdir(parents=True)
    facts.mkdir()
    module.write_text((ROOT / "core/solvers/template.py").read_text().replace("Template", "Identity"))
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: far-away\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{solvers.GROUP}]\n{NAME} = far_away.identity\npenalty = far_away.identity\n")
    return place
