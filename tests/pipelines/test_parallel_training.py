"""Training a cell with two workers under torchrun, which starts them again: the record of one process but for rounding."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_project import ROOT, environment

from core.networks import registry
from pipelines import families, train
from pipelines.denoising import parallel
from pipelines.errors import UserError
from pipelines.records import unpack

CELL = ("embedded", "digits-25", "penalty")
RECORD = Path("results/embedded/denoising/digits-25-penalty/train.json")
PARAMS = """
common: {threads: 1, first_steps: 2}
embedded:
  data: [digits-25]
  methods: [penalty]
  prepared:
    digits-25: {source: digits, noise: 0.25, train_size: 40, seeds: [0]}
  cells:
    digits-25:
      penalty:
        {solver: penalty, preset: released, use: train, network: normed, batch: 20, epochs: 1, evaluations: 1,
         pretrain: {epochs: 1, step_size: 1e-3}, importances: {agree: 0.6, disagree: 0.4}, renormalise: true,
         moments: position, settings: {lower_steps: 1, upper_step_size: 1.0, lower_step_size: 1e-3}}
"""
NETWORK = """
import torch
from torch import nn
from core.networks import classifiers, registry
from core.networks.wide_resnet import BatchNorm

def normed():
    layers = nn.Conv2d(1, 4, 3, bias=False), BatchNorm(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    with torch.device("meta"):
        return classifiers.Network(nn.Sequential(*layers), (1, 8, 8))

classifiers.normed, registry.MODULES["normed"] = normed, "classifiers"
"""
# the command, with a network that has batch norm; all progress is kept, and worker 0 dies before its last iteration
SCRIPT = """
import os
import with_normed
from pipelines import train
from pipelines.denoising import parallel
from pipelines.errors import run

train.CHECKPOINT_SECONDS = 0.0
advance = parallel.Leading.advance

def dying(self, state, group, first, last):
    if first == 1:
        print("died", flush=True)
        os._exit(9)
    return advance(self, state, group, first, last)

if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    parallel.Leading.advance = dying
run(parallel.main)
"""
LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one cell and its data, to run the commands in."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "pipelines/denoising").mkdir(parents=True)
    (folder / "pipelines/denoising/params.yaml").write_text(PARAMS)
    (folder / "with_normed.py").write_text(NETWORK)
    (folder / "train_normed.py").write_text(SCRIPT)
    python(folder, "-m", "pipelines.corrupt", "denoising", "embedded", "digits-25")
    return folder


def python(folder: Path, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    # what torchrun needs for a second start (pytorch issue 135712)
    named = environment(ROOT, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")
    ended = subprocess.run(command, cwd=folder, env=named, capture_output=True, text=True, check=False, timeout=200)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def in_one_process() -> Any:
    """The cell's record, as JSON has it."""
    exec(compile(NETWORK, "with_normed", "exec"), {})
    try:
        record = train.train(families.cell("denoising", CELL[0], CELL[1:]), torch.device("cpu"), steps=sys.maxsize)
    finally:
        torch.set_deterministic_debug_mode("default")
        del registry.MODULES["normed"]
    return json.loads(json.dumps(record))


def test_the_record_is_that_of_one_process_but_for_rounding(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "died" in python(project, *LAUNCHER, "train_normed.py", *CELL)
    assert not list(project.glob("checkpoints/*/*.pt"))
    monkeypatch.chdir(project)
    one, two = in_one_process(), json.loads(RECORD.read_text())
    assert two["data"].pop("workers") == "2"
    trials: list[tuple[Any, Any]] = list(zip(one.pop("trials"), two.pop("trials"), strict=True))
    assert one == two
    for alone, shared in trials:
        assert alone["oracle_calls"] == shared["oracle_calls"]
        near = {"iteration": 0.0, "mean importance": 1e-3}  # of accuracies, in percent, an image or two may change
        assert alone["curve"].keys() == shared["curve"].keys()
        for name, values in alone["curve"].items():
            assert shared["curve"][name] == pytest.approx(values, abs=near.get(name, 3.0))
        last = [unpack(trial["importances"])[-1].astype(int) for trial in (alone, shared)]
        assert np.abs(last[0] - last[1]).max() <= 2  # of 255


def test_workers_that_do_not_divide_a_minibatch(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(parallel, "workers", lambda: 3)
    with pytest.raises(UserError, match=r"3 workers do not divide a minibatch of 20 .*cells\.digits-25\.penalty\.batch"):
        parallel.Shared(families.cell("denoising", CELL[0], CELL[1:]), torch.device("cpu"))


def test_started_without_torchrun() -> None:
    with pytest.raises(UserError, match="start this with `torchrun --nproc-per-node <workers> -m pipelines"):
        parallel.main(list(CELL))
