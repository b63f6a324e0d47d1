"""Reading Omniglot: 1,623 characters of 50 alphabets, each drawn by 20 people, as black-and-white PNG files of 105x105.

The archives hold <set>/<Alphabet>/characterNN/<number>_<drawer>.png. Source: B. Lake, R. Salakhutdinov, J. Tenenbaum (2015).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from pipelines.datasets import archives
from pipelines.datasets.registry import DATA_SETS, RAW, DataSet
from pipelines.errors import UserError

OMNIGLOT = DATA_SETS["omniglot"]
SIDE = 105
DRAWINGS = 20


class Omniglot(NamedTuple):
    """The characters of the background set, then those of the evaluation set; by name within each.

    Attributes:
        images: bool [characters, 20, side, side], True where there is ink; drawings in the order of the drawers.
        characters: "<Alphabet>/characterNN" of each.
        background: how many of them are of the background set (964 of 1,623).
    """

    images: NDArray[np.bool_]
    characters: tuple[str, ...]
    background: int


def load(side: int = SIDE, folder: Path = RAW / OMNIGLOT.name, entry: DataSet = OMNIGLOT) -> Omniglot:
    """Read both sets.

    Args:
        side: pixels a side; fewer than 105 take the nearest pixel, as Pillow's `resize` does with such images.

    Raises:
        ValueError: `side` is not in 1..105.
        UserError: an archive is missing or wrong, or a character has not 20 drawings of 105x105 in black and white.
    """
    if not 1 <= side <= SIDE:
        raise ValueError(f"Omniglot's images have {SIDE} pixels a side, not {side}")
    drawn: dict[str, list[bytes]] = {}
    sizes = []
    for file in entry.files:
        for name, content in archives.read(entry, file, folder):
            character = "/".join(name.split("/")[-3:-1])
            drawn.setdefault(character, []).append(read_drawing(content, f"{folder / file.name}: {name}", entry))
        sizes.append(len(drawn))
    for character, drawings in drawn.items():
        if len(drawings) != DRAWINGS:
            raise UserError(f"{folder}: {character} has {len(drawings)} drawings, not {DRAWINGS}: run `{entry.command}`")
    packed = b"".join(one for drawings in drawn.values() for one in drawings)
    return Omniglot(unpacked(packed, side).reshape(-1, DRAWINGS, side, side), tuple(drawn), sizes[0])


def unpacked(packed: bytes, side: int) -> NDArray[np.bool_]:
    """Ink, bool [n, side, side], of n drawings as `read_drawing` gives them."""
    nearest = np.floor((np.arange(side) + 0.5) * SIDE / side).astype(np.intp)
    rows = np.frombuffer(packed, np.uint8).reshape(-1, SIDE, (SIDE + 7) // 8)[:, nearest]
    bits = np.unpackbits(rows, axis=2, count=SIDE)
    ink: NDArray[np.bool_] = (bits if side == SIDE else bits[:, :, nearest]) == 0
    return ink


def read_drawing(content: bytes, where: str, entry: DataSet = OMNIGLOT) -> bytes:
    """The bits of one PNG file, a row in 14 bytes, 0 where there is ink; raises UserError, naming `where`, for anything but
    a black-and-white image of 105x105."""
    try:
        with PngImageFile(io.BytesIO(content)) as image:  # `Image.open` spends as long again on finding out
            if image.mode == "1" and image.size == (SIDE, SIDE):
                return image.tobytes()
            found = f"mode {image.mode}, {image.size}"
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
        found = str(error)
    raise UserError(f"{where} is no black-and-white PNG of {SIDE}x{SIDE} ({found}): run `{entry.command}`")
