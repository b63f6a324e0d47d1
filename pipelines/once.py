"""DVC's command line with each parameter file parsed once: `python -m pipelines.once status --json <dvc.yaml> ...`.

DVC parses a family's params.yaml anew for every stage that depends on it, which is most of the time of `dvc status` where
there are hundreds of them. For commands that only read: what is parsed is handed out more than once.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from dvc.cli import main
from dvc.dependency import param


def parsed_once(load: Callable[..., Any]) -> Callable[..., Any]:
    """`load(path, fs)` whose result is kept for as long as the file is not written again."""

    @functools.cache
    def kept(path: str, fs: Any, written: int) -> Any:
        return load(path, fs)

    return lambda path, fs: kept(path, fs, os.stat(path).st_mtime_ns)


if __name__ == "__main__":
    param.load_path = parsed_once(param.load_path)
    sys.exit(main(sys.argv[1:]))
