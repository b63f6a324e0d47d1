"""How a drawn thing was made, up to the raw files: `python -m pipelines.trace reports/cpu/figures/figure-1.pdf`.

Prints the stage that made it and its command, the inputs it names in its own text or description (of a file that names
none, all inputs of its stage) with their hashes then and now, and for each of them the same again: the cells behind a
summary with commit, date and device of their training, the prepared data, the raw files and where they come from; last
the commands that make it anew, in order. What is said of hashes is DVC's (`dvc.lock`), of runs that of their run.json.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines import records
from pipelines.datasets.registry import DATA_SETS
from pipelines.errors import UserError, run

LOCKS = ("dvc.lock", "pipelines/datasets/dvc.lock", "pipelines/*/*/dvc.lock")
NAMED = re.compile(
    r"\b((?:[a-z_]+)/(?:summary|costs|timings|data|demonstrations|ledger|memory|search/[a-z0-9-]+)\.json) ([0-9a-f]{12})\b"
)
"""How a drawn thing names its inputs."""
CODE = ("core/", "pipelines/", "notebooks/")
SAME, OTHER, GONE = "as it is now", "it has CHANGED since", "it is not here now"


@dataclass(frozen=True)
class Stage:
    """A stage as DVC last ran it: its command, the hashes of what it read, and what it wrote."""

    name: str
    command: str
    deps: Mapping[str, str]
    params: Mapping[str, Any]
    outs: Mapping[str, str]


def stages(root: Path = Path()) -> dict[str, Stage]:
    """All stages of all lock files, by the name that DVC knows them by; raises UserError where there is none."""
    found: dict[str, Stage] = {}
    for pattern in LOCKS:
        for path in sorted(root.glob(pattern)):
            for name, one in (yaml.load(path.read_text(), LOADER) or {}).get("stages", {}).items():
                deps, outs = ({held["path"]: held.get("md5", "") for held in one.get(key, [])} for key in ("deps", "outs"))
                # two families may have a stage of one name
                home = path.with_name("dvc.yaml").relative_to(root).as_posix()
                full = name if home == "dvc.yaml" else f"{home}:{name}"
                found[full] = Stage(full, one["cmd"], deps, one.get("params", {}), outs)
    if not found:
        raise UserError("there is no dvc.lock: run this from the root of a whole clone")
    return found


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def maker(known: Mapping[str, Stage], path: str) -> Stage | None:
    """The stage that made a file, or the folder it lies in; None for what no stage makes."""
    for stage in known.values():
        if path in stage.outs or any(path.startswith(f"{out}/") for out in stage.outs):
            return stage
    return None


def upstream(known: Mapping[str, Stage], root: Stage, wanted: Mapping[str, str]) -> list[Stage]:
    """What had to run before a stage, in an order in which it can, itself last; of the inputs of the root only those
    that are wanted."""
    makers = {out: stage for stage in known.values() for out in stage.outs}
    order: dict[str, Stage] = {}

    def visit(stage: Stage, paths: Sequence[str]) -> None:
        for path in paths:
            one = makers.get(path)
            if one is not None and one.name not in order and one.name != root.name:
                visit(one, list(one.deps))
        order[stage.name] = stage

    visit(root, inputs_of(root, wanted))
    return list(order.values())


def inputs_of(stage: Stage, wanted: Mapping[str, str]) -> list[str]:
    """The files a stage read that are no code; where some of results are wanted, of results those alone."""
    read = [path for path in stage.deps if not is_code(path)]
    if not wanted:
        return read
    return [path for path in read if not path.startswith("results/") or any(path.endswith(f"/{name}") for name in wanted)]


def is_code(path: str) -> bool:
    """Whether a file is a program, and no data."""
    return path.startswith(CODE) and not path.endswith((".yaml", ".json"))


def named_in(path: Path) -> dict[str, str]:
    """The inputs that a drawn thing names, by short hash: in its text, or of an image in its description."""
    content = path.read_bytes()
    if path.suffix == ".pdf":
        content = b" ".join(re.findall(rb"/Subject \((.*?)\)\n", content, re.DOTALL)).replace(b"\\\n", b"")
    return dict(NAMED.findall(content.decode(errors="ignore")))


def now(path: str, md5: str) -> str:
    """Whether a file is still what a stage read."""
    try:
        with Path(path).open("rb") as stream:
            same = hashlib.file_digest(stream, "md5").hexdigest() == md5
    except (FileNotFoundError, IsADirectoryError):
        return GONE
    return SAME if same else OTHER


def traced(path: str) -> Iterator[str]:
    """The lines; raises UserError for a file that is not there, or that no stage makes."""
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{path} is no file here; name one below reports/ or results/")
    name = file.resolve().relative_to(Path.cwd()).as_posix()
    known = stages()
    root = maker(known, name)
    if root is None:
        raise UserError(f"no stage of the pipeline makes {name}")
    wanted = named_in(file) if name.startswith("reports/") else {}
    order = upstream(known, root, wanted)
    yield f"{name}  sha256 {records.sha256_of_file(file)}"
    cells: dict[str, None] = {}
    for stage in reversed(order):
        trained = [Path(out).parent.as_posix() for out in stage.outs if out.endswith(("train.json", "metrics.json"))]
        cells |= dict.fromkeys(trained)
        if stage is root or not trained:
            yield from _stage(stage, inputs_of(stage, wanted if stage is root else {}))
    if cells:
        yield "the cells behind it, each trained and evaluated by the commands below"
        yield from (f"    {_cell(Path(folder))}" for folder in sorted(cells))
    raw = sorted({path for stage in order for path in stage.outs if path.startswith("data/raw/")})
    if raw:
        yield "the raw files"
        yield from (f"    {_raw(known, path)}" for path in raw)
    yield "to make it anew, in this order"
    yield from (f"    {command}" for command in dict.fromkeys(stage.command for stage in order))


def _stage(stage: Stage, read: Sequence[str]) -> Iterator[str]:
    """A stage: its command, parameters, code, and what it read; the records of cells are listed on their own."""
    yield f"stage {stage.name}"
    yield f"    command     {stage.command}"
    for file, params in stage.params.items():
        yield f"    parameters  {records.sha256_of(params)[:12]}  {file}: {', '.join(params)}"
    code = {path: md5 for path, md5 in stage.deps.items() if is_code(path)}
    changed = [path for path, md5 in code.items() if now(path, md5) != SAME]
    said = f"; changed since: {', '.join(changed)}" if changed else ""
    if code:
        yield f"    code        {records.sha256_of(code)[:12]}  {len(code)} files{said}"
    for path in read:
        if not path.endswith(("/metrics.json", "/train.json", "/run.json")):
            yield f"    read        {stage.deps[path][:12]}  {path}, {now(path, stage.deps[path])}"


def _raw(known: Mapping[str, Stage], path: str) -> str:
    """A raw file with its hash and where it comes from."""
    stage = maker(known, path)
    assert stage is not None
    entry = DATA_SETS.get(path.split("/")[2])
    origin = f" from {', '.join(entry.addresses) or 'a mirror'}" if entry else ""
    return f"{stage.outs[path][:12]}  {path}{origin}"


def _cell(folder: Path) -> str:
    """A cell with where and when it was trained."""
    try:
        cost = records.read_json(folder / "run.json", "make repro")
        record = records.read_json(folder / "train.json", "make repro")
    except UserError as error:
        return f"{folder.as_posix()}: {error}"
    data = ", ".join(f"{name} {value[:12]}" for name, value in record["data"].items()) or "no data"
    hashed = records.sha256_of_file(folder / "train.json")[:12]
    return (
        f"{hashed}  {folder.as_posix()}: commit {cost['commit'][:12]}, {cost['date'][:16]}, {cost['device']},"
        f" {cost['cpu_seconds']:.0f} s of one core; settings {record['configuration_hash'][:12]}; {data}"
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's head."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.trace", description=__doc__)
    parser.add_argument("file", help="a figure, table or page below reports/, or a record below results/")
    given = parser.parse_args(arguments)
    for line in traced(given.file):
        print(line)


if __name__ == "__main__":
    run(main)
