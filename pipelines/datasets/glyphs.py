"""A few-shot set drawn from fonts: letters of matplotlib's DejaVu faces, 20 drawings each, so nothing is downloaded.

It stands in for Omniglot where the reader has no data yet; no number made with it can be compared with a number of
the paper. A class is a letter that at least 8 of the 12 faces have, in any script; a drawing is its outline in one of
the faces, a little turned, slanted, stretched and moved, fitted to the same size and drawn without grey hinting.

A shape is one class, whatever its name: Latin A, Greek Alpha and Cyrillic A are the same drawing, and so are, once
fitted to one size, o and O. Going through the letters by code point, one is left out if its drawing in its first face
differs from that of a class before it in less than a quarter of their ink: just below that lie c and its superscript,
which fitted differ by their stroke alone. Of 1892 letters 1143 remain. Of the 749 that go, 256 resemble a letter of
another script (153 to the last pixel), 358 the same letter under another accent, 33 its other case.

Source: the DejaVu fonts 2.37 (Bitstream Vera licence, public-domain changes), as shipped with matplotlib.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import ft2font
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.path import Path as Outline
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

from pipelines.datasets.corruption import generator
from pipelines.errors import UserError

FACES = tuple(
    f"DejaVu{family}{weight}.ttf"
    for family, weights in (
        ("Sans", ("", "-Bold", "-Oblique", "-BoldOblique")),
        ("SansMono", ("", "-Bold", "-Oblique", "-BoldOblique")),
        ("Serif", ("", "-Bold", "-Italic", "-BoldItalic")),
    )
    for weight in weights
)
SHARED = 8
"""Faces that must have a letter."""
DRAWINGS = 20
SIDE = 28  # pixels
FIT = 20.0  # pixels of a drawing's longer side, before jitter
ALIKE = 0.25
"""Share of the ink in which two classes must differ."""
TURN, SLANT, STRETCH, SIZE, SHIFT = np.deg2rad(10.0), 0.2, 0.15, 2.0, 2.0
"""Jitter, each uniform between minus and plus: angle, shear, logarithm of the stretch, pixels of size and of place."""


class Glyphs(NamedTuple):
    """The glyphs by code point.

    Attributes:
        images: uint8 [classes, 20, 28, 28], 0 for paper, 255 for ink.
        names: the Unicode name of each class.
        alphabets: the script of each class, the first word of its name in lower case.
        made_with: the versions that the bytes depend on.
        letters: how many there were before look-alikes were left out.
        least: share of the ink in which a letter must differ from every class before it.
    """

    images: NDArray[np.uint8]
    names: tuple[str, ...]
    alphabets: tuple[str, ...]
    made_with: tuple[str, ...]
    letters: int
    least: float


class Shape(NamedTuple):
    """An outline: vertices [n, 2] in units of the font, y upwards, and matplotlib's path codes [n]."""

    vertices: NDArray[np.float64]
    codes: NDArray[np.integer]


def load() -> Glyphs:
    """Draw the set; six seconds on one core. Raises UserError where matplotlib lacks one of the faces."""
    faces = [_face(name) for name in FACES]
    charmaps = [set(face.get_charmap()) for face in faces]
    having = {
        letter: [face for face, charmap in zip(faces, charmaps, strict=True) if letter in charmap]
        for letter in shared_letters(charmaps)
    }
    shapes = {letter: outline(having[letter][0], letter) for letter in having}
    letters = [letter for letter in having if len(shapes[letter].vertices)]
    kept = [letters[row] for row in unlike(rendered([fitted(shapes[letter]) for letter in letters]))]
    names = tuple(unicodedata.name(chr(letter)) for letter in kept)
    return Glyphs(
        images=np.stack([drawings(letter, having[letter]) for letter in kept]),
        names=names,
        alphabets=tuple(name.split()[0].lower() for name in names),
        made_with=versions(),
        letters=len(letters),
        least=ALIKE,
    )


def versions() -> tuple[str, ...]:
    """What the bytes of the drawings depend on besides this file."""
    return (f"matplotlib {matplotlib.__version__}", f"FreeType {ft2font.__freetype_version__}")


def shared_letters(charmaps: Sequence[set[int]]) -> list[int]:
    """The letters (Unicode category L) that at least `SHARED` of the faces have, by code point."""
    everything = sorted(set().union(*charmaps))
    counts = {code: sum(code in charmap for charmap in charmaps) for code in everything}
    return [
        code for code, count in counts.items() if count >= SHARED and unicodedata.category(chr(code)).startswith("L")
    ]


def unlike(plain: NDArray[np.uint8], least: float = ALIKE) -> list[int]:
    """Rows of drawings [n, height, width] that differ from every kept row before them.

    Two drawings differ by the sum of their absolute differences over their mean ink, and must differ by `least`.
    """
    flat = plain.reshape(len(plain), -1).astype(np.int16)
    ink = flat.sum(axis=1, dtype=np.int64)
    kept: list[int] = []
    for row, one in enumerate(flat):
        # sums of integers: no processor rounds them otherwise
        apart = np.abs(flat[kept] - one).sum(axis=1, dtype=np.int64)
        if not (2 * apart < least * (ink[kept] + ink[row])).any():
            kept.append(row)
    return kept


def drawings(letter: int, faces: Sequence[ft2font.FT2Font]) -> NDArray[np.uint8]:
    """The 20 drawings of a letter, uint8 [20, 28, 28]: face after face of those that have it, each with its own jitter.

    The draws are those of the letter alone: no other letter moves them.
    """
    shapes = [outline(face, letter) for face in faces]
    shapes = [shape for shape in shapes if len(shape.vertices)]
    draws = generator(0, f"glyph U+{letter:04X}").uniform(-1.0, 1.0, size=(DRAWINGS, 6))
    items = []
    for number, (turn, slant, stretch, size, right, up) in enumerate(draws.tolist()):
        cosine, sine = np.cos(TURN * turn), np.sin(TURN * turn)
        wide = np.exp(STRETCH * stretch)
        matrix = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[wide, SLANT * slant], [0.0, 1 / wide]])
        place = SIDE / 2 + SHIFT * np.array([right, up])
        items.append(fitted(shapes[number % len(shapes)], matrix, FIT + SIZE * size, place))
    return rendered(items)


def outline(face: ft2font.FT2Font, letter: int) -> Shape:
    """A letter's outline in a face, not hinted: empty for the few that a face maps to nothing."""
    face.load_char(letter, flags=ft2font.LoadFlags.NO_HINTING | ft2font.LoadFlags.NO_BITMAP)
    vertices, codes = face.get_path()
    return Shape(vertices, codes)


def fitted(
    shape: Shape,
    matrix: NDArray[np.float64] | None = None,
    size: float = FIT,
    centre: NDArray[np.float64] | float = SIDE / 2,
) -> Shape:
    """A shape after a linear map, the box of its points centred at `centre` with a longer side of `size` pixels."""
    mapped = shape.vertices if matrix is None else shape.vertices @ matrix.T
    # the vertex that closes a contour is (0, 0), whatever the contour
    drawn = mapped[shape.codes != Outline.CLOSEPOLY]
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    return Shape((mapped - (low + high) / 2) * (size / (high - low).max()) + centre, shape.codes)


def rendered(shapes: Sequence[Shape]) -> NDArray[np.uint8]:
    """Shapes in pixels as drawings, uint8 [n, 28, 28]."""
    canvas: Any = RendererAgg(SIDE * len(shapes), SIDE, 72)  # type: ignore[no-untyped-call]  # side by side on one canvas
    pen = canvas.new_gc()
    pen.set_linewidth(0.0)  # filled, not traced
    for place, (vertices, codes) in enumerate(shapes):
        canvas.draw_path(pen, Outline(vertices + [SIDE * place, 0], codes), IdentityTransform(), (0, 0, 0))
    ink = np.asarray(canvas.buffer_rgba())[:, :, 3]
    return ink.reshape(SIDE, len(shapes), SIDE).swapaxes(0, 1).copy()


def _face(name: str) -> ft2font.FT2Font:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    if not path.exists():
        raise UserError(f"{path} is missing: install matplotlib as it is published, with its DejaVu fonts")
    face = ft2font.FT2Font(str(path))
    face.set_size(64, 72)
    return face
