"""A copy of the project with two small families, for tests that run its commands as a user types them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "pipelines", "notebooks")
FILES = ("dvc.yaml", ".dvcignore", ".gitignore")

SYNTHETIC = """
common: {threads: 1, first_steps: 3, trials: 2, lower_steps: [1, 2], upper_iterations: 30}
embedded:
  examples: [ex1, ex3]
  methods: [gd, penalty]
  presets: [released]
  ablations: [ablation]
  variants: [lambda0]
  timing: {repetitions: 2, eager: {examples: [ex1], iterations: 2}, compiled: {examples: [], iterations: 2}}
  cells:
    ex1:
      gd: {solver: gd, settings: {upper_step_size: 1e-3, lower_step_size: 1e-4}}
      penalty: {solver: penalty, settings: {upper_step_size: 1e-3, lower_step_size: 1e-4}}
    ex3:
      gd: {solver: gd, settings: {upper_step_size: 1e-3, lower_step_size: 1e-4}}
      penalty: {solver: penalty, settings: {upper_step_size: 1e-3, lower_step_size: 1e-4}}
    ablation:
      lambda0: {solver: penalty, example: ex1, trials: 2, settings: {lambda_0: 0.0}}
"""
DENOISING = """
common: {threads: 1, first_steps: 2}
embedded:
  data: [digits-25]
  methods: [oracle, penalty]
  prepared:
    digits-25: {source: digits, noise: 0.25, train_size: 400, seeds: [0, 1, 2]}
  cells:
    digits-25:
      oracle: {solver: single-level, preset: released, use: oracle, network: digits, batch: 100, epochs: 2,
               evaluations: 2, settings: {lower_step_size: 1e-3}}
      penalty:
        {solver: penalty, preset: released, use: train, network: digits-dense, batch: 100, epochs: 8, evaluations: 4,
         pretrain: {epochs: 2, step_size: 1e-3}, importances: {agree: 0.6, disagree: 0.4}, renormalise: true,
         moments: position, settings: {lower_steps: 3, upper_step_size: 3.0, lower_step_size: 1e-3}}
"""
POISONING = """
common: {threads: 1, first_steps: 2}
embedded:
  data: [digits-untargeted, digits-targeted]
  methods: [label-flipping, penalty]
  prepared:
    digits-untargeted:
      {source: digits, attack: untargeted, points: 6, sizes: {train: 100, validation: 100, selection: 50, test: 100},
       seeds: [0, 1]}
    digits-targeted:
      {source: digits, attack: targeted, points: 6, sizes: {train: 100, validation: 100, selection: 50, test: 100},
       seeds: [0, 1]}
  cells:
    digits-untargeted: &cells
      label-flipping: &flipping
        {solver: single-level, preset: released, points: [6], weight_decay: 0.01, iterations: 0, evaluations: 1,
         stacked: true, pretrain: {epochs: 5, step_size: 1e-2}, retrain: {epochs: 20, step_size: 1e-2}, settings: {}}
      penalty:
        <<: *flipping
        solver: penalty
        iterations: 3
        settings: {lower_steps: 2, upper_step_size: 0.1, lower_step_size: 1e-2}
    digits-targeted: *cells
"""
FEW_SHOT = """
common: {threads: 1, first_steps: 2}
embedded: {data: [], methods: [], prepared: {}, cells: {}}
"""
CLEAN_LABEL = """
common: {threads: 1, first_steps: 2}
embedded:
  data: [digits-4-9]
  methods: [clean, penalty]
  prepared:
    digits-4-9: {source: digits, pair: [4, 9], train_rows: 10, test_rows: 5, selection_rows: 2, features: pixels}
  cells:
    digits-4-9:
      clean: &clean
        {form: clean, solver: single-level, preset: described, weight_decay: 1e-3, iterations: 0, evaluations: 1,
         pretrain: {epochs: 5, step_size: 1e-2}, retrain: {epochs: 20, step_size: 1e-2}, settings: {}}
      penalty:
        <<: *clean
        form: constrained
        solver: penalty
        epsilons: [0.5]
        targets: 2
        iterations: 3
        settings: {lower_steps: 2, upper_step_size: 0.1, lower_step_size: 1e-2}
"""


def copy(to: Path) -> Path:
    """The project's sources at `to`, with the small families' parameters, as a git repository."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, to / room, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in FILES:
        shutil.copy(ROOT / name, to / name)
    (to / "params.yaml").write_text("profile: embedded\n")  # whichever is in use
    (to / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", to / ".dvc" / "config")
    (to / "pipelines/synthetic/params.yaml").write_text(SYNTHETIC)
    (to / "pipelines/denoising/params.yaml").write_text(DENOISING)
    (to / "pipelines/poisoning/params.yaml").write_text(POISONING)
    (to / "pipelines/few_shot/params.yaml").write_text(FEW_SHOT)
    (to / "pipelines/clean_label/params.yaml").write_text(CLEAN_LABEL)
    done(to, "-m", "pipelines.stages")
    commit(to)
    return to


def commit(project: Path) -> None:
    """A git repository of all that is there."""
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        named = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *named, *command], cwd=project, check=True, capture_output=True)


def environment(project: Path, **more: str) -> dict[str, str]:
    """Nothing compiled, nothing tracked, the project's own modules."""
    return {
        **os.environ,
        "PYTHONPATH": str(project),
        "BILEVEL_COMPILE": "0",
        "BILEVEL_TRACKING": "0",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        **more,
    }


def call(project: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`python <arguments>` in the project."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environment(project, **more),
        capture_output=True,
        text=True,
        check=False,
    )


def done(project: Path, *arguments: str, **more: str) -> str:
    """The same, which must succeed; what it printed."""
    ended = call(project, *arguments, **more)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def begun(project: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """The same, left running; it hears Ctrl-C also where a shell has put these tests into the background."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=project,
        env=environment(project, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def halted(process: subprocess.Popen[str], project: Path) -> list[psutil.Process]:
    """The trainers below a `dvc repro`, stopped (SIGSTOP) once the first trial of the cell is done."""
    until(lambda: list(project.glob("checkpoints/*/0.pt")))
    below = psutil.Process(process.pid).children(recursive=True)
    trainers = [one for one in below if "python" in one.name() and "pipelines.train" in one.cmdline()]
    for one in trainers:
        one.suspend()
    assert trainers
    return trainers


def status(project: Path, *targets: str) -> dict[str, Any]:
    """`dvc status --json`."""
    found: dict[str, Any] = json.loads(done(project, "-m", "dvc", "status", "--json", *targets))
    return found


def until(condition: Callable[[], Any], seconds: float = 120.0) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def change(project: Path, file: str, old: str, new: str) -> None:
    """Replace the one place of a file where `old` stands."""
    path = project / file
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
    path.write_text(text.replace(old, new))
