"""What the notebooks show things with: tables and sentences as Markdown, drawn figures with their bytes inside."""

from __future__ import annotations

import base64
import html
from typing import Any

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
    """A drawn figure as HTML; raises UserError where it was not drawn."""
    path = REPORTS / profile / "figures" / f"{name}.png"
    try:
        content = base64.b64encode(path.read_bytes()).decode()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: `python -m pipelines.figures {profile}` makes it") from error
    said = html.escape(description)
    return f'<figure><img alt="{said}" src="data:image/png;base64,{content}"><figcaption>{said}</figcaption></figure>'
