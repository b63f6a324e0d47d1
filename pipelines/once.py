"""DVC's command line for a profile, with each parameter file parsed once:
`python -m pipelines.once <profile> status --json <dvc.yaml> ...`.

DVC parses a family's params.yaml anew for every stage that depends on it, which is most of the time of `dvc status` where
there are hundreds of them. And it takes `${profile}` out of the file params.yaml, which only a switch to another profile may
write. For commands that only read: what is parsed is handed out more than once.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from dvc.cli import main
from dvc.dependency import param
from dvc.parsing.context import Context


def parsed_once(load: Callable[..., Any]) -> Callable[..., Any]:
    """`load(path, fs)` whose result is kept for as long as the file is not written again."""

    @functools.cache
    def kept(path: str, fs: Any, written: int) -> Any:
        return load(path, fs)

    return lambda path, fs: kept(path, fs, os.stat(path).st_mtime_ns)


def of_profile(load: Callable[..., None], profile: str) -> Callable[..., None]:
    """`load`, which reads what dvc.yaml may name by `${...}`, with `${profile}` as given where the file has one."""

    def loaded(context: Any, *arguments: Any, **more: Any) -> None:
        load(context, *arguments, **more)
        if "profile" in context:
            context["profile"] = profile

    return loaded


if __name__ == "__main__":
    param.load_path = parsed_once(param.load_path)
    Context.load_from_vars = of_profile(Context.load_from_vars, sys.argv[1])
    sys.exit(main(sys.argv[2:]))
