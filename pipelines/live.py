"""What a training shows while it runs: a progress bar on a terminal, and its runs in MLflow.

Neither can change or break the training: a failure of MLflow is one warning, the runs can be imported later. A cell that
is done within `START_SECONDS` leaves its runs to the importer: to open MLflow takes as long as such a cell.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines import runs, tracking
from pipelines.observations import Observation
from pipelines.records import significant
from pipelines.settings import Cell

FLUSH_SECONDS = 2.0
START_SECONDS = 20.0
"""How long a cell trains before its runs are made; `BILEVEL_TRACKING=now` makes them with its first observation."""


class LiveRun:
    """A cell's run in MLflow from `START_SECONDS` on, with a child for each trial from its first observation.

    Args: device: what the cell runs on, as torch names it. No method raises: the first failure of MLflow is
        printed as a warning and ends the tracking of this cell.
    """

    def __init__(self, cell: Cell, device: Any) -> None:
        self.cell = cell
        self.experiment = tracking.experiment_of(cell.family, cell.parts[0])
        self.children: dict[int, runs.Child] = {}
        self.device = device
        self.run: str | None = None
        self.start = tracking.now()
        self.due = time.monotonic() + (0.0 if tracking.at_once() else START_SECONDS)
        self.on = tracking.enabled()

    def observed(self, trial: int, observation: Observation) -> None:
        """Keep an observation for the next batch; not all of them, where they would be too many."""
        if not self.on:
            return
        child = self.children.setdefault(trial, runs.Child())
        if _is_sent(child, len(observation.scalars)):
            child.sent.add(observation.iteration)
            # cut as in the record, so that a run looks the same live and imported
            cut = {name: significant(value) for name, value in observation.scalars.items()}
            at = tracking.now()
            step = observation.iteration
            child.waiting += [(name, value, step, at) for name, value in cut.items() if value is not None]
        child.seen += 1
        self.flush()

    def flush(self, wait: bool = True) -> None:
        """Log what waits, at most every two seconds, and for at most a tenth of the time; make the runs where it is time."""
        if not self.on or (wait and time.monotonic() < self.due):
            return
        started = time.monotonic()
        self._guarded(self._send)
        self.due = time.monotonic() + max(FLUSH_SECONDS, 10 * (time.monotonic() - started))

    def finished(self, path: Path) -> None:
        """End the runs, completed from the record at `path`; nothing, where none was made yet."""
        if self.run is None and time.monotonic() < self.due:
            self.on = False
            return
        self.flush(wait=False)
        self._guarded(lambda: self._complete(path))

    def failed(self, error: BaseException) -> None:
        """End the runs as FAILED, or as KILLED where the training was interrupted."""
        self.flush(wait=False)
        self._guarded(lambda: self._fail(error))

    def _begin(self) -> str:
        from pipelines import machine

        store = tracking.Store()
        configuration = {**self.cell.configuration, "configuration_hash": self.cell.configuration_hash}
        commit = machine.commit()
        self.tags = {**runs.tags_of(configuration), "commit": commit, "device": str(self.device)}
        store.trained_now(self.experiment, self.tags)
        self.store = store
        marks = {**self.tags, "level": "cell", "source": "live", "process": tracking.process()}
        run = store.begin(self.experiment, self.cell.name, marks, self.start)
        store.log(run, params=runs.params_of(configuration))
        return run

    def _send(self) -> None:
        if self.run is None:
            self.run = self._begin()
        for trial, child in self.children.items():
            if child.waiting:
                self._make(self.run, trial, child)
                self.store.log(child.run or "", child.waiting)
                child.waiting = []

    def _make(self, run: str, trial: int, child: runs.Child) -> None:
        if child.run is None:
            start = tracking.now()
            child.run = runs.begin_trial(self.store, run, self.experiment, trial, start, self.tags)

    def _complete(self, path: Path) -> None:
        runs.complete(self.store, self.run or "", runs.recorded(path.parent), self.children)
        self.on = False

    def _fail(self, error: BaseException) -> None:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        for run in [*(child.run for child in self.children.values()), self.run]:
            if run is not None:
                self.store.log(run, tags={"error": tracking.first_line(error)})
                self.store.end(run, status, tracking.now())

    def _guarded(self, action: Callable[[], None]) -> None:
        if not self.on:
            return
        try:
            action()
        except Exception as error:
            self.on = False
            print(
                f"warning: no MLflow run for {self.cell.name} from here on ({tracking.first_line(error)}); "
                "the training goes on, `python -m pipelines.track` imports it afterwards",
                file=sys.stderr,
            )


def _is_sent(child: runs.Child, columns: int) -> bool:
    """Whether the next observation is logged at once: the first ones, then every second, every fourth, ...

    How many will come is not known; the record fills the gaps in the end.
    """
    most = runs.POINTS // max(1, columns)
    dense = max(1, most // 4)
    return len(child.sent) < most - 1 and child.seen % 2 ** (child.seen // dense).bit_length() == 0


class Live:
    """Who is told of a training as it goes on."""

    def __init__(self, cell: Cell, device: Any) -> None:
        self.name = cell.name
        self.run = LiveRun(cell, device)
        self.bar: Any = None

    def progress(self, done: int, total: int) -> None:
        """`done` of `total` upper iterations, of all trials together, are made."""
        self.run.flush()
        if not sys.stderr.isatty():
            return
        if self.bar is None:
            from tqdm import tqdm

            tqdm.monitor_interval = 0  # no thread of its own
            # what a checkpoint had done does not count for the estimate
            self.bar = tqdm(total=total, initial=done, desc=self.name, leave=False, file=sys.stderr)
        self.bar.update(done - self.bar.n)

    def observed(self, trial: int, observation: Observation) -> None:
        """A trial was observed."""
        self.run.observed(trial, observation)

    def finished(self, path: Path) -> None:
        """The cell's train.json, and run.json beside it, are written."""
        self.close()
        self.run.finished(path)

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()


@contextmanager
def live(cell: Cell, device: Any) -> Iterator[Live]:
    """Show a training while it runs; an exception ends its runs as FAILED or KILLED, and passes."""
    report = Live(cell, device)
    try:
        yield report
    except BaseException as error:
        report.close()
        report.run.failed(error)
        raise
    report.close()
    report.run.failed(RuntimeError("ended without a record"))  # nothing, where it was finished
