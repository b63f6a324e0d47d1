"""DVC's word on what is stale, with each parameter file parsed once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dvc.fs import LocalFileSystem
from dvc.parsing.context import Context
from small_project import copy, done, status

from pipelines.once import of_profile, parsed_once

HOMES = ("pipelines/synthetic/embedded/dvc.yaml", "pipelines/denoising/embedded/dvc.yaml")


def test_a_file_is_parsed_again_only_when_it_is_written_again(tmp_path: Path) -> None:
    parsed: list[str] = []

    def load(path: str, fs: Any) -> dict[str, str]:
        parsed.append(path)
        return {"text": Path(path).read_text()}

    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    for path in (first, second):
        path.write_text("old")
        os.utime(path, ns=(1, 1))
    once = parsed_once(load)
    assert [once(str(path), None)["text"] for path in (first, second, first, second)] == ["old"] * 4
    assert parsed == [str(first), str(second)]
    first.write_text("new")
    os.utime(first, ns=(2, 2))
    assert once(str(first), None) == {"text": "new"} and parsed == [str(first), str(second), str(first)]


def test_the_profile_is_the_one_asked_for_whatever_the_file_names(tmp_path: Path) -> None:
    """Of what `${...}` may name; a file without a profile gets none."""
    (tmp_path / "params.yaml").write_text("profile: embedded\nother: 1\n")
    (tmp_path / "some.yaml").write_text("other: 2\n")
    read = of_profile(Context.load_from_vars, "cpu")
    found, none = Context(), Context()
    read(found, LocalFileSystem(), [], str(tmp_path), default="params.yaml")
    read(none, LocalFileSystem(), [], str(tmp_path), default="some.yaml")
    assert found.value == {"profile": "cpu", "other": 1} and none.value == {"other": 2}
    assert found.resolve_str("python -m pipelines.tables ${profile}") == "python -m pipelines.tables cpu"
    assert (tmp_path / "params.yaml").read_text() == "profile: embedded\nother: 1\n"


def test_it_says_what_dvc_says(tmp_path: Path) -> None:
    project = copy(tmp_path / "project")
    said = json.loads(done(project, "-m", "pipelines.once", "embedded", "status", "--json", *HOMES))
    assert said == status(project, *HOMES) and len(said) > 2
    drawn = json.loads(done(project, "-m", "pipelines.once", "cpu", "status", "--json", "dvc.yaml"))
    assert {name.rpartition("@")[2] for name in drawn} == {"cpu"}
    assert (project / "params.yaml").read_text() == "profile: embedded\n"
