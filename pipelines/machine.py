"""The machine a stage runs on: its device, what a run cost, and the life of its parent process."""

from __future__ import annotations

import datetime
import functools
import hashlib
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from filelock import FileLock

from pipelines.closure import EXEMPT, ROOMS, ROOT, path_of
from pipelines.errors import UserError


def device() -> torch.device:
    """The GPU where there is one, else the CPU; `BILEVEL_DEVICE` names another."""
    wanted = os.environ.get("BILEVEL_DEVICE", "cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"BILEVEL_DEVICE={wanted} cannot be used here ({error}); unset it, or say cpu") from error
    return torch.device(wanted)


@functools.cache
def source_hash() -> str:
    """SHA-256 over the project's modules that are loaded at the first call: a checkpoint of other code is not gone on
    from."""
    digest = hashlib.sha256()
    exempt = {ROOT / path for path in map(path_of, EXEMPT) if path is not None}
    for path in sorted(loaded_sources()):
        if path not in exempt:
            digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def loaded_sources() -> set[Path]:
    """The files of core/ and pipelines/ that this process has loaded."""
    rooms = tuple(f"{ROOT / room}{os.sep}" for room in ROOMS)
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {Path(name) for name in files if name and name.startswith(rooms)}


def describe(used: torch.device, seconds: float) -> dict[str, Any]:
    """What run.json holds: this one run's cost, and what it ran on and from."""
    used_by_now = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used_by_now.ru_utime + used_by_now.ru_stime, 1),  # what a busy machine does not stretch
        "peak_memory_bytes": used_by_now.ru_maxrss * 1024,
        "peak_device_memory_bytes": torch.cuda.max_memory_allocated(used) if used.type == "cuda" else 0,
        "device": torch.cuda.get_device_name(used) if used.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def timed_on() -> dict[str, Any]:
    """What a record of timings says of where they were taken."""
    described = describe(device(), 0.0)
    return {name: described[name] for name in ("device", "threads", "python", "torch", "commit", "date")}


@contextmanager
def alone() -> Iterator[None]:
    """Keep other timings of this project away meanwhile."""
    folder = Path("checkpoints")
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "timing.lock"):
        yield


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The checked-out commit, with "+changes" where tracked sources differ from it; "unknown" without git."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        sources = ["core", "pipelines", "params.yaml"]
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *sources], cwd=ROOT, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if changed.returncode else "")


def end_with_parent(every: float = 1.0) -> None:
    """End this process when the one that started it dies, so that no killed `dvc repro` leaves a trainer writing.

    DVC starts a stage through a shell, which can outlive DVC: the shell's parent is watched too.
    """
    watched = []
    try:
        parent = psutil.Process().parent()
        if parent is not None:
            watched.append(parent)
            above = parent.parent()
            if above is not None and parent.name() in ("sh", "bash", "dash", "zsh"):
                watched.append(above)
    except psutil.Error:
        return

    def watch() -> None:
        while all(_alive(one) for one in watched):
            time.sleep(every)
        print("the process that started this one is gone: ending", file=sys.stderr)
        os._exit(143)

    threading.Thread(target=watch, daemon=True).start()


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
