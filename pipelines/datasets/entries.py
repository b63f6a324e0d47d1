"""What params.yaml asks to be prepared: the entries under <profile>.prepared, and reading their settings."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipelines.errors import UserError


class Entry(NamedTuple):
    """An entry of a params.yaml, with its place for messages."""

    found: Mapping[str, Any]
    place: str

    def must(self, good: bool, key: str, what: str) -> None:
        """Raise UserError, saying what must stand at `key`, unless `good`."""
        if not good:
            raise UserError(f"{self.place}.{key} is {self.found.get(key, 'missing')!r}; it must be {what}")

    def one_of(self, key: str, known: Collection[str], default: str | None = None) -> str:
        """A name among those known."""
        value: Any = self.found.get(key, default)
        self.must(isinstance(value, str) and value in known, key, f"one of {', '.join(sorted(known))}")
        return str(value)

    def integer(self, key: str, least: int, default: int | None = None) -> int:
        """An integer, at least `least`."""
        value: Any = self.found.get(key, default)
        self.must(is_integer(value) and value >= least, key, f"an integer, at least {least}")
        return int(value)

    def seeds(self) -> tuple[int, ...]:
        """Different, non-negative integers."""
        value: Any = self.found.get("seeds")
        good = isinstance(value, list) and len(value) > 0 and all(is_integer(seed) and seed >= 0 for seed in value)
        self.must(good and len(set(value)) == len(value), "seeds", "a list of different integers, none negative")
        return tuple(value)


def is_integer(value: object) -> bool:
    """Whether it is a whole number; True is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a number; True is none."""
    return isinstance(value, float) or is_integer(value)


def plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as JSON gives it back."""
    copied: dict[str, Any] = json.loads(json.dumps(found, default=str))  # YAML has dates
    return copied


def params(family: str, root: Path = Path()) -> tuple[Any, Path]:
    """A family's params.yaml and its place; raises UserError where it is missing or no YAML."""
    path = root / "pipelines" / family / "params.yaml"
    try:
        return _parsed(path.resolve(), path.stat().st_mtime_ns), path
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run this from the root of a whole clone") from error
    except YAMLError as error:
        raise UserError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error


@functools.cache
def _parsed(path: Path, written: int) -> Any:
    """A params.yaml as it stood at a time (nanoseconds): a stage reads many entries."""
    # YAML 1.2, as DVC reads it: there 1e-3 is a number.
    return YAML(typ="safe", pure=True).load(path)


def read_entry(family: str, profile: str, data: str, root: Path = Path()) -> Entry:
    """<profile>.prepared.<data> of the family's params.yaml.

    Raises:
        UserError: the file or a key is missing; names the key and what stands beside it.
    """
    found, path = params(family, root)
    keys = (profile, "prepared", data)
    for depth, key in enumerate(keys):
        if not isinstance(found, Mapping) or key not in found:
            known = ", ".join(map(str, found)) if isinstance(found, Mapping) else "nothing"
            raise UserError(f"{path} has no key {'.'.join(keys[: depth + 1])}; beside it there is: {known}")
        found = found[key]
    place = f"{path}: {'.'.join(keys)}"
    if not isinstance(found, Mapping):
        raise UserError(f"{place} must hold source, seeds and what else the family's other entries hold")
    return Entry(found, place)
