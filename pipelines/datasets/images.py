"""Reading one image file in colour."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.datasets.registry import DataSet
from pipelines.errors import UserError


def read_rgb(content: bytes, side: int, where: str, entry: DataSet) -> NDArray[np.uint8]:
    """The pixels of a JPEG or PNG file, uint8 [3, side, side]; grey images get three equal colours.

    Raises:
        UserError: it is no such image, is damaged, or has another size; names `where` and the command that fetches it.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG", "PNG"]) as image:
            if image.size == (side, side):
                return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            found = f"it has {image.size[0]}x{image.size[1]} pixels"
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
        found = str(error)
    raise UserError(f"{where} is no image of {side}x{side}, {found}: run `{entry.command}`")
