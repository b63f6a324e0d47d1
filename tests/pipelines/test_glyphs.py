"""The glyphs: their number and bytes, that no two are alike, and that they are neither noise nor trivial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets import glyphs, tabular
from pipelines.datasets.fingerprints import fingerprints
from pipelines.datasets.glyphs import Glyphs
from pipelines.errors import UserError
from pipelines.few_shot import prepare
from pipelines.few_shot.prepare import Settings


@pytest.fixture(scope="module")
def drawn() -> Glyphs:
    return glyphs.load()


def test_what_there_is(drawn: Glyphs) -> None:
    assert drawn.images.shape == (1143, 20, 28, 28) and drawn.images.dtype == np.uint8
    assert len(set(drawn.names)) == len(drawn.alphabets) == 1143
    assert (drawn.letters, drawn.least) == (1892, 0.25)
    scripts = {name: drawn.alphabets.count(name) for name in ("latin", "greek", "cyrillic", "georgian", "armenian", "lao")}
    assert scripts == {"latin": 586, "greek": 156, "cyrillic": 114, "georgian": 115, "armenian": 56, "lao": 30}
    # one class for one shape
    names = set(drawn.names)
    assert {"LATIN CAPITAL LETTER A", "LATIN CAPITAL LETTER O", "CYRILLIC CAPITAL LETTER ZHE"} <= names
    alike = {"GREEK CAPITAL LETTER ALPHA", "CYRILLIC CAPITAL LETTER A", "LATIN SMALL LETTER O", "LATIN SMALL LETTER S"}
    assert not alike & names


def test_the_bytes(drawn: Glyphs) -> None:
    """Of the pinned matplotlib, whose version the set names."""
    assert [word.split()[0] for word in drawn.made_with] == ["matplotlib", "FreeType"]
    assert drawn.made_with == glyphs.versions() == ("matplotlib 3.11.2", "FreeType 2.14.3")
    assert fingerprints(drawn)["images"] == "87906c6ed4742b9f4182ea9f1285cffbbb616d02afbeb796c767594a62e5e95e"


def test_every_drawing_is_whole_and_its_own(drawn: Glyphs) -> None:
    border = np.ones((28, 28), dtype=bool)
    border[1:-1, 1:-1] = False
    assert drawn.images[..., border].max() == 0
    ink = (drawn.images > 127).sum(axis=(2, 3))
    assert ink.min() >= 10 and ink.max() < 500
    high = (drawn.images > 0).any(axis=3).sum(axis=2)
    wide = (drawn.images > 0).any(axis=2).sum(axis=2)
    longer = np.maximum(high, wide)
    # a curve's control points, which are fitted, may lie outside of its ink
    assert longer.min() >= 12 and longer.max() <= 24 and (longer < 17).mean() < 0.01
    for images in drawn.images[::50]:
        assert len({image.tobytes() for image in images}) == 20


def test_a_letters_drawings_are_moved_by_no_other_letter(drawn: Glyphs) -> None:
    faces = [glyphs._face(name) for name in glyphs.FACES]
    place = drawn.names.index("CYRILLIC CAPITAL LETTER ZHE")
    np.testing.assert_array_equal(glyphs.drawings(ord("\u0416"), faces), drawn.images[place])


def test_unlike() -> None:
    one = np.zeros((6, 4, 4), dtype=np.uint8)
    one[:, :2] = 100
    one[1, 0, 0] = 0  # an eighth of the ink is gone
    one[2, 3, :] = 100  # half as much again
    one[4] = one[2]
    one[5, :2] = 0
    one[5, 2:] = 100
    assert glyphs.unlike(one) == [0, 2, 5]
    assert glyphs.unlike(one, least=0.1) == [0, 1, 2, 5]
    assert glyphs.unlike(one, least=0.0) == [0, 1, 2, 3, 4, 5]


def test_letters_that_enough_faces_have() -> None:
    charmaps = [{65, 66, 0x416, 0x21}] * 7 + [{65, 0x416, 0x21}] + [{66}] * 2
    assert glyphs.shared_letters(charmaps) == [65, 66, 0x416]
    assert glyphs.shared_letters(charmaps[:7]) == []


def test_a_missing_face_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyphs.matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"DejaVuSans\.ttf is missing: install matplotlib as it is published"):
        glyphs.load()


def test_comparing_pixels_is_better_than_guessing_and_not_enough(drawn: Glyphs) -> None:
    settings = Settings("glyphs", way=5, shot=1, query=15, meta_batch=8, selection_tasks=300, test_tasks=4, seeds=(0,))
    parts, alike = prepare.parts_of(drawn, "glyphs"), prepare.look_alikes(drawn)
    made = prepare.prepared(parts, settings, fingerprints(drawn), drawn.made_with, alike)
    assert made.facts["look_alikes"] == {"before": 1892, "after": 1143, "least": 0.25}
    found = made.facts["nearest_neighbour"]
    assert 40 < found["accuracy"] < 90 and found["standard error"] < 1
    assert made.facts["classes"] == {"train": 743, "validation": 150, "test": 250}
    assert made.facts["made_with"] == list(drawn.made_with)


def test_the_small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    tumours, wines = tabular.breast_cancer(), tabular.wine()
    assert tumours.features.shape == (569, 30) and np.bincount(tumours.labels).tolist() == [212, 357]
    assert wines.features.shape == (178, 13) and np.bincount(wines.labels).tolist() == [59, 71, 48]
    assert (len(tumours.names), tumours.names[0], wines.names[0]) == (30, "mean radius", "alcohol")
    monkeypatch.setitem(tabular._SHA256["wine"], "labels", "0" * 64)
    with pytest.raises(UserError, match="the labels of scikit-learn's wine have SHA-256"):
        tabular.wine()
