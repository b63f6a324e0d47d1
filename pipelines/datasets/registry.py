"""The manifest: which files a data set is made of, where they come from, and how a right one is known.

A right file is known by the size and SHA-256 of its UNCOMPRESSED content: the same content is wrapped
differently by different mirrors (gzip stores a level and a time), and only the content enters a computation.

A further data set is a further entry of `DATA_SETS`; nothing else in this package names its files or
addresses.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.errors import UserError

RAW = Path("data/raw")
"""Where fetched data lies, from the project's root: data/raw/<data set>/<file>. Never edited."""

State = Literal["right", "wrong", "missing"]
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes:
        name: its name under data/raw/<data set>/, uncompressed.
        remote: its name at the official addresses, and under <mirror>/<data set>/.
        size: bytes of the uncompressed content.
        sha256: of the uncompressed content, 64 hexadecimal digits.
        wrapping: how the remote file wraps the content.
    """

    name: str
    remote: str
    size: int
    sha256: str
    wrapping: Literal["gzip", "none"] = "none"

    def state(self, folder: Path) -> State:
        """What lies in `folder` under this name, by size and hash; raises OSError where it cannot be read."""
        path = folder / self.name
        if not path.exists():
            return "missing"
        if path.stat().st_size != self.size:
            return "wrong"
        return "right" if sha256_of(path) == self.sha256 else "wrong"


@dataclass(frozen=True)
class DataSet:
    """A data set as its authors published it.

    Attributes:
        name: its name on the command line and its folder under data/raw/.
        title: its name in a sentence.
        addresses: official base addresses, best first, each ending in "/"; `File.remote` is appended.
        files: what is fetched.
        licence: the terms of use, as far as its authors state them.
        citation: the work to cite.
    """

    name: str
    title: str
    addresses: tuple[str, ...]
    files: tuple[File, ...]
    licence: str
    citation: str

    @property
    def size(self) -> int:
        """Bytes of all files, uncompressed."""
        return sum(file.size for file in self.files)

    @property
    def command(self) -> str:
        """The command that fetches it, for messages."""
        return f"python -m pipelines.fetch {self.name}"


MNIST = DataSet(
    name="mnist",
    title="MNIST handwritten digits",
    addresses=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    files=(
        File(
            name="train-images-idx3-ubyte",
            remote="train-images-idx3-ubyte.gz",
            size=47_040_016,
            sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            wrapping="gzip",
        ),
        File(
            name="train-labels-idx1-ubyte",
            remote="train-labels-idx1-ubyte.gz",
            size=60_008,
            sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            wrapping="gzip",
        ),
        File(
            name="t10k-images-idx3-ubyte",
            remote="t10k-images-idx3-ubyte.gz",
            size=7_840_016,
            sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            wrapping="gzip",
        ),
        File(
            name="t10k-labels-idx1-ubyte",
            remote="t10k-labels-idx1-ubyte.gz",
            size=10_008,
            sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            wrapping="gzip",
        ),
    ),
    licence=(
        "The original page states none; often given as CC BY-SA 3.0. "
        "Images derived from NIST Special Databases 1 and 3 by Y. LeCun and C. Cortes"
    ),
    citation=(
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document "
        "recognition. Proceedings of the IEEE 86(11), 2278-2324, 1998"
    ),
)

DATA_SETS: dict[str, DataSet] = {entry.name: entry for entry in (MNIST,)}


def data_set(name: str) -> DataSet:
    """The entry of that name; raises UserError, naming the known ones, where there is none."""
    if name not in DATA_SETS:
        raise UserError(f"no data set is called '{name}'; known: {', '.join(sorted(DATA_SETS))}")
    return DATA_SETS[name]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; raises OSError where it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
