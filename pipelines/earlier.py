"""The sources that a record was made with, found again: by DVC's lock entry of its stage, in the history of git.

DVC notes the MD5 of every file a stage depended on. Of a file that has changed since, git's history holds the version with
that MD5, unless it was never committed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipelines.closure import ROOMS, ROOT
from pipelines.errors import UserError


def locked_sources(stage: str) -> dict[str, str]:
    """The source files of a stage in DVC's lock: path -> MD5; raises UserError where the stage has no entry.

    Args: stage: as DVC names it, pipelines/<family>/<profile>/dvc.yaml:<name>.
    """
    file, _, name = stage.rpartition(":")
    entry = _lock(ROOT / Path(file).with_suffix(".lock")).get(name)
    if entry is None:
        raise UserError(f"{stage} has no entry in DVC's lock: `make repro` trains it")
    return {dep["path"]: dep["md5"] for dep in entry["deps"] if dep["path"].endswith(".py")}


def version_with(path: str, md5: str) -> bytes:
    """A file's content with this MD5: as it stands, or from git's history; raises UserError where it is in neither."""
    now = ROOT / path
    if now.exists() and hashlib.md5(now.read_bytes()).hexdigest() == md5:
        return now.read_bytes()
    for content in _versions(path):
        if hashlib.md5(content).hexdigest() == md5:
            return content
    raise UserError(f"the version of {path} that the record was made with is not in git's history")


@contextmanager
def project_of(sources: Mapping[str, str]) -> Iterator[Path]:
    """A temporary copy of the project with these sources (path -> MD5) as they were; data/ and results/ are the same."""
    with tempfile.TemporaryDirectory(prefix="earlier-") as name:
        copy = Path(name)
        for room in ROOMS:
            shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "params.yaml", copy / "params.yaml")
        for shared in ("data", "results"):  # some cells go on from another's record
            if (ROOT / shared).exists():
                (copy / shared).symlink_to(ROOT / shared)
        for path, md5 in sources.items():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            # a module that has become a package since would hide the file
            shutil.rmtree((copy / path).with_suffix(""), ignore_errors=True)
            (copy / path).write_bytes(version_with(path, md5))
        yield copy


@cache
def _lock(path: Path) -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe", pure=True).load(path)["stages"] if path.exists() else {}
    return stages


@cache
def _versions(path: str) -> tuple[bytes, ...]:
    """Every version of a file in git's history, newest first."""
    listed = subprocess.run(
        ["git", "log", "--all", "--format=%H", "--", path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    shown = (
        subprocess.run(["git", "show", f"{commit}:{path}"], cwd=ROOT, capture_output=True, check=False)
        for commit in listed.stdout.split()
    )
    return tuple(done.stdout for done in shown if done.returncode == 0)
