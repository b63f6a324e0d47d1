"""Which of the project's files a module really runs: the closure of its imports, read from the sources."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "pipelines")
EXEMPT = frozenset(
    {
        "pipelines.live",
        "pipelines.tracking",
        "pipelines.runs",
        "pipelines.machine",
        "pipelines.checkpoints",
        "pipelines.errors",
        "pipelines.closure",
        "pipelines.datasets.vouched",
    }
)
"""Modules that cannot change a byte of a record (a test shows it): progress, tracking, checkpoints, error messages, the
check of prepared data. What they alone import is exempt too."""


def path_of(module: str) -> Path | None:
    """A module's file, relative to the project's root; None for what is no module of ours."""
    base = Path(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of ours that a module's file imports, wherever in the file; packages on the way included."""
    path = path_of(module)
    return frozenset() if path is None else imports_of((ROOT / path).read_text(encoding="utf-8"))


def imports_of(source: str) -> frozenset[str]:
    """The same for a source text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    ours = {name for name in found if name.split(".")[0] in ROOMS and path_of(name) is not None}
    packages = {".".join(parts[:count]) for parts in (name.split(".") for name in ours) for count in range(1, len(parts))}
    return frozenset(ours | {name for name in packages if path_of(name) is not None})


def closure(*modules: str) -> list[str]:
    """The files, sorted, that running these modules loads; exempt ones, and empty ones, left out."""
    todo, seen = list(modules), set()
    while todo:
        module = todo.pop()
        if module in seen or module in EXEMPT:
            continue
        seen.add(module)
        todo += imports(module)
    paths = {path for path in map(path_of, seen) if path is not None and (ROOT / path).stat().st_size > 0}
    return sorted(path.as_posix() for path in paths)
