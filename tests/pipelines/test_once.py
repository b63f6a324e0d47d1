"""DVC's word on what is stale, with each parameter file parsed once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from small_project import copy, done, status

from pipelines.once import parsed_once

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


def test_it_says_what_dvc_says(tmp_path: Path) -> None:
    project = copy(tmp_path / "project")
    said = json.loads(done(project, "-m", "pipelines.once", "status", "--json", *HOMES))
    assert said == status(project, *HOMES) and len(said) > 2
