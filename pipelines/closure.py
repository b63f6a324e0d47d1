"""Which of the project's files a module really runs: the closure of its imports, read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

from pipelines.errors import UserError

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


def source_of(module: str) -> Path | None:
    """A module's source file, ours or an installed package's; None where there is none. Nothing is imported."""
    path = path_of(module)
    if path is not None:
        return ROOT / path
    top, *rest = module.split(".")
    spec = None if top in ROOMS else find_spec(top)
    if spec is None:
        return None
    bases = [Path(place, *rest) for place in spec.submodule_search_locations or ()]
    named = [file for base in bases for file in (base.with_suffix(".py"), base / "__init__.py")]
    alone = [Path(spec.origin)] if spec.origin and not rest else []
    return next((file for file in (*alone, *named) if file.suffix == ".py" and file.is_file()), None)


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of ours that a module's file imports, wherever in the file, and for one of another package those of that
    package; packages on the way included."""
    path = source_of(module)
    if path is None:
        return frozenset()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return imports_of(path.read_text(encoding="utf-8"), package)


def imports_of(source: str, package: str = "") -> frozenset[str]:
    """The same for a source text; `package`: where it stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.level == 0 or package):
            name = resolve_name("." * node.level + (node.module or ""), package)
            found.add(name)
            found.update(f"{name}.{alias.name}" for alias in node.names)
    followed = {*ROOMS, package.partition(".")[0]}
    known = {name for name in found if name.partition(".")[0] in followed and source_of(name) is not None}
    return frozenset(known | {name for name in packages_of(known) if source_of(name) is not None})


def packages_of(modules: Iterable[str]) -> set[str]:
    """The packages that modules stand in, which importing them runs."""
    return {".".join(parts[:count]) for parts in (name.split(".") for name in modules) for count in range(1, len(parts))}


def closure(*modules: str) -> list[str]:
    """The files of the project, sorted, that running these modules loads; exempt ones, and empty ones, left out.

    A module of an installed package counts for what it, and its package, import of ours: its own file lies elsewhere.
    Raises UserError for a named module that has no source.
    """
    for module in modules:
        if source_of(module) is None:
            raise UserError(
                f"a stage needs the module {module}, which has no source here: put back its file, install its package, or"
                " take out of params.yaml what names it"
            )
    todo, seen = [*modules, *packages_of(one for one in modules if path_of(one) is None)], set()
    while todo:
        module = todo.pop()
        if module in seen or module in EXEMPT:
            continue
        seen.add(module)
        todo += imports(module)
    paths = {path for path in map(path_of, seen) if path is not None and (ROOT / path).stat().st_size > 0}
    return sorted(path.as_posix() for path in paths)
