"""Data sets that a package ships: listed with the others, verified where they lie, never fetched."""

from __future__ import annotations

import gzip
import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import fetch as command
from pipelines.datasets import download, glyphs, shipped
from pipelines.datasets.registry import DATA_SETS, SHIPPED, data_set
from pipelines.errors import UserError, run

NAMES = {"digits": "scikit-learn", "glyphs": "matplotlib", "breast_cancer": "scikit-learn", "wine": "scikit-learn"}
CONTENT = b"1,2,3\n" * 1000


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(download.MIRROR, raising=False)
    return tmp_path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in the place of scikit-learn for the digits; the folder of its data."""
    folder = tmp_path / "packages/boxed_digits/data"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('it need not be imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    (file,) = SHIPPED["digits"].files
    known = replace(file, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(SHIPPED, "digits", replace(SHIPPED["digits"], within="boxed_digits/data", files=(known,)))
    (folder / file.remote).write_bytes(gzip.compress(CONTENT))
    return folder


def test_they_are_listed_with_their_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert {name: entry.comes_with for name, entry in SHIPPED.items()} == NAMES and not set(NAMES) & set(DATA_SETS)
    command.main(["--list"])
    rows = {row.split()[0]: row for row in capsys.readouterr().out.splitlines()}
    sizes = {"digits": " 0.3 MB ", "glyphs": " 5.3 MB ", "breast_cancer": " 0.1 MB ", "wine": " 0.01 MB "}
    for name, origin in NAMES.items():
        assert f" complete, comes with {origin} " in rows[name] and sizes[name] in rows[name]
    assert len(rows) == 1 + len(DATA_SETS) + len(SHIPPED) + 1


@pytest.mark.parametrize("name", [*NAMES, "mnist"])
def test_all_that_is_known_of_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--list", name])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    entry = data_set(name)
    assert lines[0] == name and f"terms: {entry.licence}" in lines and f"cite: {entry.citation}" in lines
    assert f"from: {f'comes with {NAMES[name]}' if name in NAMES else ', '.join(entry.addresses)}" in lines
    assert len(lines) == 8 + len(entry.files)


def test_the_faces_are_those_that_are_drawn_from() -> None:
    assert tuple(file.name for file in SHIPPED["glyphs"].files) == glyphs.FACES
    assert [shipped.path_of(SHIPPED["glyphs"], file) for file in SHIPPED["glyphs"].files] == [
        Path(glyphs.matplotlib.get_data_path()) / "fonts/ttf" / name for name in glyphs.FACES
    ]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_fetched(name: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main([name])
    said = capsys.readouterr().out
    assert f"{name} comes with {NAMES[name]}: there is nothing to fetch" in said and SHIPPED[name].citation in said
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (gzip.compress(CONTENT, 1, mtime=7), "right"),  # wrapped anew
        (gzip.compress(CONTENT[:-1] + b"x", mtime=0), "wrong"),
        (gzip.compress(CONTENT, mtime=0)[:-9], "wrong"),
        (CONTENT, "wrong"),
        (None, "missing"),
    ],
    ids=["wrapped anew", "another byte", "cut short", "not wrapped", "not there"],
)
def test_what_lies_there(package: Path, content: bytes | None, found: str, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = SHIPPED["digits"].files
    path = package / file.remote
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    word = "complete" if found == "right" else found
    assert command.state(SHIPPED["digits"]) == f"{word}, comes with scikit-learn"
    if found == "right":
        command.main(["--check", "digits"])
        assert f"{path}: right" in capsys.readouterr().out
    else:
        for arguments in (["--check"], ["--check", "digits"], ["digits"]):
            with pytest.raises(SystemExit) as caught:
                run(lambda given=arguments: command.main(given))
            assert caught.value.code == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1 and "install scikit-learn as requirements.lock has it" in said
    assert "boxed_digits" not in sys.modules


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHIPPED, "digits", replace(SHIPPED["digits"], within="no_such_package/data"))
    assert command.state(SHIPPED["digits"]) == "missing, comes with scikit-learn"
    with pytest.raises(UserError, match="digits is not what this project was built on: install scikit-learn"):
        command.fetch(SHIPPED["digits"])
