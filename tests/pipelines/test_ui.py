"""Showing the runs: it answers on this machine alone, ends with all it started, and refuses a used port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines import records, tracking, ui
from pipelines.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ui.HOST, 0))
        return int(probe.getsockname()[1])


def asked(port: int, path: str, body: dict[str, Any] | None = None) -> bytes:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://{ui.HOST}:{port}{path}", content, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return bytes(answer.read())


def test_it_imports_answers_and_ends(tmp_path: Path) -> None:
    train = {
        "family": "denoising", "profile": "embedded", "cell": ["digits-25", "penalty"], "settings": {"a": 1},
        "common": {}, "configuration_hash": "12" * 32, "data": {},
        "trials": [{"seed": 0, "status": "finished", "curve": {"iteration": [0, 1], "accuracy": [50, 90]}}],
    }  # fmt: skip
    records.write_json(tmp_path / "results/embedded/denoising/digits-25-penalty/train.json", train)
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.ui", "--port", str(port)],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "MLflow: 1 runs made, 0 updated, 0 up to date\n"
        process.stdout.readline()
        assert f"http://127.0.0.1:{port} " in process.stdout.readline()
        started = psutil.Process(process.pid).children(recursive=True)
        assert b"<html" in asked(port, "/")
        found = json.loads(asked(port, "/api/2.0/mlflow/experiments/search", {"max_results": 10}))
        wanted = tracking.EXPERIMENTS["denoising"]
        ids = [one["experiment_id"] for one in found["experiments"] if one["name"] == wanted]
        runs = json.loads(asked(port, "/api/2.0/mlflow/runs/search", {"experiment_ids": ids}))["runs"]
        assert sorted(run["info"]["run_name"] for run in runs) == ["digits-25-penalty", "trial 0"]
        sockets = [one for child in started for one in child.net_connections()]
        assert {one.laddr.ip for one in sockets if one.status == "LISTEN"} == {"127.0.0.1"}
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert started and not psutil.wait_procs(started, timeout=5)[1]
        ui.check_port(port)
    finally:
        process.terminate()
        process.wait(120)


def test_a_used_port_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with socket.socket() as holder:
        holder.bind((ui.HOST, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is in use.*--port"):
            ui.main(["--port", str(port)])
    for wrong in ("0", "70000"):
        with pytest.raises(UserError, match="no port"):
            ui.main(["--port", wrong])
    assert not list(tmp_path.iterdir())


def test_a_server_that_keeps_the_runs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://runs.example:5000")
    with pytest.raises(UserError, match=r"open http://runs.example:5000"):
        ui.main([])
