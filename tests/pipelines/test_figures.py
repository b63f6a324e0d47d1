"""Figures from made-up results: every panel there, our curves and the published points in it, and the same bytes twice."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from xml.etree import ElementTree

import made_up
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from PIL import Image

from pipelines import datasheet, drawing, figures, published, records, sources, trace
from pipelines.denoising import curves
from pipelines.sources import Sources
from pipelines.synthetic import figures as synthetic

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    made_up.write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    made_up.write_results(tmp_path, "cpu")
    return sources.load("cpu")


def test_names(inputs: Sources) -> None:
    names = [name for name, _ in figures.drawings(inputs)]
    assert names[:6] == ["figure-1", "figure-2", "figure-7", "figure-1-log", "figure-2-log", "figure-7-log"]
    assert {"figure-1-described", "wall-clock", "learning-curves", "accuracies"} <= set(names)
    assert {"accuracy-against-cost", "hyper-cleaning", "lower-steps", "importances", "least-trusted"} <= set(names)
    assert {"poisoning", "figure-5c", "figure-6-targeted", "few-shot-curves", "figure-4b", "figure-5b"} <= set(names)
    assert len(names) == len(set(names)) == 20 + 3 + 5 + 6 + len(inputs.params["few_shot"]["data"]) + 3 * len(
        inputs.params["clean_label"]["data"]
    )


def test_figures_of_attacks_and_of_few_shot_learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up.write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    made_up.write_results(tmp_path, "embedded")
    inputs = sources.load("embedded")
    drawings = dict(figures.drawings(inputs))
    poisoned = {"poisoning", "poisoning-under-way", "figure-5c", "figure-6-untargeted", "figure-6-targeted"}
    few_shot = {"few-shot-curves", "few-shot-calls", "figure-4b", "few-shot-embedding"}
    few_shot |= {f"task-{data}" for data in inputs.params["few_shot"]["data"]}
    clean_label = {"figure-3", "clean-label-images", "clean-label-under-way"}
    assert few_shot | poisoned | clean_label <= set(drawings)
    with drawing.style():
        for name in few_shot | poisoned | clean_label:
            said = drawings[name]().get_supxlabel().replace("\n", " ")
            assert "Drawn from: profile embedded" in said
            # of the code, the part that draws this figure
            module = drawings[name].func.__module__
            assert module != "pipelines.figures" and f"; code {sources.sha256_of_code(module)[:12]}" in said


def test_an_edit_changes_the_pictures_that_run_it_and_no_other(inputs: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    def captions() -> list[str]:
        with drawing.style():
            ours = synthetic.wall_clock(inputs), synthetic.ablation(inputs, "released", True)
            return [figure.get_supxlabel() for figure in (*ours, curves.final_accuracies(inputs))]

    before, hashed = captions(), records.sha256_of_file
    for edited, changed in (("synthetic/tables.py", 2), ("accuracies.py", 1), ("drawing.py", 3), ("scorecard/rule.py", 0)):
        path = ROOT / "pipelines" / edited
        monkeypatch.setattr(records, "sha256_of_file", lambda one, path=path: "0" * 64 if one == path else hashed(one))
        assert sum(old != new for old, new in zip(before, captions(), strict=True)) == changed, edited


def test_convergence_shows_our_curves_and_the_published_points(inputs: Sources) -> None:
    with drawing.style():
        figure = synthetic.convergence(inputs, "figure-1", "released", log=False)
    assert [axes.get_title() for axes in figure.axes] == [
        f"Example {e}, T = {t}" for e in (1, 2) for t in (1, 5, 10)
    ]
    assert [axes.get_ylim()[1] for axes in figure.axes] == [20, 20, 20, 40, 40, 40]
    axes = figure.axes[5]
    colour = drawing.LOOKS["penalty"]["color"]
    lines = [line for line in axes.get_lines() if to_hex(line.get_color()) == colour]
    ours, points = lines[0], lines[1]
    expected = inputs.cell("synthetic", "ex2", "penalty", "released")["curves"]["T=10"]["error"]["mean"]
    np.testing.assert_allclose(np.asarray(ours.get_ydata(), dtype=float), expected)
    np.testing.assert_allclose(
        np.asarray(points.get_ydata(), dtype=float), published.curve(2, 10, "penalty").mean
    )
    assert "Drawn from: profile cpu" in figure.get_supxlabel()


def test_a_logarithmic_axis_loses_nothing(inputs: Sources) -> None:
    with drawing.style():
        figure = synthetic.convergence(inputs, "figure-1", "released", log=True)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert axes.get_yscale() == "log" and low == pytest.approx(1e-3)
        for line in axes.get_lines():
            values = np.asarray(line.get_ydata(), dtype=float)
            assert ((values >= low * 0.999) & (values <= high)).all()


def test_floor() -> None:
    assert drawing.floor([[1.0, 0.004]]) == pytest.approx(1e-3)
    assert drawing.floor([[1.0, 0.3], [3e-5, None]]) == pytest.approx(1e-5)
    assert drawing.floor([[0.0, 1e-12]]) == pytest.approx(1e-6)
    assert drawing.floor([[None]]) == pytest.approx(1e-3)


def test_the_same_bytes_twice(inputs: Sources, tmp_path: Path) -> None:
    for name in ("first", "second"):
        with drawing.style():
            drawing.write(curves.final_accuracies(inputs), tmp_path / name)
    found = {ending: (tmp_path / f"first.{ending}").read_bytes() for ending in drawing.FORMATS}
    assert found == {ending: (tmp_path / f"second.{ending}").read_bytes() for ending in drawing.FORMATS}
    assert set(found) == {"png", "pdf", "svg"}
    content = found["png"]
    assert content.startswith(b"\x89PNG") and b"Software" not in content and b"tIME" not in content
    width, height = struct.unpack(">II", content[16:24])
    assert (width, height) == (1425, 510)
    assert found["pdf"].startswith(b"%PDF") and b"/CreationDate" not in found["pdf"] and b"/Producer" not in found["pdf"]
    # fonts that journals take, and no others
    assert b"/CIDFontType2" in found["pdf"] and b"/Type3" not in found["pdf"]
    svg = ElementTree.fromstring(found["svg"])
    assert svg.attrib["width"] == "684pt" and b"dc:date" not in found["svg"]
    # each says what it was drawn from where `trace` reads it
    drawn = {f"denoising/{name}": inputs.hashes[f"denoising/{name}"][:12] for name in ("summary.json",)}
    assert all(trace.named_in(tmp_path / f"first.{ending}") == drawn for ending in drawing.FORMATS)


def test_what_is_dense_is_an_image(tmp_path: Path) -> None:
    with drawing.style():
        figure, grid = drawing.canvas(1, 2, 4, 2)
        for axes, many in zip(grid[0], (drawing.DENSE, 50 * drawing.DENSE), strict=True):
            axes.scatter(*np.random.default_rng(0).normal(size=(2, many)))
        drawing.write(figure, tmp_path / "dense")
    assert [axes.collections[0].get_rasterized() for axes in figure.axes] == [False, True]
    assert (tmp_path / "dense.svg").read_text().count("<image") == 1
    assert all((tmp_path / f"dense.{ending}").stat().st_size < 150_000 for ending in drawing.FORMATS)


def test_a_band_loses_only_corners_that_are_not_seen() -> None:
    x = np.linspace(0, 1, 400)
    low, high = np.where(x < 0.5, 0.0, x - 0.5), 1 + np.sin(40 * x) / 4
    low[100] = -0.3
    with drawing.style():
        figure, grid = drawing.canvas(1, 1, 3, 2)
        axes = grid[0][0]
        band = axes.fill_between(x, low, high)
        figure.draw_without_rendering()
        before = band.get_transform().transform(band.get_paths()[0].vertices)
        drawing.thin(band)
    after = band.get_transform().transform(band.get_paths()[0].vertices)
    assert len(before) > 800 and len(after) < 300
    # every old corner is on the new outline, to the width of a hair
    ends, starts = after[1:], after[:-1]
    along = ends - starts
    square = np.maximum((along**2).sum(axis=1), 1e-30)
    share = np.clip(((before[:, None] - starts) * along).sum(axis=2) / square, 0, 1)
    apart = np.linalg.norm(before[:, None] - (starts + share[..., None] * along), axis=2).min(axis=1)
    assert apart.max() < 0.25
    assert [after.min(axis=0), after.max(axis=0)] == [
        pytest.approx(before.min(axis=0), abs=0.12), pytest.approx(before.max(axis=0), abs=0.12),
    ]  # fmt: skip


def test_a_palette_is_not_seen_and_photographs_keep_their_colours() -> None:
    for dense in (False, True):
        with drawing.style():
            figure, grid = drawing.canvas(1, 1, 3, 2)
            grid[0][0].plot([0, 1], [0, 1])
            if dense:
                grid[0][0].imshow(np.random.default_rng(0).random((90, 90, 3)))
            stream = io.BytesIO()
            figure.savefig(stream, format="png", dpi=drawing.DPI, metadata={"Software": None, "Description": "Drawn"})
        smaller = drawing.palette(stream.getvalue())
        old, new = (Image.open(io.BytesIO(content)) for content in (stream.getvalue(), smaller))
        assert new.text == {"Description": "Drawn"} and len(smaller) < len(stream.getvalue())
        assert new.mode == ("RGB" if dense else "P")
        apart = np.abs(np.asarray(new.convert("RGB"), dtype=int) - np.asarray(old.convert("RGB"), dtype=int))
        assert apart.mean() <= (0 if dense else drawing.SEEN)


def test_coordinates_of_an_svg_are_short_and_all_else_is_kept() -> None:
    before = (
        '<g id="x_1.2345678" transform="translate(1.005678 -3) scale(0.015625)">\n'
        '   <path d="M 1.999999 -0.126 \nL 12 3.5 \nz \n" style="opacity: 0.12345"/>\n  <use x="7.100001" y="2"/>\n'
        '  <use xlink:href="#DejaVuSans-41" transform="translate(63.625 0)"/>\n</g>'
    )
    assert drawing.rounded(before.encode()).decode() == (
        '<g id="x_1.2345678" transform="translate(1.01 -3) scale(0.015625)">\n'
        '<path d="M 2 -0.13 L 12 3.5 z " style="opacity: 0.12345"/>\n<use x="7.1" y="2"/>\n'
        '<use xlink:href="#g41" x="63.62"/>\n</g>'
    )


def test_other_figures(inputs: Sources) -> None:
    with drawing.style():
        clock, on_the_way = synthetic.wall_clock(inputs), curves.learning_curves(inputs)
        ablation = synthetic.ablation(inputs, "released", log=False)
    assert len(clock.axes) == 12 and len(on_the_way.axes) == 6 and len(ablation.axes) == 6
    assert [axes.get_title() for axes in on_the_way.axes[:3]] == [
        "mnist-25: test", "mnist-25: selection", "mnist-25: train (noisy labels)",
    ]  # fmt: skip
    # paper, one trial and 20 stacked for three methods; the paper has no reused test
    bars = [bar for bar in clock.axes[0].patches if isinstance(bar, Rectangle)]
    widths = [bar.get_width() for bar in bars if bar.get_width() > 0]
    assert len(widths) == 3 * 3 + 2


def test_the_contact_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up.write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    made_up.write_results(tmp_path, "embedded")
    inputs = sources.load("embedded")
    assert [name for name, _ in figures.drawings(inputs)][-1] == "sheet-glyphs-5way-1shot"
    with drawing.style():
        figure = datasheet.sheet(inputs, "glyphs-5way-1shot")
    above, below = (np.asarray(axes.get_images()[0].get_array()) for axes in figure.axes)
    assert [axes.get_title() for axes in figure.axes] == ["240 of the classes", "20 images of 5 classes"]
    drawn = np.random.default_rng(0).integers(0, 255, (260, 20, 8, 8)).astype(np.uint8)
    assert above.shape == (12 * 8, 20 * 8) and below.shape == (5 * 8, 20 * 8)
    np.testing.assert_array_equal(above[:8, :8], 255 - drawn[0, 0])
    np.testing.assert_array_equal(above[-8:, -8:], 255 - drawn[259, 0])
    np.testing.assert_array_equal(below[8:16, 16:24], 255 - drawn[86, 2])
    assert "few_shot/data.json" in figure.get_supxlabel()


def test_a_users_own_style_changes_nothing(inputs: Sources, tmp_path: Path) -> None:
    import matplotlib

    with drawing.style():
        drawing.write(curves.final_accuracies(inputs), tmp_path / "plain")
    with (
        matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.dpi": 30}),
        drawing.style(),
    ):
        drawing.write(curves.final_accuracies(inputs), tmp_path / "styled")
    for ending in drawing.FORMATS:
        assert (tmp_path / f"plain.{ending}").read_bytes() == (tmp_path / f"styled.{ending}").read_bytes()
