"""scikit-learn's handwritten digits: 1797 images of 8x8, shipped with the package, so nothing is downloaded.

They stand in for MNIST where the reader has no data yet; they are the test part of the UCI set, and no number
made with them can be compared with a number of the paper.

Source: E. Alpaydin, C. Kaynak. Optical recognition of handwritten digits. UCI Machine Learning Repository,
1998 (CC BY 4.0).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.fingerprints import fingerprints
from pipelines.errors import UserError

CLASSES = 10
BRIGHTEST = 16
"""The largest value of a pixel: a count of set bits in a block of 4x4."""

_SHA256 = {
    "images": "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
    "labels": "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0",
}


class Digits(NamedTuple):
    """The digits in the package's order.

    Attributes:
        images: uint8 [1797, 8, 8], values 0..16.
        labels: uint8 [1797], values 0..9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def load() -> Digits:
    """Read the digits from the installed scikit-learn.

    Raises:
        UserError: scikit-learn is missing, or ships other digits than the ones this project was built on.
    """
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError as error:
        raise UserError("scikit-learn ships the digits and is missing: pip install scikit-learn") from error
    data, target = load_digits(return_X_y=True)
    digits = Digits(data.reshape(-1, 8, 8).astype(np.uint8), target.astype(np.uint8))
    for name, found in fingerprints(digits).items():
        if found != _SHA256[name]:
            raise UserError(
                f"the {name} of scikit-learn's digits have SHA-256 {found}, expected {_SHA256[name]}: "
                "install the version of scikit-learn this project asks for"
            )
    return digits
