"""A cell's settings, from the family's params.yaml: one place where stages read parameters."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipelines.errors import UserError
from pipelines.records import cell_folder, sha256_of

FAMILIES = tuple(sorted((path.parent.name for path in Path(__file__).parent.glob("*/run.py")), reverse=True))
"""The packages of pipelines/ that train cells, synthetic first: a new one changes no file that another one's cells run."""
PROFILES = ("embedded", "cpu", "paper")


@dataclass(frozen=True)
class Cell:
    """One paper result: a method in a setting.

    Attributes:
        family, profile: where it belongs. parts: what names it, outermost first: (data, method) or
            (example, method, preset).
        settings: cells.<part>.<part> of the profile. common: what all cells of the family share.
    """

    family: str
    profile: str
    parts: tuple[str, ...]
    settings: Mapping[str, Any]
    common: Mapping[str, Any]

    @property
    def name(self) -> str:
        return "-".join(self.parts)

    @property
    def folder(self) -> Path:
        """results/<profile>/<family>/<cell>."""
        return cell_folder(self.profile, self.family, *self.parts)

    @property
    def configuration(self) -> dict[str, Any]:
        """All that determines the cell's result besides code and data."""
        return {
            "family": self.family,
            "profile": self.profile,
            "cell": list(self.parts),
            "settings": dict(self.settings),
            "common": dict(self.common),
        }

    @property
    def configuration_hash(self) -> str:
        return sha256_of(self.configuration)


def params_path(family: str) -> Path:
    """pipelines/<family>/params.yaml."""
    return Path("pipelines") / family / "params.yaml"


def load_params(family: str) -> dict[str, Any]:
    """A family's parameters; raises UserError for an unknown family, a missing or an invalid file."""
    if family not in FAMILIES:
        raise UserError(f"no family {family!r}{hint(family, FAMILIES)}; there are: {', '.join(FAMILIES)}")
    path = params_path(family)
    try:
        params = _parsed(path.resolve(), path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run this from the root of a whole clone") from error
    except YAMLError as error:
        raise UserError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(params, dict):
        raise UserError(f"{path} must hold a mapping")
    return params


@functools.cache
def _parsed(path: Path, written: int) -> Any:
    """A parameter file as it stood at a time (nanoseconds): a stage asks for it several times."""
    # YAML 1.2, as DVC reads it: there 1e-3 is a number
    return YAML(typ="safe", pure=True).load(path)


def profile_params(family: str, profile: str) -> dict[str, Any]:
    """The profile's block of a family's parameters; raises UserError for a profile that is not there."""
    params = load_params(family)
    if profile not in PROFILES or profile not in params:
        known = [name for name in PROFILES if name in params]
        raise UserError(f"no profile {profile!r}{hint(profile, known)}; there are: {', '.join(known)}")
    block: dict[str, Any] = params[profile]
    return block


def cell(family: str, profile: str, *parts: str, depth: int = 2) -> Cell:
    """The settings of one cell.

    Args: depth: how many of the parts lead to its settings (a preset, third, is no key).
    Raises: UserError for a cell that does not exist; the message lists those that do.
    """
    block: Any = profile_params(family, profile)["cells"]
    place = f"{params_path(family)}: {profile}.cells"
    for part in parts[:depth]:
        if not isinstance(block, Mapping) or part not in block:
            known = list(map(str, block)) if isinstance(block, Mapping) else []
            raise UserError(f"{place} has no {part!r}{hint(part, known)}; there are: {', '.join(known)}")
        block = block[part]
        place = f"{place}.{part}"
    return Cell(family, profile, parts, block, load_params(family)["common"])


def hint(word: str, known: Any) -> str:
    """ (did you mean ...?) for a word that is nearly one of those known, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
