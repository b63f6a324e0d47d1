"""Reading 20 Newsgroups, the version sorted by date: 11,314 messages to train on and 7,532 to test on, with headers.

The archive holds 20news-bydate-<set>/<group>/<number>, in Latin-1. `vectorised` makes of them what scikit-learn's
fetch_20newsgroups_vectorized makes, by the same steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets import archives
from pipelines.datasets.registry import DATA_SETS, RAW, DataSet
from pipelines.errors import UserError

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

NEWSGROUPS = DATA_SETS["20newsgroups"]
SHUFFLE_SEED = 12
"""The seed by which scikit-learn shuffles the messages before it counts words."""


class Newsgroups(NamedTuple):
    """Messages by group, then by the text of their number.

    Attributes:
        train_texts, test_texts: the messages.
        train_labels, test_labels: int64 [n], places in `groups`.
        groups: the 20 groups in alphabetical order.
    """

    train_texts: tuple[str, ...]
    train_labels: NDArray[np.int64]
    test_texts: tuple[str, ...]
    test_labels: NDArray[np.int64]
    groups: tuple[str, ...]


class Vectorised(NamedTuple):
    """Word counts, each message's scaled to length one, in the order that scikit-learn shuffles them to.

    Attributes:
        train_counts, test_counts: float64 sparse rows [n, words]; the words of the training messages, 130,107.
        train_labels, test_labels: int64 [n].
    """

    train_counts: csr_array
    train_labels: NDArray[np.int64]
    test_counts: csr_array
    test_labels: NDArray[np.int64]


def load(folder: Path = RAW / NEWSGROUPS.name, entry: DataSet = NEWSGROUPS) -> Newsgroups:
    """Read the messages.

    Raises:
        UserError: the archive is missing or wrong, or a set lacks a group; names the command that fetches it.
    """
    file = entry.files[0]
    read: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for name, content in archives.read(entry, file, folder):
        part, _, group = name.rpartition("/")[0].partition("/")
        part = part.rpartition("-")[2]
        if part not in read or not group:
            raise UserError(f"{folder / file.name}: {name} is in no group: run `{entry.command}`")
        read[part].append((group, content.decode("latin1")))
    groups = sorted({group for group, _ in read["train"]})
    if not groups or groups != sorted({group for group, _ in read["test"]}):
        raise UserError(f"{folder / file.name} has not the same groups in both sets: run `{entry.command}`")
    places = {group: place for place, group in enumerate(groups)}
    texts = {part: tuple(text for _, text in messages) for part, messages in read.items()}
    labels = {part: np.array([places[group] for group, _ in messages]) for part, messages in read.items()}
    return Newsgroups(texts["train"], labels["train"], texts["test"], labels["test"], tuple(groups))


def vectorised(data: Newsgroups) -> Vectorised:
    """Count words as fetch_20newsgroups_vectorized does; about ten seconds for all messages."""
    from sklearn.feature_extraction.text import CountVectorizer  # type: ignore[import-untyped]
    from sklearn.preprocessing import normalize  # type: ignore[import-untyped]

    counter = CountVectorizer(dtype=np.int16)
    train, test = shuffled(len(data.train_texts)), shuffled(len(data.test_texts))
    train_counts = counter.fit_transform([data.train_texts[row] for row in train])
    test_counts = counter.transform([data.test_texts[row] for row in test])
    train_counts, test_counts = (
        normalize(counts.tocsr().astype(np.float64), copy=False) for counts in (train_counts, test_counts)
    )
    return Vectorised(train_counts, data.train_labels[train], test_counts, data.test_labels[test])


def shuffled(count: int) -> NDArray[np.int64]:
    """The order, int64 [count], that scikit-learn gives so many messages; each set anew from the same seed."""
    order = np.arange(count)
    np.random.RandomState(SHUFFLE_SEED).shuffle(order)
    return order
