"""The stages under DVC: what goes stale, what an edit of code does, and what a killed `dvc repro` leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import small_project
from small_project import ROOT, begun, change, done, halted, status, until

from pipelines import sources
from pipelines.scorecard import card

FAMILIES = ("pipelines/synthetic/embedded/dvc.yaml", "pipelines/denoising/embedded/dvc.yaml")
PRODUCTS = "core/products.py"
TRAINED = {
    "pipelines/synthetic/embedded/dvc.yaml:train_embedded_gd@ex1-released",
    "pipelines/synthetic/embedded/dvc.yaml:train_embedded_gd@ex3-released",
    "pipelines/synthetic/embedded/dvc.yaml:train_embedded_penalty@ex1-released",
    "pipelines/synthetic/embedded/dvc.yaml:train_embedded_penalty@ex3-released",
    "pipelines/synthetic/embedded/dvc.yaml:train_embedded_ablation@lambda0-released",
    "pipelines/denoising/embedded/dvc.yaml:train_embedded_oracle@digits-25",
    "pipelines/denoising/embedded/dvc.yaml:train_embedded_penalty@digits-25",
}
PENALTY = "pipelines/denoising/embedded/dvc.yaml:train_embedded_penalty@digits-25"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project whose families are built."""
    project = small_project.copy(tmp_path_factory.mktemp("dvc") / "project")
    done(project, "-m", "dvc", "repro", *FAMILIES)
    return project


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    copy = tmp_path / "project"
    shutil.copytree(built, copy, symlinks=True)
    return copy


def records(project: Path) -> dict[str, bytes]:
    kept = ("train.json", "metrics.json", "summary.json")
    return {str(path.relative_to(project)): path.read_bytes() for path in project.glob("results/**/*.json")
            if path.name in kept}  # fmt: skip


def dates(project: Path) -> dict[str, str]:
    """When each cell was trained; a cell that is trained again has a new date or other seconds."""
    return {str(path.parent.name): path.read_text() for path in project.glob("results/**/run.json")}


def test_a_second_repro_trains_nothing(project: Path) -> None:
    before = dates(project), records(project)
    assert len(before[0]) == len(TRAINED)
    assert status(project, *FAMILIES) == {}
    said = done(project, "-m", "dvc", "repro", *FAMILIES)
    assert "Running stage" not in said
    assert (dates(project), records(project)) == before


def test_one_cell_retrains_for_one_setting(project: Path) -> None:
    before = dates(project)
    change(project, "pipelines/synthetic/params.yaml", "ex3:\n      gd: {solver: gd, settings: {upper_step_size: 1e-3",
           "ex3:\n      gd: {solver: gd, settings: {upper_step_size: 2e-3")  # fmt: skip
    assert set(status(project, *FAMILIES)) == {"pipelines/synthetic/embedded/dvc.yaml:train_embedded_gd@ex3-released"}
    said = done(project, "-m", "dvc", "repro", *FAMILIES)
    ran = [line.split("'")[1].rpartition(":")[2] for line in said.splitlines() if line.startswith("Running stage")]
    # costs are gathered from the training alone: DVC may do that before or after the evaluation
    assert [stage for stage in ran if stage != "costs_embedded"] == [
        "train_embedded_gd@ex3-released",
        "evaluate_embedded",
        "summary_embedded",
    ]
    assert ran.count("costs_embedded") == 1
    assert ran[0] != "costs_embedded"
    after = dates(project)
    assert {name for name in before if before[name] != after[name]} == {"ex3-gd-released"}


def test_a_cell_evaluated_alone_has_the_same_bytes(project: Path) -> None:
    before = records(project)
    named = {path.parent for path in map(Path, before) if path.name == "metrics.json"}
    assert len(named) == len(TRAINED)
    for cell in sorted(named):
        family, parts = cell.parts[2], json.loads(before[f"{cell}/train.json"])["cell"]
        (project / cell / "metrics.json").unlink()
        done(project, "-m", "pipelines.evaluate", family, "embedded", *parts)
    assert records(project) == before


def test_evaluation_in_one_process_names_what_is_missing(project: Path) -> None:
    (project / "results/embedded/denoising/digits-25-penalty/train.json").unlink()
    ended = small_project.call(project, "-m", "pipelines.evaluations", "denoising", "embedded")
    assert ended.returncode == 2
    assert "is missing: `python -m pipelines.train denoising embedded digits-25 penalty` makes it" in ended.stderr


@pytest.mark.slow
def test_a_comment_is_accepted_and_a_constant_is_not(project: Path) -> None:
    before = dates(project), records(project)
    with (project / PRODUCTS).open("a") as file:
        file.write("# a comment\n")
    found = status(project, *FAMILIES)
    timing = "pipelines/synthetic/embedded/dvc.yaml:time_embedded"
    assert set(found) == TRAINED | {timing}
    said = done(project, "-m", "pipelines.accept")
    assert f"{len(TRAINED)} cells settled, 0 to be trained" in said
    assert status(project, *FAMILIES) == {}
    assert (dates(project), records(project)) == before

    # a tenth more penalty changes the numbers of the penalty cells alone
    change(project, PRODUCTS, "w = add_scaled(nu, gamma, residual)", "w = add_scaled(nu, 1.1 * gamma, residual)")
    ended = small_project.call(project, "-m", "pipelines.accept")
    assert ended.returncode == 1
    said = ended.stdout
    penalty = {stage for stage in TRAINED if "penalty" in stage or "ablation" in stage}
    assert f"{len(TRAINED) - len(penalty)} cells settled, {len(penalty)} to be trained" in said
    assert set(status(project, *FAMILIES)) == penalty | {timing}
    assert (dates(project), records(project)) == before


@pytest.mark.slow
def test_accept_leaves_cells_whose_settings_changed(project: Path) -> None:
    with (project / PRODUCTS).open("a") as file:
        file.write("# a comment\n")
    change(project, "pipelines/denoising/params.yaml", "epochs: 8", "epochs: 9")
    said = done(project, "-m", "pipelines.accept")
    assert f"{len(TRAINED) - 1} cells settled" in said
    assert set(status(project, *FAMILIES)) == {PENALTY}


@pytest.mark.slow
def test_a_record_of_another_processor_is_held_against_its_sources(project: Path) -> None:
    """Its hashes are not this machine's; the sources it was made with, found in git's history, say what they would be."""
    stage = "pipelines/synthetic/embedded/dvc.yaml:train_embedded_gd@ex1-released"
    folder = project / "results/embedded/synthetic/ex1-gd-released"
    record = json.loads((folder / "train.json").read_text())
    for trial in record["trials"]:
        trial["state_after_first_steps"] = "0" * 64
    (folder / "train.json").write_text(json.dumps(record))
    done(project, "-m", "dvc", "commit", "--force", stage)
    solver = project / "core/solvers/gd.py"
    solver.write_text(solver.read_text() + "# a comment\n")
    assert "2 cells settled, 0 to be trained" in done(project, "-m", "pipelines.accept")

    change(project, "core/solvers/gd.py", "memory, v, self.lower_step_size)", "memory, v, 1.1 * self.lower_step_size)")
    ended = small_project.call(project, "-m", "pipelines.accept")
    assert ended.returncode == 1
    assert "0 cells settled, 2 to be trained" in ended.stdout


def test_dvc_alone_is_killed(project: Path) -> None:
    expected = records(project)
    cell = "results/embedded/denoising/digits-25-penalty"
    shutil.rmtree(project / cell)
    process = begun(project, "-m", "dvc", "repro", PENALTY)
    trainers = halted(process, project)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    time.sleep(1.5)  # longer than between two looks of the orphan at its parents, so that it looks before it trains on
    for one in trainers:
        one.resume()
    # it ends by itself and writes no record
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in trainers), 30)
    process.communicate(timeout=60)
    assert not (project / cell / "train.json").exists()
    done(project, "-m", "dvc", "repro", *FAMILIES)
    assert records(project) == expected


def test_the_trainer_is_killed(project: Path) -> None:
    expected = records(project)
    shutil.rmtree(project / "results/embedded/denoising/digits-25-penalty")
    process = begun(project, "-m", "dvc", "repro", PENALTY)
    for one in halted(process, project):
        one.kill()
    process.communicate(timeout=60)
    assert process.returncode != 0
    done(project, "-m", "dvc", "repro", *FAMILIES)
    assert records(project) == expected


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as committed, with the profile `cpu` in use, and no data."""
    project = tmp_path_factory.mktemp("committed") / "project"
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if not name.startswith("tests/") and (ROOT / name).exists():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, project / name)
    (project / "params.yaml").write_text("profile: cpu\n")
    small_project.commit(project)
    return project


def changed(project: Path) -> set[str]:
    """The stages of `cpu` that are stale for more than absent data."""
    found: dict[str, Any] = status(project)
    lost = {"deleted", "not in cache"}

    def only_data(changes: Any) -> bool:
        files = [item for one in changes if isinstance(one, dict) for part in one.values() for item in part.items()]
        return all(isinstance(one, dict) for one in changes) and all(
            str(path).startswith("data/") and how in lost for path, how in files
        )

    names = {stage for stage, changes in found.items() if not only_data(changes)}
    return {name for name in names if "embedded" not in name and "_paper" not in name and "fetch" not in name}


@pytest.mark.slow
def test_the_committed_profile(committed: Path) -> None:
    """A clone of it is up to date; one setting makes one cell and what is drawn from it stale, and nothing else."""
    assert changed(committed) == set()
    params = committed / "pipelines/denoising/params.yaml"
    text = params.read_text()
    head, cell, tail = text.partition("\ncpu:\n")[2].partition("    mnist-50:\n")
    start = head.index("      penalty:")
    new = head[:start] + head[start:].replace("lower_step_size: ", "lower_step_size: 1", 1)
    params.write_text(text.replace(head, new))
    drawn = {"tables@cpu", "figures@cpu", "pages@cpu"}
    assert changed(committed) == {"pipelines/denoising/cpu/dvc.yaml:train_cpu_penalty@mnist-25"} | drawn
    params.write_text(text)


def test_missing_data_is_made_for_one_stale_cell(committed: Path) -> None:
    """With one step size changed, `make repro` knows that it must fetch, prepare and train that one cell."""
    params = committed / "pipelines/denoising/params.yaml"
    text = params.read_text()
    cells = text.index("    mnist-25:\n", text.index("\ncpu:\n"))
    start = text.index("      val-only:", cells)
    params.write_text(text[:start] + text[start:].replace("lower_step_size: ", "lower_step_size: 1", 1))
    asked = (
        "import json; from pipelines import repro; found = repro.status('cpu');"
        "print(json.dumps([repro.needed_data(found, 'cpu', 'fetch'), repro.needed_data(found, 'cpu', 'corrupt'),"
        " repro.stale(found, 'cpu')['train']]))"
    )
    fetch, corrupt, train = json.loads(done(committed, "-c", asked).splitlines()[-1])
    params.write_text(text)
    home = "pipelines/denoising/cpu/dvc.yaml:"
    assert fetch == ["pipelines/datasets/dvc.yaml:fetch_mnist"]
    assert corrupt == [f"{home}corrupt_cpu_mnist@mnist-25"]
    assert train == [f"{home}train_cpu_val-only@mnist-25"]


def test_one_number_of_one_record_changes_the_verdicts_that_depend_on_it(
    committed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `make report` gathers before it draws: the changed cell, and no other."""
    monkeypatch.chdir(committed)
    name = "ex1-penalty-released"
    record = Path(f"results/cpu/synthetic/{name}/metrics.json")
    files = {path: path.read_bytes() for path in [record, *Path("results/cpu").glob("*/*.json")]}
    before = sources.load("cpu")
    found = json.loads(files[record])
    next(trial for trial in found["trials"] if trial["T"] == 10)["last"]["error"] = 1000.0
    record.write_text(json.dumps(found))
    done(committed, "-c", "from pipelines import report; report.gather('cpu')")
    after = sources.load("cpu")
    for family, cells in before.cells.items():
        assert [cell for cell in cells if cells[cell] != after.cells[family][cell]] == [name] * (family == "synthetic")
    assert {path.as_posix() for path, content in files.items() if path.read_bytes() != content} - {record.as_posix()} <= {
        "results/cpu/synthetic/summary.json", *(f"results/cpu/{family}/costs.json" for family in before.cells)
    }  # fmt: skip
    told = [{one.claim.id: (one.first.verdict, one) for one in card.judged(inputs)} for inputs in (before, after)]
    changed = {identity for identity, (verdict, _) in told[0].items() if told[1][identity][0] != verdict}
    assert "C02" in changed
    for identity in changed:
        parts = [part for result in told[0][identity][1].results for part in result.parts]
        cells = {cell for part in parts for _, term in part.part.terms for cell in term.cells}
        assert ("synthetic", tuple(name.split("-"))) in cells
    for path, content in files.items():
        path.write_bytes(content)
