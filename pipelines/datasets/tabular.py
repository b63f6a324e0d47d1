"""Two small tables of measurements that scikit-learn ships, for problems of choosing a regularisation.

Sources: W. Wolberg, O. Mangasarian, N. Street, W. Street. Breast cancer Wisconsin (diagnostic). UCI Machine Learning
Repository, 1993 (CC BY 4.0); S. Aeberhard, M. Forina. Wine. UCI Machine Learning Repository, 1992 (CC BY 4.0).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.fingerprints import fingerprints
from pipelines.errors import UserError


class Table(NamedTuple):
    """Measurements in the package's order.

    Attributes:
        features: float64 [n, d], in the units of the source.
        labels: uint8 [n].
        names: of the d features.
    """

    features: NDArray[np.float64]
    labels: NDArray[np.uint8]
    names: tuple[str, ...]


_SHA256 = {
    "breast_cancer": {
        "features": "6b202a2072f9a0385f405a8f8605b1b06f6f36ae6d23d9cd6cbbc0974a416bc7",
        "labels": "9d6ceae78443535169ef00f2c8012032241393c09a9adb2f9e82c55e1ba534bd",
    },
    "wine": {
        "features": "8edcf3903afd97c64d51e0212eb10b213f7943da650574d1c055b836c5c35d37",
        "labels": "fc03f75caa6e6d07d5b445dd799c334fdee22c5b64240511a10ac30feb3a09e9",
    },
}


def breast_cancer() -> Table:
    """569 tumours, 30 features, 2 classes (0 malignant, 1 benign); raises UserError as `wine`."""
    return _load("breast_cancer")


def wine() -> Table:
    """178 wines, 13 features, 3 growers.

    Raises:
        UserError: scikit-learn is missing, or ships another table than the one this project was built on.
    """
    return _load("wine")


def _load(name: str) -> Table:
    try:
        from sklearn import datasets  # type: ignore[import-untyped]
    except ImportError as error:
        raise UserError(f"scikit-learn ships {name} and is missing: pip install scikit-learn") from error
    bunch = getattr(datasets, f"load_{name}")()
    names = tuple(str(one) for one in bunch.feature_names)
    table = Table(np.asarray(bunch.data, dtype=np.float64), bunch.target.astype(np.uint8), names)
    found = fingerprints(table)
    for field, expected in _SHA256[name].items():
        if found[field] != expected:
            raise UserError(
                f"the {field} of scikit-learn's {name} have SHA-256 {found[field]}, expected {expected}: "
                "install the version of scikit-learn this project asks for"
            )
    return table
