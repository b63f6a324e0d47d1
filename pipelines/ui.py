"""Import what is recorded and show it: `python -m pipelines.ui [--port 5000]`; Ctrl-C ends it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from pipelines import track, tracking
from pipelines.errors import UserError, run

HOST = "127.0.0.1"
START_SECONDS = 120.0


def check_port(port: int) -> None:
    """Raise UserError where nothing can listen on this port of this machine."""
    if not 0 < port < 65536:
        raise UserError(f"there is no port {port}: take one from 1024 to 65535")
    try:
        with socket.socket() as probe:
            # as the server does: a port its last owner left a moment ago is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except PermissionError as error:
        raise UserError(f"port {port} needs rights you do not have: take one from 1024 to 65535") from error
    except OSError as error:
        mend = f"end what uses it, or take another: python -m pipelines.ui --port {port % 65535 + 1}"
        raise UserError(f"port {port} is in use: {mend}") from error


@contextlib.contextmanager
def server(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server, answering on this port of this machine alone, ended on leaving.

    One worker and no job execution: that starts in a third of the time and a quarter of the memory.
    Raises: UserError where it ends at once, or does not answer within two minutes.
    """
    path = tracking.database()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking.uri()]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    if path is not None:
        command += ["--default-artifact-root", (path.parent / tracking.ARTIFACTS).as_uri()]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}
    light = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # a session of its own: Ctrl-C reaches this process alone, which then ends the server and its workers
    process = subprocess.Popen(
        command, env={**os.environ, **quiet, **light}, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait(process, port)
        yield process
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when the server answers."""
    last = time.monotonic() + START_SECONDS
    while time.monotonic() < last:
        if process.poll() is not None:
            raise UserError(f"MLflow's server ended at once, status {process.returncode}: see above")
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5):
                return
        except OSError:  # not yet listening
            pass
        time.sleep(0.2)
    raise UserError(f"MLflow's server did not answer within {START_SECONDS:.0f} seconds")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server with all its processes."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            if number == signal.SIGTERM and not _left(process.pid):
                return


def _left(group: int) -> bool:
    """Whether a process of the group is still there, after a moment for it to go."""
    for _ in range(20):
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return False
        time.sleep(0.1)
    return True


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.ui", description=__doc__)
    parser.add_argument("--port", type=int, default=5000, help="where it listens on this machine (5000)")
    port = parser.parse_args(arguments).port
    if tracking.uri().startswith("http"):
        raise UserError(f"MLFLOW_TRACKING_URI names a server: open {tracking.uri()} in a browser")
    check_port(port)
    # a closed terminal or a kill must not leave the server behind
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        print(track.import_records().line, flush=True)
        if (path := tracking.database()) is not None and not path.exists():
            with tracking.explained():
                tracking.Store()
        print("starting MLflow's server ...", flush=True)
        with server(port) as process:
            print(f"http://{HOST}:{port} shows the runs; Ctrl-C ends it", flush=True)
            process.wait()
            raise UserError(f"MLflow's server ended by itself, with status {process.returncode}")
    except KeyboardInterrupt:
        print("\nended")


if __name__ == "__main__":
    run(main)
