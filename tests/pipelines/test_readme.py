"""The table in the README: put between its markers, all else kept, and checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import readme
from pipelines.errors import UserError

TEXT = "# Title\n\nbefore\n<!-- results -->\nold\n<!-- /results -->\n\nafter\n"
TABLE = "| a |\n|:--|\n| 1 |\n\nDrawn from: nothing.\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports/cpu/tables").mkdir(parents=True)
    (tmp_path / "reports/cpu/tables/results.md").write_text(TABLE)
    (tmp_path / "README.md").write_text(TEXT)
    return tmp_path


def test_splice_and_check(place: Path) -> None:
    with pytest.raises(
        UserError, match="does not hold the table of .*`python -m pipelines.readme` puts it there"
    ):
        readme.main(["--check"])
    assert (place / "README.md").read_text() == TEXT
    readme.main([])
    spliced = (place / "README.md").read_text()
    assert spliced == (
        f"# Title\n\nbefore\n<!-- results -->\n\n{TABLE.strip()}\n\n<!-- /results -->\n\nafter\n"
    )
    readme.main(["--check"])
    readme.main([])
    assert (place / "README.md").read_text() == spliced


def test_a_backslash_in_the_table_is_kept() -> None:
    assert "x\\|y \\1" in readme.spliced(TEXT, "x\\|y \\1")


@pytest.mark.parametrize(
    "text",
    ["none", "<!-- results -->", "<!-- /results --><!-- results -->", TEXT + TEXT],
)
def test_markers(text: str) -> None:
    with pytest.raises(UserError, match="once each and in this order"):
        readme.spliced(text, TABLE)


def test_missing_files(place: Path) -> None:
    (place / "reports/cpu/tables/results.md").unlink()
    with pytest.raises(UserError, match=r"results.md is missing: `python -m pipelines.tables cpu` makes it"):
        readme.main([])
    (place / "reports/cpu/tables/results.md").write_text(TABLE)
    (place / "README.md").unlink()
    with pytest.raises(UserError, match="README.md is missing"):
        readme.main([])
