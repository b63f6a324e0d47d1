"""The sealed labels: of test rows, and the right ones of noisy training rows. Only evaluation opens them.

The guard has three parts. `prepared.read_arrays`, which everything else reads with, refuses the file. `importers`
finds every module that imports this one, so a test can compare them with `IMPORTED_BY`. And `opened` refuses to run in
the process of any other stage, however it got there.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.prepared import SEALED_FILE, read_any

OPENED_BY = frozenset({"pipelines.evaluate"})
"""The stages in whose process the labels may be opened. A further one must need test labels for what it computes."""

IMPORTED_BY = frozenset(f"pipelines.{family}.metrics" for family in ("denoising", "few_shot", "poisoning"))
"""The modules that may import this one; evaluation loads them."""


class Sealed(NamedTuple):
    """Right labels of denoising, in the order of the prepared images.

    Attributes:
        test_labels: uint8 [n_test].
        train_labels: uint8 [n_train].
    """

    test_labels: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]


def load_sealed(folder: Path) -> Sealed:
    """Read sealed.npz of a folder prepared for denoising; raises as `opened`."""
    return Sealed(**opened(folder, Sealed._fields))


def opened(folder: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read these arrays of sealed.npz of a prepared folder; which there are is said in the family's prepare.py.

    Raises:
        UserError: the file is missing or damaged; names the command that makes it.
        RuntimeError: the stage that runs is not one of `OPENED_BY`.
    """
    stage = _running_stage()
    if stage.startswith("pipelines.") and stage not in OPENED_BY:
        allowed = ", ".join(sorted(OPENED_BY))
        raise RuntimeError(f"{stage} opened the sealed labels in {folder}; only {allowed} may")
    return read_any(folder / SEALED_FILE, names)


def _running_stage() -> str:
    """The module this process was started with by `python -m`, or '' (a notebook, a test)."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if spec is not None else ""


def importers(root: Path) -> set[str]:
    """The modules of `pipelines` under `root` that import this one directly, by name.

    Args:
        root: the folder that holds the package `pipelines`.

    Raises:
        SyntaxError: a module there is not Python.
    """
    found = set()
    for path in sorted((root / "pipelines").rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        if any(map(_imports_this, ast.walk(ast.parse(path.read_text(encoding="utf-8"))))):
            found.add(module.removesuffix(".__init__"))
    return found


def _imports_this(node: ast.AST) -> bool:
    """Whether a statement imports a module called as this one, absolutely or relatively."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or "", *(alias.name for alias in node.names)]
    else:
        return False
    own = __name__.rpartition(".")[2]
    return any(name.rpartition(".")[2] == own for name in names)
