"""Execute the notebooks and render a profile's pages: `python -m pipelines.pages <profile>`.

Writes reports/<profile>/pages/<notebook>.html, scorecard.html beside them (scorecard/page.py), and
reports/<profile>/index.html.
A page is one file: figures and style are
inside, mathematics is MathML, and nothing is loaded from anywhere. The same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import pass_context
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from traitlets.config import Config

from pipelines import macros, sources, tables
from pipelines.errors import run
from pipelines.markup import FOLDER, markdown, shell
from pipelines.notebook import image
from pipelines.records import sha256_of, sha256_of_file, write_bytes
from pipelines.scorecard import card, story
from pipelines.scorecard import page as scorecard
from pipelines.sources import CODE, REPORTS, Sources, sha256_of_code

ROOT = Path(__file__).resolve().parent.parent
TITLES = {
    scorecard.NAME: scorecard.TITLE,
    "synthetic": "Synthetic examples",
    "denoising": "Data denoising",
    "few_shot": "Few-shot learning",
    "poisoning": "Data poisoning",
    "clean_label": "Clean-label attack",
    "theory": "Theory, measured",
    "data": "The data",
}
"""The pages, in the order in which they are to be read."""
NOTEBOOKS = tuple(name for name in TITLES if name != scorecard.NAME)
TABLES = {"html": "page", "md": "text", "csv": "numbers", "tex": "LaTeX"}
"""The files of a table, and what they are called."""
TIMEOUT = 600


class Exporter(HTMLExporter):
    """The body of a page: text and what cells show, without code, prompts and scripts."""

    def __init__(self) -> None:
        super().__init__(template_name="basic", exclude_input=True, exclude_output_prompt=True)

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        return markdown(source)


def notebook_path(name: str) -> Path:
    """Where a notebook lies."""
    return ROOT / "notebooks" / f"{name}.ipynb"


def executed(path: Path, profile: str) -> nbformat.NotebookNode:
    """A notebook with its outputs, run from the current folder in a kernel that knows nothing of the user's settings."""
    notebook: nbformat.NotebookNode = nbformat.reads(path.read_text(), as_version=4)
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "BILEVEL_PROFILE": profile,
            "IPYTHONDIR": home,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        # sockets in a folder of our own: no port is taken, and nobody else can talk to the kernel
        kernel = {"transport": "ipc", "connection_file": str(Path(home) / "kernel.json")}
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": str(Path.cwd())}},
            config=Config({"KernelManager": kernel}),
        )
        client.execute(env=environment)
    return notebook


def links(here: str) -> list[tuple[str, str]]:
    """(link, name) of every page as seen from one of them; "" for the link of that one itself. `here`: "" is index.html."""
    up, down = ("../", "") if here else ("", "pages/")
    found = [("" if not here else f"{up}index.html", "All results")]
    return found + [("" if name == here else f"{down}{name}.html", title) for name, title in TITLES.items()]


def page(title: str, profile: str, body: str, here: str = "") -> str:
    """A whole page around a body; `here` is its name, "" of index.html."""
    return shell(title, profile, body, links(here))


def kinds(name: str) -> str:
    """Links to the files of a table."""
    return ", ".join(f"[{said}](tables/{name}.{ending})" for ending, said in TABLES.items())


def index(inputs: Sources) -> str:
    """The first page of a profile: the story, results and claims, and where everything else is."""
    found, drawn = card.judged(inputs), {name: tables.draw(inputs, name) for name in tables.drawn(inputs)}
    lines = [
        f"# Results of profile {inputs.profile}", "", story.ABOUT, "", story.summary(inputs, found),
        "**[The scorecard](pages/scorecard.html)** says of each claim why.", "",
        story.overview(found, "pages/scorecard.html"), "", "The other pages, with explanations:", "",
    ]  # fmt: skip
    lines += [f"- [{title}](pages/{name}.html)" for name, title in TITLES.items() if name != scorecard.NAME]
    lines += ["", f"Tables, to be read, as numbers and for a paper; [all numbers as macros](tables/{macros.FILE}):", ""]
    lines += [f"- {table.title} ({name}): {kinds(name)}" for name, table in drawn.items()]
    parts = [markdown("\n".join(lines))]
    for name, title in {"results": "Results", "claims": "Claims of the paper"}.items():
        parts.append(f'<h2>{title}</h2>\n<div class="output_subarea">\n{markdown(drawn[name].markdown())}</div>')
    return page(f"Results, profile {inputs.profile}", inputs.profile, "\n".join(parts) + footer(inputs))


def footer(inputs: Sources) -> str:
    """What a page ends with: all inputs of the profile, the code that draws, and that of the pages with their notebooks."""
    files = [*map(notebook_path, NOTEBOOKS), *sorted(FOLDER.glob("*.*"))]
    own = sha256_of([sha256_of_code("pipelines.pages"), *(sha256_of_file(file) for file in files)])
    said = inputs.drawn_from(*(name for name in inputs.hashes if not name.startswith("published/")), by=CODE)
    return f'<p class="drawn">{html.escape(said)} Notebooks and pages: {own[:12]}.</p>'


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.pages", description=__doc__)
    parser.add_argument("profile")
    given = parser.parse_args(arguments)
    inputs = sources.load(given.profile)
    # what notebooks show must be there before they run: then what is missing is said in one line
    for name in NOTEBOOKS:
        for figure in re.findall(r'picture\(profile, \\"([^"\\]+)', notebook_path(name).read_text()):
            image(given.profile, figure, "")
    folder = REPORTS / given.profile
    for name in NOTEBOOKS:
        body, _ = Exporter().from_notebook_node(executed(notebook_path(name), given.profile))
        body += footer(inputs)
        write_bytes(folder / "pages" / f"{name}.html", page(TITLES[name], given.profile, body, name).encode())
    content = page(scorecard.TITLE, given.profile, scorecard.body(inputs, markdown) + footer(inputs), scorecard.NAME)
    write_bytes(folder / "pages" / f"{scorecard.NAME}.html", content.encode())
    write_bytes(folder / "index.html", index(inputs).encode())


if __name__ == "__main__":
    run(main)
