"""A solver of another package: its cells depend on what it imports of ours."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest
import small_project
from ruamel.yaml import YAML
from small_project import call, done

from pipelines import attacks, closure, solver_modules, stages
from pipelines.errors import UserError
from tests.core import packaged


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package is installed."""
    place = packaged.install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(place))
    # one of the same name, which another test of this process has imported, would be found first
    for name in [one for one in sys.modules if one.partition(".")[0] == "far_away"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    closure.imports.cache_clear()
    return place


def test_its_module_is_the_registered_one(place: Path) -> None:
    assert solver_modules.module_of(packaged.NAME) == "far_away.identity"
    assert solver_modules.module_of("penalty") == "core.solvers.penalty"  # the files here come first
    assert solver_modules.module_of("fo-itd") == "core.solvers.fo_itd"
    cell = {"solver": packaged.NAME, "network": "digits"}
    for listed in (attacks.modules_of(cell), stages.modules_of(cell), stages.learned_by(cell)):
        assert "far_away.identity" in listed


def test_an_unknown_solver_is_named(place: Path) -> None:
    with pytest.raises(UserError, match=r"names a solver 'far-identiti' \(did you mean far-identity\?\): there is no "
                       r"core/solvers/far_identiti.py, and no installed package registers it"):  # fmt: skip
        solver_modules.module_of("far-identiti")


def test_its_imports_into_core_are_followed(place: Path) -> None:
    """The template's own, to the last file; nothing of site-packages."""
    found = closure.closure("far_away.identity")
    own = {"core/solvers/template.py"}
    assert "core/optimizers.py" in found
    assert set(found) == set(closure.closure("core.solvers.template")) - own


def test_the_rest_of_its_package_is_followed(place: Path) -> None:
    """Its other modules, relative imports and the package itself; nothing that none of them imports."""
    package = place / "far_away"
    (package / "__init__.py").write_text("import core.schedules\n")
    (package / "near.py").write_text("from . import nearer\n")
    (package / "nearer.py").write_text("from core.linear import cg\nimport numpy\n")
    (package / "apart.py").write_text("import core.meta\n")
    (package / "identity.py").write_text("from .near import anything\n")
    wanted = closure.closure("core.schedules", "core.linear.cg", "core.linear")
    found = closure.closure("far_away.identity")
    assert {"core/schedules.py", "core/linear/cg.py"} <= set(found)
    assert set(found) - {"core/__init__.py"} == set(wanted) - {"core/__init__.py"}
    assert "core/meta.py" not in found


@pytest.mark.parametrize("module", ["core.solvers.no_such", "far_away.no_such", "no_such_package", "pipelines.no_such.run"])
def test_a_named_module_that_is_not_there(place: Path, module: str) -> None:
    with pytest.raises(UserError, match=f"a stage needs the module {module}, which has no source here"):
        closure.closure("core.solvers.penalty", module)


def test_a_cell_of_it_has_a_stage(tmp_path: Path) -> None:
    """With what it imports among the stage's deps; where the package is not installed, that is said."""
    project, place = small_project.copy(tmp_path / "project"), packaged.install(tmp_path / "site")
    params, path = project / "pipelines/synthetic/params.yaml", os.pathsep.join([str(project), str(place)])
    line = "      gd: {solver: gd, settings: {upper_step_size: 1e-3, lower_step_size: 1e-4}}\n"
    text = params.read_text().replace("methods: [gd, penalty]", f"methods: [gd, penalty, {packaged.NAME}]")
    params.write_text(text.replace(line, line + line.replace("gd", packaged.NAME)))
    done(project, "-m", "pipelines.stages", PYTHONPATH=path)
    written = YAML(typ="safe").load(project / "pipelines/synthetic/embedded/dvc.yaml")["stages"]
    deps = {name: set(written[name]["deps"]) for name in (f"train_embedded_{packaged.NAME}", "time_embedded")}
    assert all("core/optimizers.py" in some and not any("far_away" in one for one in some) for some in deps.values())
    ended = call(project, "-m", "pipelines.stages", "--check")
    assert ended.returncode == 2
    assert f"error: params.yaml names a solver '{packaged.NAME}'" in ended.stderr
