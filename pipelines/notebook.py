"""What the notebooks show things with: tables and sentences as Markdown, drawn figures with their bytes inside."""

from __future__ import annotations

import base64
import html
from typing import Any
from urllib.parse import quote

from IPython import display

from pipelines.errors import UserError
from pipelines.layout import Table
from pipelines.sources import REPORTS


def say(text: str) -> Any:
    """Markdown, as what a cell shows."""
    return display.Markdown(text)


def show(table: Table) -> Any:
    """A table, as what a cell shows."""
    return display.Markdown(table.markdown())


def picture(profile: str, name: str, description: str) -> Any:
    """A drawn figure, as what a cell shows, with a description for those who cannot see it."""
    return display.HTML(image(profile, name, description))


def image(profile: str, name: str, description: str) -> str:
    """A drawn figure as HTML, of its SVG or, where that is longer, its PNG; raises UserError where it was not drawn."""
    path = REPORTS / profile / "figures" / name
    try:
        drawn, pixels = (path.with_name(f"{name}.{ending}").read_bytes() for ending in ("svg", "png"))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: `python -m pipelines.figures {profile}` makes it") from error
    # as text: git packs it well, and a page that changes in a sentence is kept as that sentence
    vector = "image/svg+xml," + quote(" ".join(drawn.decode().split()), safe=KEPT)
    raster = "image/png;base64," + base64.b64encode(pixels).decode()
    said = html.escape(description)
    return f'<figure><img alt="{said}" src="data:{min(vector, raster, key=len)}"><figcaption>{said}</figcaption></figure>'


KEPT = " /:;,=?!()<>[]@*+-._~"
"""Signs that an address inside an attribute may hold as they are."""
