"""MLflow's database: opening it, making runs, logging, finding runs again. The only importer of mlflow.

MLflow is a view of the records, to watch runs as they train and to compare them: an experiment is a table or
figure of the paper, a run a cell, a child run a trial. All of it can be made anew from results/ by
`python -m pipelines.track`. Times are milliseconds since 1970, as MLflow counts them.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipelines.errors import UserError
from pipelines.records import canonical

DATABASE = Path("mlflow.db")
ARTIFACTS = "mlartifacts"  # beside the database
EXPERIMENTS = {
    "synthetic": "figures 1-2: synthetic examples",
    "ablation": "figure 7: lambda and nu",
    "time": "table 2: wall clock",
    "denoising": "table 3: data denoising",
    "poisoning": "table 5: data poisoning",
    "clean_label": "figure 3: clean-label attack",
    "few_shot": "table 4: few-shot learning",
}

Point = tuple[str, float, int, int]
"""Name, value, step, time."""


def enabled() -> bool:
    """Whether tracking is on; `BILEVEL_TRACKING=0` turns it off."""
    return os.environ.get("BILEVEL_TRACKING", "1").lower() not in ("0", "false", "no", "off")


def at_once() -> bool:
    """Whether a training is followed from its first observation, however short it may be: `BILEVEL_TRACKING=now`."""
    return os.environ.get("BILEVEL_TRACKING", "1").lower() == "now"


def uri() -> str:
    """Where runs are kept: `MLFLOW_TRACKING_URI`, else mlflow.db in the project's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DATABASE.resolve()}"


def database() -> Path | None:
    """The database's file; None where runs are kept elsewhere, by a server."""
    place = uri()
    return Path(place.removeprefix("sqlite:///")).resolve() if place.startswith("sqlite:///") else None


def experiment_of(family: str, first_part: str) -> str:
    """The name of the experiment a cell belongs to."""
    key = "ablation" if family == "synthetic" and first_part.startswith("ablation") else family
    return EXPERIMENTS.get(key, key)


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


@contextmanager
def explained() -> Iterator[None]:
    """Turn a failure of MLflow or of its database into one UserError; any other passes."""
    try:
        yield
    except Exception as error:
        room = type(error).__module__.partition(".")[0]
        if not isinstance(error, sqlite3.Error | Timeout) and room not in ("mlflow", "sqlalchemy", "alembic"):
            raise
        mend = "end the process that locks it" if "lock" in str(error) else "delete it and run this again"
        if database() is None:
            mend = "check MLFLOW_TRACKING_URI"
        cause = f"MLflow cannot use {uri()} ({first_line(error)})"
        raise UserError(f"{cause}; {mend}: results/ keeps everything") from error


def first_line(error: BaseException) -> str:
    """An error in at most 200 characters."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


class Store:
    """MLflow's database, opened, and made first where there is none; many processes may do so at once.

    All methods raise what sqlite3, SQLAlchemy or MLflow raise; see `explained`.
    """

    def __init__(self) -> None:
        # all read when mlflow is imported
        os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
        # a server that is away must not hold a training up for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        # MLflow prints a traceback of every failure, which is raised as well
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        path = database()
        self.artifacts = path.parent / ARTIFACTS if path else None
        self.lock: Any = nullcontext()
        if path is not None and self.artifacts is not None:
            self.artifacts.mkdir(parents=True, exist_ok=True)
            self.lock = FileLock(self.artifacts / "database.lock", timeout=120)
            with self.lock:
                _check(path) if path.exists() else _create(path, self.artifacts)
        from mlflow.tracking import MlflowClient

        with self.lock:  # the first opening after an upgrade of MLflow changes the tables
            self.client: Any = MlflowClient(tracking_uri=uri())
            self.client.search_experiments(max_results=1)
        self._experiments: dict[str, str] = {}

    def experiment(self, name: str) -> str:
        """An experiment's id; it is made where there is none, and restored where it was deleted."""
        if name not in self._experiments:
            with self.lock:
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    place = (self.artifacts / re.sub(r"\W+", "-", name)).as_uri() if self.artifacts else None
                    self._experiments[name] = self.client.create_experiment(name, artifact_location=place)
                else:
                    if found.lifecycle_stage == "deleted":
                        self.client.restore_experiment(found.experiment_id)
                    self._experiments[name] = found.experiment_id
        return self._experiments[name]

    def begin(self, experiment: str, name: str, tags: Mapping[str, str], start: int) -> str:
        """Make a run and return its id; tag `mlflow.parentRunId` makes it a child."""
        run = self.client.create_run(self.experiment(experiment), start, dict(tags), run_name=name)
        return str(run.info.run_id)

    def log(
        self,
        run: str,
        points: Sequence[Point] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log any number of points, parameters and tags, in as few calls as MLflow allows."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(_name(name), value, at, step) for name, value, step, at in points]
        texts = [Param(_name(name), _text(value)) for name, value in (params or {}).items()]
        marks = [RunTag(_name(name), value) for name, value in (tags or {}).items()]
        for first in range(0, max(len(metrics), 8 * len(texts), 8 * len(marks)), 800):
            part = slice(first // 8, first // 8 + 100)
            self.client.log_batch(run, metrics[first : first + 800], texts[part], marks[part])

    def end(self, run: str, status: str, end: int) -> None:
        """End a run as FINISHED, FAILED or KILLED."""
        self.client.set_terminated(run, status, end)

    def search(self, experiment: str, **tags: str) -> list[Any]:
        """The runs of an experiment with these tags, newest first; `__` in a tag's name stands for a dot."""
        text = " and ".join(f"tags.`{name.replace('__', '.')}` = '{value}'" for name, value in tags.items())
        runs: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs([self.experiment(experiment)], text, page_token=token)
            runs, token = runs + list(page), page.token
            if not token:
                return runs

    def trained_now(self, experiment: str, tags: Mapping[str, str]) -> bool:
        """Whether a living process trains the cell of these tags; runs of dead ones are ended as KILLED."""
        living = False
        same = {name: tags[name] for name in ("cell", "profile", "configuration_hash")}
        for run in self.search(experiment, level="cell", **same):
            if run.info.status != "RUNNING" or "record" in run.data.tags:
                continue
            if _alive(run.data.tags.get("process", "")):
                living = True
                continue
            for left in [*self.search(experiment, mlflow__parentRunId=run.info.run_id), run]:
                if left.info.status == "RUNNING":
                    self.end(left.info.run_id, "KILLED", now())
        return living


def _check(path: Path) -> None:
    """Raise sqlite3.Error at once for a file that is locked or no database: MLflow would try for minutes."""
    connection = sqlite3.connect(path, timeout=10)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    finally:
        connection.close()
    _commit_without_waiting()


def _create(path: Path, folder: Path) -> None:
    """Make the database beside its place and move it there whole: a killed process leaves no half of one."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    _commit_without_waiting()
    fresh = folder / "fresh.db"
    for left in folder.glob("fresh.db*"):
        left.unlink()
    make: Any = SqlAlchemyStore
    store = make(f"sqlite:///{fresh}", folder.as_uri())
    store.engine.dispose()
    os.replace(fresh, path)


def _commit_without_waiting() -> None:
    """Let sqlite commit without waiting for the disk: four times as fast, and a power cut loses no record."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _set_up):
        event.listen(Engine, "connect", _set_up)


def _set_up(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF").close()


def _name(text: str) -> str:
    """A name MLflow accepts."""
    return re.sub(r"/+", "/", re.sub(r"[^\w\-. :/]", "_", text)).strip("/")[:250] or "_"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def process() -> str:
    """This process, so that nobody takes another one of the same number for it."""
    import psutil

    return f"{os.uname().nodename} {os.getpid()} {psutil.Process().create_time():.0f}"


def _alive(named: str) -> bool:
    """Whether a process named by `process` still runs on this machine."""
    import psutil

    try:
        host, number, created = named.split(" ")
        found = psutil.Process(int(number))
        same = host == os.uname().nodename and f"{found.create_time():.0f}" == created
        return same and found.status() != psutil.STATUS_ZOMBIE
    except (ValueError, psutil.Error):
        return False
