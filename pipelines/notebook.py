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
    """A drawn figure as HTML: its SVG, or of one that holds pixels its PNG; raises UserError where it was not drawn."""
    path = REPORTS / profile / "figures" / name
    try:
        drawn, pixels = (path.with_name(f"{name}.{ending}").read_bytes() for ending in ("svg", "png"))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: `python -m pipelines.figures {profile}` makes it") from error
    if b"<image" in drawn:
        address = "image/png;base64," + base64.b64encode(pixels).decode()
    else:
        # text, which git packs to a fifth; an SVG may have either quotes, an attribute of HTML not those around it
        text = " ".join(drawn.decode().split())
        address = "image/svg+xml," + quote(text if "'" in text else text.replace('"', "'"), safe=KEPT)
    said = html.escape(description)
    return f'<figure><img alt="{said}" src="data:{address}"><figcaption>{said}</figcaption></figure>'


KEPT = " '/:;,=?!()<>[]@*+-._~"
"""Signs that an address inside an attribute may hold as they are."""
