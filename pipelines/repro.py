"""Build all results of a profile: `python -m pipelines.repro [--profile NAME] [--workers 2]`; this is `make repro`.

Writes the profile into params.yaml (`--status`, which only lists, does not), finds the stages that are stale, runs the
independent ones (preparation, training, evaluation) side by side, and the rest by `dvc repro`. Data that is not there does
not matter while no stage that reads it is stale. Afterwards MLflow is brought up to date and the report's place is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from tqdm import tqdm

from pipelines.errors import UserError, run
from pipelines.settings import PROFILES, hint

PARAMS = Path("params.yaml")
LONG = ("train", "ledger", "memory", "demonstrations")
"""Kinds of stages that train; a kind is the first word of a stage's name. What is timed is not among them."""
TARGETS = "targets"
"""The kind that evaluates cells on which others wait."""
AFTER = "retrain"
"""The kind that trains with what other cells have learnt, side by side when those are done."""
SIDE_BY_SIDE = ("corrupt", *LONG, TARGETS, AFTER, "evaluate")
"""Kinds that run side by side, in this order."""
SHARE = 6
"""Most stages that one `dvc repro` is given."""
MISSING = ("deleted", "not in cache")
"""DVC's words for a file that is not there."""
DVC = [sys.executable, "-m", "dvc"]


def profile_in_use() -> str:
    """The profile that params.yaml names; raises UserError where it names none that there is."""
    found = re.search(r"^profile:[ \t]*(\S+)", PARAMS.read_text(), flags=re.MULTILINE) if PARAMS.exists() else None
    if found is None:
        raise UserError("params.yaml has no line `profile: <name>`: run this from the root of a whole clone")
    return checked(found.group(1))


def checked(profile: str) -> str:
    """A profile's name; raises UserError for an unknown one."""
    if profile not in PROFILES:
        raise UserError(f"no profile {profile!r}{hint(profile, PROFILES)}; there are: {', '.join(PROFILES)}")
    return profile


def use_profile(profile: str) -> None:
    """Write the profile into params.yaml, and say so, where it is another."""
    if profile_in_use() == checked(profile):
        return
    text = re.sub(r"^profile:.*$", f"profile: {profile}", PARAMS.read_text(), count=1, flags=re.MULTILINE)
    PARAMS.write_text(text)
    print(f"params.yaml now says profile: {profile}")


def status(profile: str) -> dict[str, list[Any]]:
    """DVC's word on every stage of a profile, or drawn or fetched for it, that is not up to date: {stage: changes}.

    Whatever profile params.yaml names: nothing is written.
    """
    homes = ["dvc.yaml", "pipelines/datasets/dvc.yaml", *sorted(map(str, Path("pipelines").glob(f"*/{profile}/dvc.yaml")))]
    command = [sys.executable, "-m", "pipelines.once", profile, "--wait-for-lock", "status", "--json", *homes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"dvc status failed: {done.stderr.strip()}")
    found: dict[str, list[Any]] = json.loads(done.stdout or "{}")
    return found


def to_make(found: Mapping[str, list[Any]], profile: str) -> list[str]:
    """The stages of a profile, or drawn for it, of which more has changed than that data is not here.

    Fetching is not among them: a data set is fetched where a stage that reads it is to be made (`needed_data`).
    """
    return [
        stage
        for stage, changes in found.items()
        if kind_and_profile(stage)[1] in (profile, "")
        and kind_and_profile(stage)[0] != "fetch"
        and any(map(really_changed, changes))
    ]


def stale(found: Mapping[str, list[Any]], profile: str) -> dict[str, list[str]]:
    """The stale stages of a profile by kind, for the kinds that train and evaluate.

    A stage whose only changes are files of data/ that are not there is not stale: nothing it depends on has changed.
    """
    by_kind: dict[str, list[str]] = {kind: [] for kind in SIDE_BY_SIDE}
    for stage in to_make(found, profile):
        kind, _ = kind_and_profile(stage)
        if kind in by_kind:
            by_kind[kind].append(stage)
    return by_kind


def kind_and_profile(stage: str) -> tuple[str, str]:
    """("train", "cpu") of pipelines/denoising/cpu/dvc.yaml:train_cpu_penalty@mnist-25, ("tables", "cpu") of tables@cpu; the
    profile is "" for fetch."""
    name, _, item = stage.rpartition(":")[2].partition("@")
    kind, *rest = name.split("_")
    return kind, next((word for word in (*rest[:1], item) if word in PROFILES), "")


def really_changed(change: Any) -> bool:
    """Whether DVC's word on a stage says more than that a data file is not on this machine."""
    if not isinstance(change, Mapping):
        return True  # "changed command", "always changed"
    for files in change.values():
        for path, how in files.items() if isinstance(files, Mapping) else ():
            if not is_missing_data(str(path), str(how)):
                return True
    return False


def is_missing_data(path: str, how: str) -> bool:
    """Whether DVC's word on a path says no more than that a data file is not on this machine."""
    return path.startswith("data/") and how in MISSING


def side_by_side(stages: Iterable[str], workers: int, what: str) -> None:
    """Run stages that do not depend on each other, so many at a time; all are tried before a failure is raised.

    DVC needs seconds to start, so a worker gives it a few stages at once.
    """
    stages, workers = list(stages), max(1, workers)
    if not stages:
        return
    size = max(1, min(SHARE, len(stages) // (2 * workers)))
    waiting: Queue[list[str]] = Queue()
    for first in range(0, len(stages), size):
        waiting.put(stages[first : first + size])
    failed: list[str] = []
    bar = tqdm(total=len(stages), desc=what, disable=None)

    def ended(stage: str, failure: str | None) -> None:
        if failure is not None:
            failed.append(f"{stage}\n{failure}")
        bar.update()
        if not sys.stderr.isatty():
            print(f"{what}: {stage.rpartition(':')[2]} {'done' if failure is None else 'failed'}", flush=True)

    def work() -> None:
        while True:
            try:
                some = waiting.get_nowait()
            except Empty:
                return
            _reproduced(some, ended)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        with contextlib.suppress(Empty):
            while True:
                waiting.get_nowait()  # nothing further is started; what runs has had its Ctrl-C too
        raise
    finally:
        bar.close()
    if failed:
        raise UserError(f"{len(failed)} of {what} failed, what is done is kept:\n" + "\n".join(failed))


def _reproduced(stages: list[str], ended: Callable[[str, str | None], None]) -> None:
    """`dvc repro` of some stages, one after another; `ended` is called for each, with the end of what a failed one said."""
    command = [*DVC, "--wait-for-lock", "repro", "--single-item", "--keep-going", *stages]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said: dict[str, list[str]] = {"": []}
    current, told = "", set()
    for line in process.stdout or ():
        begun = re.match(r"Running stage '(.+)':", line)
        if begun:
            current = begun.group(1)
            said[current] = []
        said[current].append(line)
        # a stage that DVC is through with: its lock entry is written
        if line.startswith("Updating lock file") and current in stages and current not in told:
            told.add(current)
            ended(current, None)
    failed = process.wait() != 0
    bad = set(re.findall(r"failed to reproduce '(.+?)'", "".join(line for lines in said.values() for line in lines)))
    for stage in stages:
        if stage not in told:
            # where DVC itself failed, it names no stage
            wrong = failed and (stage in bad or not bad)
            ended(stage, _tail("".join(said.get(stage, said[current]))) if wrong else None)


def _tail(text: str, lines: int = 6) -> str:
    kept = [line for line in text.splitlines() if line.strip() and not line.startswith("Running stage")]
    return "\n".join(f"    {line}" for line in kept[-lines:])


def build(profile: str, workers: int) -> None:
    """Bring every result of a profile up to date."""
    # one core each, so that results do not depend on how many cells run at once
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    found = status(profile)
    if not pending(found, profile):
        return
    found = prepare_data(found, profile, workers)
    work = stale(found, profile)
    side_by_side([stage for kind in LONG for stage in sorted(work[kind])], workers, "train")
    for kind in (TARGETS, AFTER, "evaluate"):
        side_by_side(sorted(work[kind]), workers, kind)
    gone = lost(found, profile)
    if gone:
        _by_dvc("--single-item", *gone)
    _by_dvc("--allow-missing")


def _by_dvc(*arguments: str) -> None:
    if subprocess.run([*DVC, "repro", *arguments], check=False).returncode != 0:
        raise UserError("dvc repro failed, see above; what is done is kept, run it again")


def lost(found: Mapping[str, list[Any]], profile: str) -> list[str]:
    """The stages whose results or reports are not there, each after those that make what it misses; without those that run
    side by side.

    `--allow-missing`, which lets data be absent, takes any file in git's care for present: these are named one by one.
    """
    gone = [
        stage
        for stage in to_make(found, profile)
        if kind_and_profile(stage)[0] not in SIDE_BY_SIDE
        and any(not path.startswith("data/") for path in missing(found[stage], "changed outs"))
    ]
    makers = makers_of_missing(found)
    order = TopologicalSorter({stage: makers[stage] for stage in gone})
    return [stage for stage in order.static_order() if stage in gone]


def pending(found: Mapping[str, list[Any]], profile: str) -> bool:
    """Whether anything of a profile, or drawn for it, is to be made."""
    return bool(to_make(found, profile))


def prepare_data(found: dict[str, list[Any]], profile: str, workers: int) -> dict[str, list[Any]]:
    """Fetch and prepare what stale stages read; what is stale then."""
    for kind in ("fetch", "corrupt"):
        needed = needed_data(found, profile, kind)
        if needed:
            side_by_side(sorted(needed), 1 if kind == "fetch" else workers, kind)
            found = status(profile)
    return found


def needed_data(found: Mapping[str, list[Any]], profile: str, kind: str) -> list[str]:
    """The stages of a kind that make what a stage to be made reads, at once or through others, and what is not there."""
    makers = makers_of_missing(found)
    needed = set(to_make(found, profile))
    todo = list(needed)
    while todo:
        new = makers[todo.pop()] - needed
        needed |= new
        todo += new
    return [stage for stage in found if stage in needed and kind_and_profile(stage)[0] == kind]


def makers_of_missing(found: Mapping[str, list[Any]]) -> dict[str, set[str]]:
    """{stage: the stages that make what it reads and what is not there}.

    Who makes what is DVC's word: a path that one stage misses among its deps is missing among the outs of its maker.
    """
    maker = {path: stage for stage, changes in found.items() for path in missing(changes, "changed outs")}
    return {
        stage: {maker[path] for path in missing(changes, "changed deps") if path in maker}
        for stage, changes in found.items()
    }


def missing(changes: Iterable[Any], among: str) -> set[str]:
    """The files not there that DVC's word on a stage names among its "changed deps" or "changed outs"."""
    named = [change.get(among, {}) for change in changes if isinstance(change, Mapping)]
    return {str(path) for files in named for path, how in files.items() if how in MISSING}


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.repro", description=__doc__)
    parser.add_argument("--profile", default="")
    parser.add_argument("--workers", type=int, default=2, help="cells at a time")
    parser.add_argument("--status", action="store_true", help="only list what `make repro` would make")
    given = parser.parse_args(arguments)
    if given.status:
        # params.yaml stays as it is: a list for another profile is not a switch to it
        profile = checked(given.profile) if given.profile else profile_in_use()
        found = status(profile)
        listed = [*needed_data(found, profile, "fetch"), *to_make(found, profile)]
        print("\n".join(listed) or f"profile {profile} is up to date")
        return
    if given.profile:
        use_profile(given.profile)
    profile = profile_in_use()
    build(profile, given.workers)
    subprocess.run([sys.executable, "-m", "pipelines.track", "--profile", profile], check=False)
    print(f"profile {profile} is up to date; the report: {Path('reports').resolve() / profile / 'index.html'}")


if __name__ == "__main__":
    run(main)
