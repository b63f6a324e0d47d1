"""dvc.yaml: generated, and true about what each stage runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_project
from ruamel.yaml import YAML
from small_project import ROOT, call, done

from pipelines import closure, evaluations, settings, stages, summary

RUNS = """
import json, sys
from pathlib import Path
from pipelines import families, machine
import pipelines.train, torch
cell = families.cell(*json.loads(sys.argv[1])[:2], tuple(json.loads(sys.argv[1])[2:]))
pipelines.train.train(cell, torch.device("cpu"), steps=1)
print(json.dumps([str(path.relative_to(machine.ROOT)) for path in machine.loaded_sources()]))
"""


def test_the_files_are_what_the_sources_make_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    stages.main(["--check"])


def test_check_fails_where_a_solver_imports_more(tmp_path: Path) -> None:
    project = small_project.copy(tmp_path / "project")
    done(project, "-m", "pipelines.stages", "--check")
    solver = project / "core/solvers/gd.py"
    solver.write_text(solver.read_text() + "\nimport core.linear.cg  # noqa\n")
    ended = call(project, "-m", "pipelines.stages", "--check")
    assert ended.returncode == 2
    assert "pipelines/synthetic/embedded/dvc.yaml is out of date: run `python -m pipelines.stages`" in ended.stderr


def test_a_cell_that_is_listed_and_not_described_is_named(tmp_path: Path) -> None:
    """In any of the examples, not the first alone."""
    project = small_project.copy(tmp_path / "project")
    path, yaml = project / "pipelines/synthetic/params.yaml", YAML()
    params = yaml.load(path)
    example = params["embedded"]["examples"][-1]
    del params["embedded"]["cells"][example]["gd"]
    yaml.dump(params, path)
    ended = call(project, "-m", "pipelines.stages")
    assert ended.returncode == 2
    assert f"pipelines/synthetic/params.yaml: embedded.cells.{example} has no 'gd'" in ended.stderr


def test_a_profile_that_is_gone_leaves_no_stages(project: Path) -> None:
    left = project / "pipelines/denoising/paper/dvc.yaml"
    left.parent.mkdir(exist_ok=True)
    left.write_text("stages: {}\n")
    ended = call(project, "-m", "pipelines.stages", "--check")
    assert ended.returncode == 2
    assert "pipelines/denoising/paper/dvc.yaml is of no profile" in ended.stderr
    done(project, "-m", "pipelines.stages")
    assert not left.exists()
    done(project, "-m", "pipelines.stages", "--check")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = small_project.copy(tmp_path_factory.mktemp("stages") / "project")
    done(small, "-m", "pipelines.corrupt", "denoising", "embedded", "digits-25")
    return small


@pytest.mark.parametrize(
    ("stage", "cell"),
    [
        ("train_embedded_gd", ("synthetic", "embedded", "ex1", "gd", "released")),
        ("train_embedded_penalty", ("synthetic", "embedded", "ex3", "penalty", "released")),
        ("train_embedded_oracle", ("denoising", "embedded", "digits-25", "oracle")),
        ("train_embedded_penalty", ("denoising", "embedded", "digits-25", "penalty")),
    ],
)
def test_a_cell_depends_on_the_modules_it_runs(project: Path, stage: str, cell: tuple[str, ...]) -> None:
    ran = set(json.loads(done(project, "-c", RUNS, json.dumps(cell)).splitlines()[-1]))
    exempt = {path.as_posix() for path in map(closure.path_of, closure.EXEMPT) if path is not None}
    full = {name for name in ran - exempt if (project / name).stat().st_size > 0}
    listed = YAML(typ="safe").load(project / f"pipelines/{cell[0]}/{cell[1]}/dvc.yaml")["stages"][stage]["deps"]
    code = {name for name in listed if name.endswith(".py")}
    # what only exempt modules load (pipelines.runs, say) is exempt too
    assert code - full == set()
    only_exempt = {name for name in full - code if name.startswith("pipelines/")}
    by_exempt = {"tracking.py", "runs.py", "datasets/entries.py", "datasets/fingerprints.py"}
    assert full - code == only_exempt <= {f"pipelines/{name}" for name in by_exempt} | exempt


@pytest.mark.parametrize("family", settings.FAMILIES)
def test_summaries_name_every_cell(family: str) -> None:
    for profile in settings.PROFILES:
        written = YAML(typ="safe").load(ROOT / f"pipelines/{family}/{profile}/dvc.yaml")["stages"]
        cells = {"-".join(parts) for parts in summary.names(family, profile)}
        for stage, file in ((f"summary_{profile}", "metrics.json"), (f"costs_{profile}", "run.json")):
            deps = {name for name in written[stage]["deps"] if name.endswith(file)}
            assert deps == {f"results/{profile}/{family}/{cell}/{file}" for cell in cells}


@pytest.mark.parametrize("family", settings.FAMILIES)
def test_every_cell_is_evaluated_by_one_stage(family: str) -> None:
    """In `embedded` that of its family, but for the cells that others wait for."""
    for profile in settings.PROFILES:
        written = YAML(typ="safe").load(ROOT / f"pipelines/{family}/{profile}/dvc.yaml")["stages"]
        block, found = settings.profile_params(family, profile), []
        by_stage: dict[str, int] = {}
        for name, stage in written.items():
            outs = [path for out in stage["outs"] if isinstance(out, dict) for path in out if path.endswith("/metrics.json")]
            every = [path for item in stages.items(stage.get("matrix", {}), block) for path in stages.filled(outs, item)]
            found += every
            by_stage |= {name: len(every)} if every else {}
        cells = ["-".join(parts) for parts in summary.names(family, profile)]
        assert sorted(found) == sorted(f"results/{profile}/{family}/{cell}/metrics.json" for cell in cells)
        if profile in evaluations.TOGETHER:
            but = "clean" if family == "clean_label" else ""
            names = evaluations.cells(family, profile, but)
            assert set(by_stage) <= {f"evaluate_{profile}", f"targets_{profile}"}
            assert by_stage[f"evaluate_{profile}"] == len(names)
            assert by_stage.get(f"targets_{profile}", 0) == len(cells) - len(names) == (family == "clean_label")


def test_every_stage_says_what_it_does() -> None:
    for path in [ROOT / "dvc.yaml", *ROOT.glob("pipelines/**/dvc.yaml")]:
        for name, stage in YAML(typ="safe").load(path)["stages"].items():
            assert stage.get("desc"), f"{path}: {name}"
