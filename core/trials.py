"""Independent trials as one batched axis, and compilation.

Row i of a batched run is trial i run alone: steps have no data-dependent branch, draw nothing, and reduce over no
trial.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop
from torch.func import vmap

from core.loops import laid_out
from core.solvers.base import Solver
from core.trees import Tree, flatten, tree_map
from core.validate import without_graph

Step = Callable[[Any, Any], tuple[Any, Any]]


def stack(states: Sequence[Tree]) -> Tree:
    """One state with a trailing axis of trials on every tensor, from the states of single trials.

    The axis is the last one so that sums over the entries of one trial run side by side over the trials, in a
    processor's vector registers.
    """
    return tree_map(lambda *leaves: torch.stack(leaves, dim=-1), *states)


def row(state: Tree, index: int) -> Tree:
    """The state of one trial, from a stacked one."""
    return tree_map(lambda leaf: leaf[..., index], state)


def batched(solver: Solver, batch_axis: int | None = -1) -> Step:
    """`solver.step` for stacked states.

    At the first call the first trial also takes the step alone: what is wrong with a problem is not looked for in a batch.

    Args: batch_axis: -1 where every trial has its own batch (stacked like the states), None where all share one.
    """
    together = vmap(solver.step, in_dims=(-1, batch_axis), out_dims=-1)
    alone: list[bool] = []

    def step(state: Any, batch: Any) -> tuple[Any, Any]:
        if not alone and not torch.compiler.is_compiling():
            solver.step(row(state, 0), batch if batch_axis is None else row(batch, 0))
            alone.append(True)
        if torch.compiler.is_compiling():
            stepped: tuple[Any, Any] = together(state, batch)
            return stepped
        with without_graph():
            stepped = together(state, batch)
        return stepped

    return step


@functools.cache
def compiler_problem() -> str | None:
    """Why `torch.compile` cannot make CPU code here, or None where it can: it needs a C++ compiler, Python.h and openssl."""
    if os.environ.get("BILEVEL_COMPILE") == "0":
        return "BILEVEL_COMPILE=0"
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        return "no C++ compiler (Debian and Ubuntu: apt install g++; conda: cxx-compiler)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "no Python.h (Debian and Ubuntu: apt install python3-dev)"
    if shutil.which("openssl") is None:  # with which torch hashes its precompiled headers
        return "no openssl (Debian and Ubuntu: apt install openssl)"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.cpp"
        source.write_text("#include <vector>\nint main() { return std::vector<int>{}.size(); }\n")
        done = subprocess.run(
            [compiler, "-fopenmp", str(source), "-o", str(Path(folder) / "probe")], capture_output=True, text=True
        )
    return None if done.returncode == 0 else f"the C++ compiler {compiler} does not work: {done.stderr.strip()[:200]}"


Advance = Callable[[Any, Any, int], Any]


def advancing(step: Step) -> Advance:
    """(state, batch, iterations) -> state: that many steps on one batch, as one compiled program where there is a
    compiler, else step by step (see `compiler_problem`).

    The number of iterations is data of the program, not part of it.
    """
    if compiler_problem() is not None:
        return one_by_one(step)
    # every step makes a program of its own from one function's code, and the compiler gives up after eight of a code
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 1000)
    whole: dict[str, Any] = {"fullgraph": True, "dynamic": False, "options": {"deterministic": True}}
    program = torch.compile(functools.partial(_looped, step), **whole)
    begun: list[bool] = []

    def run(state: Any, batch: Any, iterations: int) -> Any:
        if not begun:
            step(state, batch)  # what is wrong with a problem is not looked for in a program
            begun.append(True)
        _, rebuild = flatten(state)
        with torch.no_grad():
            return rebuild(program(torch.tensor(iterations), state, batch))

    return run


def one_by_one(step: Step) -> Advance:
    """(state, batch, iterations) -> state, one call of `step` after another."""

    def run(state: Any, batch: Any, iterations: int) -> Any:
        for _ in range(iterations):
            state, _ = step(state, batch)
        return state

    return run


def _looped(step: Step, iterations: Tensor, state: Any, batch: Any) -> tuple[Tensor, ...]:
    """The loop as `while_loop` wants it: flat tensors in and out, none of them the same on both sides."""
    flat, rebuild = flatten(state)

    def unfinished(done: Tensor, *leaves: Tensor) -> Tensor:
        return done < iterations

    def body(done: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
        new = flatten(step(rebuild(leaves), batch)[0])[0]
        return (done + 1, *(laid_out(leaf, [*leaves, *new[:index]]) for index, leaf in enumerate(new)))

    start = (torch.zeros((), dtype=torch.int64), *(leaf.contiguous() for leaf in flat))
    ended: tuple[Tensor, ...] = while_loop(unfinished, body, start)  # type: ignore[no-untyped-call]
    return ended[1:]
