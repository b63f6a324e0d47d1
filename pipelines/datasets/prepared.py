"""Reading what `python -m pipelines.corrupt` wrote, as training may see it.

A prepared folder of denoising, data/prepared/<profile>/<data>/, holds

    train.npz    what a method trains, and is selected, on
    oracle.npz   which training labels are right: for the Oracle baseline, and for judging importances
    sealed.npz   test labels and right training labels: see `pipelines.datasets.sealed`
    index.json   fingerprints, sizes, rule and seeds of all of it

What is read is what index.json vouches for, made from what params.yaml asks for now: `pipelines.datasets.vouched`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets import vouched
from pipelines.errors import UserError
from pipelines.records import read_json

PREPARED = Path("data/prepared")
TRAINING_FILE = "train.npz"
ORACLE_FILE = "oracle.npz"
SEALED_FILE = "sealed.npz"
INDEX_FILE = "index.json"


class Prepared(NamedTuple):
    """What a denoising run may see. Trial i trains on `noisy_labels[i]` and on no other row of it.

    Attributes:
        train_images: uint8 [n, height, width], in colour [n, 3, height, width]; values 0..255, of the digits 0..16.
        noisy_labels: uint8 [seeds, n], one row per seed.
        seeds: int64 [seeds], the seed each row was drawn with.
        validation_images, validation_labels: clean, what f is computed on; uint8.
        selection_images, selection_labels: clean, in neither f nor g; what iterates are chosen on; uint8.
        test_images: to predict on; their labels are sealed; uint8.
    """

    train_images: NDArray[np.uint8]
    noisy_labels: NDArray[np.uint8]
    seeds: NDArray[np.int64]
    validation_images: NDArray[np.uint8]
    validation_labels: NDArray[np.uint8]
    selection_images: NDArray[np.uint8]
    selection_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]


def folder_of(profile: str, data: str, family: str = "denoising") -> Path:
    """Where a prepared data set lies, from the project's root.

    Denoising's lie one level higher than other families': it came first, and moving them would retrain its cells.
    """
    return PREPARED / profile / data if family == "denoising" else PREPARED / profile / family / data


def key_of(folder: Path) -> tuple[str, str, str]:
    """Family, profile and data set of a prepared folder."""
    data, above, top = (part.name for part in (folder, folder.parent, folder.parent.parent))
    return ("denoising", above, data) if top == PREPARED.name else (above, top, data)


def command(folder: Path) -> str:
    """The command that makes a prepared folder."""
    return f"python -m pipelines.corrupt {' '.join(key_of(folder))}"


def read_index(folder: Path) -> dict[str, Any]:
    """A prepared folder's index.json.

    Raises: UserError: it is missing, or made from other settings than params.yaml has; names the command that makes it.
    """
    found: dict[str, Any] = read_json(folder / INDEX_FILE, command(folder))
    vouched.check_settings(folder / INDEX_FILE, found, key_of(folder), command(folder))
    return found


def load_training(folder: Path) -> Prepared:
    """Read train.npz and nothing else; raises UserError where it is missing or unreadable."""
    return Prepared(**read_arrays(folder / TRAINING_FILE, Prepared._fields))


def load_oracle_mask(folder: Path) -> NDArray[np.bool_]:
    """True where a training label is right, bool [seeds, n]; raises UserError as `load_training` does."""
    clean: NDArray[np.bool_] = read_arrays(folder / ORACLE_FILE, ("clean",))["clean"]
    return clean


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read the named arrays of an npz file, each whole.

    Raises:
        UserError: the file is missing, damaged, lacks one of the arrays, is not what index.json vouches for, or was made
            from other settings than params.yaml has; names the command that makes it.
        RuntimeError: these are the sealed labels, which `pipelines.datasets.sealed` alone reads.
    """
    if path.name == SEALED_FILE:
        raise RuntimeError(f"{path} holds what evaluation alone may know: pipelines.datasets.sealed reads it")
    return read_any(path, names)


def read_any(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The same without the question whose file it is, for this package alone."""
    mend = f"run `{command(path.parent)}`"
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names}
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: {mend}") from error
    except KeyError as error:
        raise UserError(f"{path} lacks an array ({error.args[0]}): {mend}") from error
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}): {mend}") from error
    index = path.parent / INDEX_FILE
    vouched.check_arrays(path, arrays, index, read_index(path.parent), command(path.parent))
    return arrays
