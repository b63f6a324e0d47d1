"""20 Newsgroups: on a few messages against scikit-learn's own functions, and the real ones where a mirror has them."""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import fetch_20newsgroups_vectorized, load_files
from small_data import DRAWS, KINDS, archived, fetched, real, tar_of

from pipelines.datasets import newsgroups
from pipelines.errors import UserError

GROUPS = ("alt.atheism", "comp.graphics", "sci.space")
WORDS = ("orbit", "faith", "pixel", "Subject", "caf\xe9", "launch", "a", "the")


def messages() -> dict[str, bytes]:
    made = {}
    for part, count in (("train", 7), ("test", 4)):
        for group in GROUPS:
            for number in DRAWS.choice(np.arange(9, 120), count, replace=False):
                text = " ".join(DRAWS.choice(WORDS, 6)) + f" {part}{number}\n"
                made[f"20news-bydate-{part}/{group}/{number}"] = text.encode("latin1")
    return made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[newsgroups.Newsgroups, dict[str, bytes]]:
    members = messages()
    contents = {archived("20news-bydate.tar", members): tar_of(members)}
    return newsgroups.load(*fetched(tmp_path_factory.mktemp("news"), contents, "20newsgroups")), members


def test_messages_are_read_by_group_and_name(small: tuple[newsgroups.Newsgroups, dict[str, bytes]]) -> None:
    data, members = small
    assert data.groups == GROUPS
    assert list(data.train_texts) == [members[name].decode("latin1") for name in sorted(members) if "-train/" in name]
    np.testing.assert_array_equal(data.train_labels, np.repeat([0, 1, 2], 7))
    np.testing.assert_array_equal(data.test_labels, np.repeat([0, 1, 2], 4))


def test_counts_are_scikit_learns(small: tuple[newsgroups.Newsgroups, dict[str, bytes]], tmp_path: Path) -> None:
    """Byte for byte, in its order, with the messages laid out where scikit-learn looks for them."""
    data, members = small
    for name, content in members.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    read = {part: load_files(tmp_path / f"20news-bydate-{part}", encoding="latin1") for part in ("train", "test")}
    # scikit-learn's cache holds the files in the order of their names
    for bunch in read.values():
        order = np.argsort(bunch.filenames)
        bunch.update(data=[bunch.data[row] for row in order], target=bunch.target[order], filenames=bunch.filenames[order])
    (tmp_path / "20news-bydate_py3.pkz").write_bytes(codecs.encode(pickle.dumps(read), "zlib_codec"))
    ours = newsgroups.vectorised(data)
    for part, counts, labels in (("train", *ours[:2]), ("test", *ours[2:])):
        theirs = fetch_20newsgroups_vectorized(subset=part, data_home=tmp_path, download_if_missing=False)
        np.testing.assert_array_equal(theirs.target, labels)
        assert counts.shape == theirs.data.shape and counts.dtype == theirs.data.dtype
        np.testing.assert_array_equal(counts.toarray(), theirs.data.toarray())


def test_a_group_in_one_set_alone(tmp_path: Path) -> None:
    for number, (members, words) in enumerate((
        ({"20news-bydate-train/a/1": b"x", "20news-bydate-test/b/1": b"y"}, "not the same groups"),
        ({"20news-bydate-train/a/1": b"x", "20news-bydate-other/a/1": b"y"}, "is in no group"),
        ({"20news-bydate-train/1": b"x"}, "is in no group"),
    )):  # fmt: skip
        place = fetched(tmp_path / str(number), {archived("news.tar", members): tar_of(members)}, "20newsgroups")
        with pytest.raises(UserError, match=words):
            newsgroups.load(*place)


@pytest.mark.parametrize("kind", KINDS)
def test_the_facts(
    kind: str, tmp_path: Path, small: tuple[newsgroups.Newsgroups, dict[str, bytes]]
) -> None:
    data = small[0] if kind == "small" else newsgroups.load(*real(tmp_path, "20newsgroups"))
    # the words are those of the training messages, so a few test messages will do
    found = newsgroups.vectorised(data._replace(test_texts=data.test_texts[:12], test_labels=data.test_labels[:12]))
    words = {word for text in data.train_texts for word in text.lower().split() if len(word) > 1} if kind == "small" else ()
    messages, features = ((21, 12), len(words)) if kind == "small" else ((11_314, 7_532), 130_107)
    assert (len(data.train_texts), len(data.test_texts)) == messages
    assert found.train_counts.shape == (messages[0], features) and found.test_counts.shape == (12, features)
    np.testing.assert_allclose(np.sqrt(found.train_counts.multiply(found.train_counts).sum(axis=1)), 1, rtol=1e-12)
    # every message keeps its label through the shuffle
    np.testing.assert_array_equal(np.bincount(found.train_labels), np.bincount(data.train_labels))
    if kind == "real":
        assert len(data.groups) == 20
        np.testing.assert_array_equal(
            np.bincount(data.test_labels),
            [319, 389, 394, 392, 385, 395, 390, 396, 398, 397, 399, 396, 393, 396, 394, 398, 364, 376, 310, 251],
        )
