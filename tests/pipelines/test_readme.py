"""The table and the counts in the README: put between their markers, all else kept, and checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines import readme
from pipelines.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
COUNTS = "<!-- scorecard -->\nold\n<!-- /scorecard -->\n"
TEXT = f"# Title\n\n{COUNTS}before\n<!-- results -->\nold\n<!-- /results -->\n\nafter\n"
TABLE = "| a |\n|:--|\n| 1 |\n\nDrawn from: nothing.\n"

CLAIMS = """id,claim,verdict,under
C01,"a, b",holds,full budget
C02,c,holds,cut budget
C03,d,does not hold,computed
C04,e,undecided,cut budget
C39,f,not run,
N01,g,undecided,cut budget
# drawn from: nothing
"""
SAID = (
    "**What holds, in profile `cpu`.** Of the paper's 4 claims **2 hold** (1 at full budget, 1 at a cut budget), **1 does"
    " not hold** (1 computed), 1 is undecided and 0 were not run. A verdict at a cut budget is none on the paper. 2 more are"
    " of other works: 1 is undecided, 1 was not run."
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports/cpu/tables").mkdir(parents=True)
    (tmp_path / "reports/cpu/tables/results.md").write_text(TABLE)
    (tmp_path / "reports/cpu/tables/claims.csv").write_text(CLAIMS)
    (tmp_path / "README.md").write_text(TEXT)
    return tmp_path


def test_splice_and_check(place: Path) -> None:
    with pytest.raises(
        UserError, match="does not hold the table of .*`python -m pipelines.readme` puts them there"
    ):
        readme.main(["--check"])
    assert (place / "README.md").read_text() == TEXT
    readme.main([])
    spliced = (place / "README.md").read_text()
    assert spliced == (
        f"# Title\n\n<!-- scorecard -->\n\n{SAID}\n\n<!-- /scorecard -->\nbefore\n<!-- results -->\n\n{TABLE.strip()}\n\n"
        "<!-- /results -->\n\nafter\n"
    )
    readme.main(["--check"])
    readme.main([])
    assert (place / "README.md").read_text() == spliced
    # a verdict that changes is seen
    (place / "reports/cpu/tables/claims.csv").write_text(CLAIMS.replace("e,undecided", "e,does not hold"))
    with pytest.raises(UserError, match="or the counts of .*claims.csv"):
        readme.main(["--check"])


def test_the_committed_readme_has_the_drawn_counts_and_shows_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = Path("README.md").read_text()
    claims = Path("reports/cpu/tables/claims.csv").read_text()
    assert readme.spliced(text, readme.SCORECARD, readme.counts(claims)) == text
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    linked = re.findall(r"(?<!!)\[[^\]]+\]\((?!http)([^)#]+)", text)
    assert shown and text.index(shown[0]) < text.index("## Results")
    assert all(Path(path).is_file() for path in (*shown, *linked))


def test_a_backslash_in_the_table_is_kept() -> None:
    assert "x\\|y \\1" in readme.spliced(TEXT, readme.RESULTS, "x\\|y \\1")


@pytest.mark.parametrize(
    "text",
    ["none", "<!-- results -->", "<!-- /results --><!-- results -->", TEXT + TEXT],
)
def test_markers(text: str) -> None:
    with pytest.raises(UserError, match="once each and in this order"):
        readme.spliced(text, readme.RESULTS, TABLE)


def test_missing_files(place: Path) -> None:
    (place / "reports/cpu/tables/results.md").unlink()
    with pytest.raises(UserError, match=r"results.md is missing: `python -m pipelines.tables cpu` makes it"):
        readme.main([])
    (place / "reports/cpu/tables/results.md").write_text(TABLE)
    (place / "reports/cpu/tables/claims.csv").unlink()
    with pytest.raises(UserError, match=r"claims.csv is missing: `python -m pipelines.tables cpu` makes it"):
        readme.main([])
    (place / "reports/cpu/tables/claims.csv").write_text(CLAIMS)
    (place / "README.md").unlink()
    with pytest.raises(UserError, match="README.md is missing"):
        readme.main([])
