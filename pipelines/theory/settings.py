"""The family's parameters: the same in every profile, but for what a profile's own block says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipelines.errors import UserError
from pipelines.settings import PROFILES

PARAMS = Path("pipelines/theory/params.yaml")


def load(profile: str, part: str) -> dict[str, Any]:
    """A part of params.yaml ("ledger", "complexity", "demonstrations") with what is common; raises UserError for an unknown
    profile or an unreadable file."""
    if profile not in PROFILES:
        raise UserError(f"no profile {profile!r}; there are: {', '.join(PROFILES)}")
    try:
        params = YAML(typ="safe", pure=True).load(PARAMS)
        return {**params["common"], **params[part], **params.get(profile, {}).get(part, {})}
    except FileNotFoundError as error:
        raise UserError(f"{PARAMS} is missing: run this from the root of a whole clone") from error
    except (YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{PARAMS} has no mapping {part!r}, or is no valid YAML: {' '.join(str(error).split())}") from error
