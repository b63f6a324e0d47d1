"""Pages: executed from made-up results, whole in themselves, the same bytes twice; notebooks are committed bare."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from pathlib import Path

import made_up
import pytest
from bs4 import BeautifulSoup

from pipelines import figures, markup, notebook, pages, sources, tables, told
from pipelines.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made_up.write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


SQUARE = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"\n width="1"><path d="M0 0h1v1z"/></svg>\n'


def draw_pixels(place: Path, profile: str) -> None:
    """A pixel for every figure: drawing them is tested elsewhere."""
    folder = place / "reports" / profile / "figures"
    folder.mkdir(parents=True)
    for name, _ in figures.drawings(sources.load(profile)):
        (folder / f"{name}.png").write_bytes(PIXEL)
        (folder / f"{name}.svg").write_text(SQUARE)


def test_a_picture_comes_out_of_the_page_as_it_went_in(place: Path) -> None:
    folder = place / "reports" / "cpu" / "figures"
    folder.mkdir(parents=True)
    (folder / "one.png").write_bytes(PIXEL)
    quoted, pixels = SQUARE.replace("<path", "<!-- it's 5% of #1 & more --><path"), SQUARE.replace("<path", "<image/><path")
    for drawn, kind in ((SQUARE, "svg+xml,"), (quoted, "svg+xml,"), (pixels, "png;base64,")):
        (folder / "one.svg").write_text(drawn)
        shown = BeautifulSoup(notebook.image("cpu", "one", 'a "b" & <c>'), "html.parser").select_one("img")
        assert shown is not None and shown["alt"] == 'a "b" & <c>'
        address = str(shown["src"])
        assert address.startswith(f"data:image/{kind}")
        with urllib.request.urlopen(address) as answer:
            content = answer.read()
        expected = {SQUARE: SQUARE.replace('"', "'").encode(), quoted: quoted.encode(), pixels: PIXEL}[drawn]
        assert content.split() == expected.split()


@pytest.mark.slow
def test_pages_are_whole_and_the_same_twice(place: Path) -> None:
    made_up.write_results(place, "cpu", off=0.7)
    draw_pixels(place, "cpu")
    found = []
    for _ in range(2):
        pages.main(["cpu"])
        names = ("index.html", "pages/synthetic.html", "pages/denoising.html", "pages/data.html")
        found.append({name: (place / "reports/cpu" / name).read_text() for name in names})
    assert found[0] == found[1]
    for text in found[0].values():
        assert not re.search(r"<(script|link|iframe|object|embed)\b", text)
        assert not re.search(r"""(src|href|srcset|action)\s*=\s*["']?\s*(https?:)?//""", text)
        assert "@import" not in text and "url(" not in text and "http" not in re.sub(r"data:[^\"]*", "", text)
    synthetic, denoising = found[0]["pages/synthetic.html"], found[0]["pages/denoising.html"]
    assert synthetic.count("<img") == 7 and denoising.count("<img") == 7
    assert synthetic.count("<math") >= 40 and "$" not in re.sub(r"data:[^\"]*", "", synthetic)
    data = found[0]["pages/data.html"]
    assert "random rows, any class" in data and "36.1%" in data and "This profile has no few-shot data." in data
    assert data.count("<img") == 0
    # what is said follows from the numbers: Penalty was moved away on example 1
    assert re.search(r"21 of 24</strong> panels end where the paper", synthetic)
    assert "example 1, T = 10, Penalty: ours 0.71" in synthetic.replace("\u00a0", " ")
    assert re.search(r"Penalty is above ApproxGrad, by 0.79", denoising)
    # each ends with what it was drawn from
    for text in found[0].values():
        last = re.findall(r'<p class="drawn">(.*)</p>', text)[-1]
        assert last.startswith("Drawn from: profile cpu; synthetic/summary.json ") and "theory/ledger.json" in last
        assert re.search(r"; code [0-9a-f]{12}; measured on a processor\. Notebooks and pages: [0-9a-f]{12}\.$", last)
        assert text.rstrip().endswith(f"{last}</p>\n</main>\n</body>\n</html>")
    # every link inside leads somewhere
    tables.main(["cpu"])
    for link in re.findall(r'href="([^"]+)"', found[0]["index.html"]):
        path, _, place_in = link.partition("#")
        target = place / "reports/cpu" / path
        assert target.exists() and (not place_in or f'id="{place_in}"' in target.read_text()), link


def test_a_missing_figure_is_named(place: Path) -> None:
    made_up.write_results(place, "cpu")
    with pytest.raises(
        UserError, match=r"figure-1.svg is missing: `python -m pipelines.figures cpu` makes it"
    ):
        pages.main(["cpu"])


@pytest.mark.parametrize("name", pages.NOTEBOOKS)
def test_notebooks_are_bare_and_take_the_profile_first(name: str) -> None:
    notebook = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert notebook["cells"][0] is code[0] and "BILEVEL_PROFILE" in "".join(code[0]["source"])
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


def test_the_page_on_the_data_shows_the_sheet(place: Path) -> None:
    made_up.write_results(place, "embedded")
    draw_pixels(place, "embedded")
    body, _ = pages.Exporter().from_notebook_node(pages.executed(pages.notebook_path("data"), "embedded"))
    assert body.count("<img") == 1 and "glyphs-5way-1shot: a drawing of each of many classes" in body
    assert "drawn by a pen" in body and "51.2 ± 0.5 percent" in body.replace("\u00a0", " ")


def test_mathematics() -> None:
    drawn = markup.markdown("The norm $\\|u\\|^2$ and\n\n$$\\frac{a}{b}$$\n")
    assert drawn.count("<math") == 2 and 'display="block"' in drawn and "xmlns" not in drawn
    with pytest.raises(ValueError, match="no MathML for"):
        markup.mathml("\\nosuchcommand x", "inline")


def test_a_number_stays_with_its_spread() -> None:
    assert "1.00\u00a0±\u00a00.10" in markup.markdown("1.00 ± 0.10")
    assert "mean ± s.d." in markup.markdown("mean ± s.d.")


def test_causes_are_named_beside_what_differs_only(place: Path) -> None:
    made_up.write_results(place, "embedded", off=1.0)
    inputs = sources.load("embedded")
    found = [tables.draw(inputs, name) for name in ("figure-1", "figure-2")]
    text = told.causes(found, "released")
    assert "No cause is known for: example 1, T = 1, Penalty" in text
    assert "matrix" not in text
    made_up.write_results(place, "embedded")
    found = [tables.draw(sources.load("embedded"), "figure-2")]
    assert told.causes(found, "released") == "No panel differs, so there is nothing to explain."
