"""Prepare a data set for denoising: `python -m pipelines.corrupt denoising <profile> <data>`.

Reads pipelines/denoising/params.yaml, key <profile>.prepared.<data>, and the source's raw files. Writes
data/prepared/<profile>/<data>/: train.npz, oracle.npz, sealed.npz, index.json. What each holds is said in
`pipelines.datasets.prepared`. The same settings and the same source give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipelines.datasets import digits, mnist
from pipelines.datasets.corruption import RULES
from pipelines.datasets.prepared import ORACLE_FILE, TRAINING_FILE, Prepared, folder_of
from pipelines.datasets.registry import MNIST
from pipelines.datasets.splits import Splits, digits_splits, mnist_splits
from pipelines.errors import UserError, run

# Written out, not imported: only evaluation imports the module that opens this file.
SEALED_FILE = "sealed.npz"
INDEX_FILE = "index.json"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Settings:
    """How a data set is prepared.

    Attributes:
        source: a key of `SOURCES`.
        noise: share of the training labels made wrong, in [0, 1].
        seeds: one noisy copy of the training labels is drawn per seed; different, non-negative.
        train_size: training rows to keep, or None for all.
        rule: a key of `pipelines.datasets.corruption.RULES`.
    """

    source: str
    noise: float
    seeds: tuple[int, ...]
    train_size: int | None = None
    rule: str = "first_rows"


def read_settings(profile: str, data: str, root: Path = Path()) -> Settings:
    """Read <profile>.prepared.<data> of the family's params.yaml; further keys there are left alone.

    Raises:
        UserError: the file or a key is missing, or a value is out of range; names the key and what may stand
            there.
    """
    path = root / "pipelines" / "denoising" / "params.yaml"
    try:
        # YAML 1.2, as DVC reads it: there 1e-3 is a number.
        found = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run this from the root of a whole clone") from error
    except YAMLError as error:
        raise UserError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error
    keys = (profile, "prepared", data)
    for depth, key in enumerate(keys):
        if not isinstance(found, Mapping) or key not in found:
            known = ", ".join(map(str, found)) if isinstance(found, Mapping) else "nothing"
            raise UserError(f"{path} has no key {'.'.join(keys[: depth + 1])}; beside it there is: {known}")
        found = found[key]
    place = f"{path}: {'.'.join(keys)}"
    if not isinstance(found, Mapping):
        raise UserError(f"{place} must hold source, noise, seeds and train_size")
    return _checked(found, place)


def _checked(found: Mapping[str, Any], place: str) -> Settings:
    """Settings from what a parameter file holds at `place`; raises UserError for a value out of range."""

    def must(good: bool, key: str, what: str) -> None:
        if not good:
            raise UserError(f"{place}.{key} is {found.get(key, 'missing')!r}; it must be {what}")

    source: Any = found.get("source")
    noise: Any = found.get("noise")
    seeds: Any = found.get("seeds")
    train_size: Any = found.get("train_size")
    rule: Any = found.get("rule", "first_rows")
    must(isinstance(source, str) and source in SOURCES, "source", f"one of {', '.join(sorted(SOURCES))}")
    must(_is_number(noise) and 0 <= noise <= 1, "noise", "a share between 0 and 1")
    must(
        isinstance(seeds, list)
        and len(seeds) > 0
        and all(_is_integer(seed) and seed >= 0 for seed in seeds)
        and len(set(seeds)) == len(seeds),
        "seeds",
        "a list of different integers, none negative",
    )
    whole_or_part = train_size is None or (_is_integer(train_size) and train_size > 0)
    must(whole_or_part, "train_size", "null or a positive integer")
    must(isinstance(rule, str) and rule in RULES, "rule", f"one of {', '.join(sorted(RULES))}")
    return Settings(source, float(noise), tuple(seeds), train_size, rule)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_integer(value)


def _from_mnist(train_size: int | None) -> tuple[Splits, dict[str, str]]:
    # `load` accepts the manifest's content alone, so the manifest's hashes are the files'.
    return mnist_splits(mnist.load(), train_size), {file.name: file.sha256 for file in MNIST.files}


def _from_digits(train_size: int | None) -> tuple[Splits, dict[str, str]]:
    data = digits.load()
    return digits_splits(data, train_size), digits.fingerprints(data)


SOURCES: dict[str, Callable[[int | None], tuple[Splits, dict[str, str]]]] = {
    "mnist": _from_mnist,
    "digits": _from_digits,
}
"""Name -> a function of train_size that gives the splits and the SHA-256 of what they were read from."""


def prepare(splits: Splits, settings: Settings) -> dict[str, Arrays]:
    """The arrays of each file, by file name; a pure function of its arguments.

    Row i of `noisy_labels` and of `clean` belongs to the i-th seed; neither depends on the other seeds.
    """
    rule = RULES[settings.rule]
    drawn = [rule(splits.train.labels, settings.noise, seed, 10) for seed in settings.seeds]
    training = Prepared(
        train_images=splits.train.images,
        noisy_labels=np.stack([noisy.labels for noisy in drawn]),
        seeds=np.array(settings.seeds, dtype=np.int64),
        validation_images=splits.validation.images,
        validation_labels=splits.validation.labels,
        selection_images=splits.selection.images,
        selection_labels=splits.selection.labels,
        test_images=splits.test.images,
    )
    return {
        TRAINING_FILE: training._asdict(),
        ORACLE_FILE: {"clean": ~np.stack([noisy.corrupted for noisy in drawn])},
        SEALED_FILE: {"test_labels": splits.test.labels, "train_labels": splits.train.labels},
    }


def index(
    files: Mapping[str, Arrays], settings: Settings, source_sha256: Mapping[str, str]
) -> dict[str, Any]:
    """What was prepared from what: settings, SHA-256 of the source; shape, type, SHA-256 of every array."""
    return {
        "settings": asdict(settings),
        "source_sha256": dict(source_sha256),
        "corrupted_rows": {
            str(seed): int(np.count_nonzero(~clean))
            for seed, clean in zip(settings.seeds, files[ORACLE_FILE]["clean"], strict=True)
        },
        "files": {
            name: {
                key: {
                    "shape": list(array.shape),
                    "type": array.dtype.name,
                    "sha256": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(),
                }
                for key, array in arrays.items()
            }
            for name, arrays in files.items()
        },
    }


def write(folder: Path, files: Mapping[str, Arrays], described: Mapping[str, Any]) -> None:
    """Write the files, then index.json; each appears whole or not at all. Raises OSError where that fails.

    The archives are not compressed: two versions of zlib compress to different bytes, and a cache would take
    the same data on another machine for changed data. NumPy dates their members 1980-01-01.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX_FILE).unlink(missing_ok=True)  # it vouches for the files, so it goes first and comes last
    for name, arrays in files.items():
        unfinished = folder / f".{name}"
        with unfinished.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # the stub takes a name for allow_pickle
        os.replace(unfinished, folder / name)
    unfinished = folder / f".{INDEX_FILE}"
    unfinished.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
    os.replace(unfinished, folder / INDEX_FILE)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; raises UserError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.corrupt", description="Prepare noisy data.")
    parser.add_argument("family", choices=["denoising"])
    parser.add_argument("profile", help="a top-level key of the family's params.yaml")
    parser.add_argument("data", help="a key of its list `prepared`, such as mnist-25")
    options = parser.parse_args(arguments)
    settings = read_settings(options.profile, options.data)
    splits, source_sha256 = SOURCES[settings.source](settings.train_size)
    files = prepare(splits, settings)
    folder = folder_of(options.profile, options.data)
    described = index(files, settings, source_sha256)
    write(folder, files, described)
    rows = next(iter(described["corrupted_rows"].values()))
    print(
        f"{folder}: {len(splits.train.labels)} training rows, {rows} of them with a wrong label, "
        f"{len(settings.seeds)} seeds"
    )


if __name__ == "__main__":
    run(main)
