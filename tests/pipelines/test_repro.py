"""Which stages `make repro` runs, in which order, and what it does where one fails."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines import accept, plan, repro
from pipelines.errors import UserError


def d(stage: str) -> str:
    """The address of a denoising stage."""
    return f"pipelines/denoising/{stage.partition('@')[0].split('_')[1]}/dvc.yaml:{stage}"


def s(stage: str) -> str:
    """The address of a synthetic stage."""
    return f"pipelines/synthetic/{stage.partition('@')[0].split('_')[1]}/dvc.yaml:{stage}"


CODE = {"changed deps": {"core/products.py": "modified"}}
F = "pipelines/datasets/dvc.yaml:"
NO_DATA = {"changed deps": {"data/prepared/cpu/mnist-25/train.npz": "deleted"}}
NOT_CACHED = {"changed outs": {"data/raw/mnist/train-images-idx3-ubyte": "not in cache"}}
NEVER_FETCHED = [{"changed deps": {"pipelines/datasets/manifest.yaml": "new"}},
                 {"changed outs": {"data/raw/svhn/train_32x32.mat": "deleted"}}]  # fmt: skip


def prepared(data: str, raw: str = "mnist/train-images-idx3-ubyte", profile: str = "cpu") -> list[Any]:
    """DVC's word on a preparation whose source and product are not on this machine."""
    made = f"data/prepared/{profile}/{data}/train.npz"
    return [{"changed deps": {f"data/raw/{raw}": "deleted"}}, {"changed outs": {made: "not in cache"}}]


NO_RECORD = {"changed outs": {"results/cpu/denoising/mnist-25-penalty/train.json": "deleted"}}


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (d("train_cpu_penalty@mnist-25"), ("train", "cpu")),
        (d("train_paper_val-only@mnist-25"), ("train", "paper")),
        (d("corrupt_embedded@digits-25"), ("corrupt", "embedded")),
        (s("evaluate_cpu@ex1-gd-described"), ("evaluate", "cpu")),
        ("pipelines/datasets/dvc.yaml:fetch_mnist", ("fetch", "")),
        ("tables@cpu", ("tables", "cpu")),
        (s("train_paper_ablation@embedded"), ("train", "paper")),
    ],
)
def test_kind_and_profile(stage: str, expected: tuple[str, str]) -> None:
    assert repro.kind_and_profile(stage) == expected


def test_missing_data_alone_makes_nothing_stale() -> None:
    found: dict[str, list[Any]] = {
        d("train_cpu_oracle@mnist-25"): [NO_DATA],
        d("corrupt_cpu@mnist-25"): prepared("mnist-25"),
        f"{F}fetch_mnist": [NOT_CACHED],
        f"{F}fetch_svhn": NEVER_FETCHED,
    }
    assert not any(repro.stale(found, "cpu").values())
    assert repro.needed_data(found, "cpu", "fetch") == []
    assert repro.needed_data(found, "cpu", "corrupt") == []


@pytest.mark.parametrize("change", [CODE, NO_RECORD, "changed command"])
def test_one_stale_cell_needs_its_data_alone(change: Any) -> None:
    found: dict[str, list[Any]] = {
        d("train_cpu_penalty@mnist-25"): [change, NO_DATA],
        d("train_cpu_oracle@mnist-50"): [{"changed deps": {"data/prepared/cpu/mnist-50/train.npz": "deleted"}}],
        d("train_paper_oracle@mnist-25"): [CODE],
        d("corrupt_cpu@mnist-25"): prepared("mnist-25"),
        d("corrupt_cpu@mnist-50"): prepared("mnist-50"),
        d("corrupt_cpu@svhn-25"): prepared("svhn-25", "svhn/train_32x32.mat"),
        d("corrupt_paper@mnist-25"): prepared("mnist-25", profile="paper"),
        f"{F}fetch_svhn": NEVER_FETCHED,
        f"{F}fetch_mnist": [NOT_CACHED],
    }
    assert repro.stale(found, "cpu")["train"] == [d("train_cpu_penalty@mnist-25")]
    assert repro.needed_data(found, "cpu", "fetch") == [f"{F}fetch_mnist"]
    assert repro.needed_data(found, "cpu", "corrupt") == [d("corrupt_cpu@mnist-25")]


def test_data_is_fetched_for_a_preparation_that_changed_and_through_one_that_is_missing() -> None:
    tasks = {"changed deps": {"data/prepared/cpu/features/all.npz": "deleted"}}
    found: dict[str, list[Any]] = {
        d("corrupt_cpu@svhn-25"): [CODE, *prepared("svhn-25", "svhn/train_32x32.mat")],
        d("evaluate_cpu@tasks"): [NO_RECORD, tasks],
        d("corrupt_cpu@features"): [
            {"changed deps": {"data/prepared/cpu/few/train.npz": "deleted"}},
            {"changed outs": {"data/prepared/cpu/features/all.npz": "deleted"}},
        ],
        d("corrupt_cpu@few"): prepared("few", "omniglot/images_background.tar"),
        f"{F}fetch_omniglot": [{"changed outs": {"data/raw/omniglot/images_background.tar": "deleted"}}],
        f"{F}fetch_svhn": NEVER_FETCHED,
        f"{F}fetch_mnist": [NOT_CACHED],
    }
    assert repro.needed_data(found, "cpu", "fetch") == [f"{F}fetch_omniglot", f"{F}fetch_svhn"]
    assert repro.needed_data(found, "cpu", "corrupt") == [
        d("corrupt_cpu@svhn-25"),
        d("corrupt_cpu@features"),
        d("corrupt_cpu@few"),
    ]


def test_attacks_wait_for_the_list_of_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which evaluation of the clean victim writes: training, that, attacks, all other evaluation."""
    c = "pipelines/clean_label/embedded/dvc.yaml:"
    stages = ["evaluate_embedded@p-penalty", "retrain_embedded_penalty@p", "targets_embedded@p", "train_embedded_clean@p"]
    ran: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(repro, "status", lambda _: {f"{c}{stage}": [CODE] for stage in stages})
    monkeypatch.setattr(repro, "side_by_side", lambda some, _, what: ran.append((what, list(some))))
    monkeypatch.setattr(repro, "_by_dvc", lambda *_: None)
    repro.build("embedded", 2)
    expected = [(stage.partition("_")[0], [f"{c}{stage}"]) for stage in reversed(stages)]
    assert [one for one in ran if one[1]] == expected


def test_data_that_is_there_is_not_made_again() -> None:
    found: dict[str, list[Any]] = {
        d("train_cpu_penalty@mnist-25"): [CODE],
        d("corrupt_cpu@mnist-25"): [{"changed deps": {"data/raw/mnist/train-images-idx3-ubyte": "deleted"}}],
        f"{F}fetch_mnist": [NOT_CACHED],
    }
    assert repro.needed_data(found, "cpu", "fetch") == []
    assert repro.needed_data(found, "cpu", "corrupt") == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, False),
        ({s("train_paper_gd@ex1-described"): [CODE], d("train_cpu_oracle@mnist-25"): [NO_DATA]}, False),
        ({f"{F}fetch_mnist": [NOT_CACHED], f"{F}fetch_svhn": NEVER_FETCHED}, False),
        ({s("train_cpu_gd@ex1-described"): [CODE]}, True),
        ({"tables@cpu": [{"changed outs": {"reports/cpu/tables": "deleted"}}]}, True),
        ({"pipelines/theory/cpu/dvc.yaml:timings_cpu": ["changed command"]}, True),
    ],
)
def test_what_is_pending(found: dict[str, list[Any]], expected: bool) -> None:
    assert repro.pending(found, "cpu") is expected


def test_what_is_lost_is_made_by_name_each_after_what_it_reads() -> None:
    """DVC's --allow-missing takes it for present."""

    def without(path: str, *reads: str) -> list[Any]:
        return [{"changed outs": {path: "deleted"}}, {"changed deps": dict.fromkeys(reads, "deleted")}]

    facts, costs, times = (f"results/cpu/denoising/{name}.json" for name in ("data", "costs", "timings"))
    record = "results/cpu/denoising/mnist-25-penalty/train.json"
    theory = "pipelines/theory/cpu/dvc.yaml:timings_cpu"
    found: dict[str, list[Any]] = {
        "pages@cpu": without("reports/cpu/pages", "reports/cpu/tables"),
        "tables@cpu": without("reports/cpu/tables", facts, costs, times),
        d("costs_cpu"): without(costs, record),
        d("time_cpu"): without(times),
        d("facts_cpu"): without(facts, "data/prepared/cpu/mnist-25/index.json"),
        theory: without("results/cpu/theory/timings.json"),
        d("train_cpu_penalty@mnist-25"): without(record),  # side by side, with those that train
        d("corrupt_cpu@mnist-25"): without("data/prepared/cpu/mnist-25/index.json"),
        d("summary_cpu"): [CODE],  # stale, not lost
    }
    lost = repro.lost(found, "cpu")
    assert sorted(lost[:-2]) == sorted([d("costs_cpu"), d("time_cpu"), d("facts_cpu"), theory])
    assert lost[-2:] == ["tables@cpu", "pages@cpu"]


def test_a_stale_synthetic_cell_needs_no_data() -> None:
    found: dict[str, list[Any]] = {
        s("train_cpu_gd@ex1-released"): [CODE],
        d("corrupt_cpu@mnist-25"): prepared("mnist-25"),
        f"{F}fetch_mnist": [NOT_CACHED],
    }
    assert repro.needed_data(found, "cpu", "fetch") == []
    assert repro.needed_data(found, "cpu", "corrupt") == []


def test_stale_facts_need_their_data() -> None:
    poisoning, few_shot = "pipelines/poisoning/cpu/dvc.yaml:", "pipelines/few_shot/cpu/dvc.yaml:"
    index = "data/prepared/cpu/poisoning/mnist-targeted/index.json"
    lost: list[Any] = [{"changed deps": {index: "deleted"}}]
    found: dict[str, list[Any]] = {
        f"{poisoning}facts_cpu": [CODE, *lost],
        f"{poisoning}corrupt_cpu@mnist-targeted": [{"changed outs": {index: "not in cache"}}],
        f"{few_shot}corrupt_cpu@omniglot": [{"changed outs": {"data/prepared/cpu/few_shot/omniglot/index.json": "deleted"}}],
    }
    assert repro.needed_data(found, "cpu", "corrupt") == [f"{poisoning}corrupt_cpu@mnist-targeted"]
    assert repro.needed_data({**found, f"{poisoning}facts_cpu": lost}, "cpu", "corrupt") == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [([], False), ([NO_DATA], False), ([CODE], True), ([CODE, NO_DATA], True), ([CODE, "changed command"], False),
     ([{"changed deps": {"pipelines/denoising/params.yaml": "modified"}}], False), ([NO_RECORD], False)],
)  # fmt: skip
def test_accept_takes_edits_of_code_alone(changes: list[Any], expected: bool) -> None:
    assert accept.only_code_changed(changes) is expected


def test_the_profile_is_written_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("# a comment\nprofile: embedded\n# more\n")
    repro.use_profile("embedded")
    assert capsys.readouterr().out == ""
    repro.use_profile("cpu")
    assert capsys.readouterr().out == "params.yaml now says profile: cpu\n"
    assert Path("params.yaml").read_text() == "# a comment\nprofile: cpu\n# more\n"
    assert repro.profile_in_use() == "cpu"
    with pytest.raises(UserError, match=r"no profile 'embeded' \(did you mean embedded\?\)"):
        repro.use_profile("embeded")
    with pytest.raises(UserError, match="no profile 'quick'; there are: embedded, cpu, paper"):
        repro.use_profile("quick")
    assert repro.profile_in_use() == "cpu"
    Path("params.yaml").write_text("profil: cpu\n")
    with pytest.raises(UserError, match="params.yaml has no line"):
        repro.profile_in_use()


def test_what_is_drawn_for_another_profile_is_not_to_be_made() -> None:
    found: dict[str, list[Any]] = {"tables@embedded": [CODE], "tables@cpu": [CODE], d("evaluate_paper@x"): [CODE]}
    assert repro.to_make(found, "cpu") == ["tables@cpu"] and repro.to_make(found, "embedded") == ["tables@embedded"]


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_list_is_no_switch_of_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], interrupted: bool
) -> None:
    """Neither on the way nor at its end, and where it is stopped under way."""
    monkeypatch.chdir(tmp_path)
    text = "# a comment\nprofile: embedded\n"
    Path("params.yaml").write_text(text)
    asked = []

    def status(profile: str) -> dict[str, list[Any]]:
        asked.append(profile)
        assert Path("params.yaml").read_text() == text
        if interrupted:
            raise KeyboardInterrupt
        return {"tables@cpu": [CODE], "tables@embedded": [CODE]}

    monkeypatch.setattr(repro, "status", status)
    monkeypatch.setattr(plan, "status", status)
    monkeypatch.setattr(plan, "every_cell", lambda profile: [])
    monkeypatch.setattr(plan.planning, "past_here", list)
    for command in (lambda: repro.main(["--status", "--profile", "cpu"]), lambda: plan.main(["--profile", "cpu"])):
        with pytest.raises(KeyboardInterrupt) if interrupted else contextlib.nullcontext():
            command()
    assert asked == ["cpu", "cpu"] and Path("params.yaml").read_text() == text
    said = ["tables@cpu", "make repro PROFILE=cpu would run 1 stage, none of them training:",
            "without training, seconds to minutes: tables 1"]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == ([] if interrupted else said)
    with pytest.raises(UserError, match="no profile 'quick'"):
        repro.main(["--status", "--profile", "quick"])


DVC = """
import pathlib, sys
bad = False
with pathlib.Path("ran").open("a") as ran:
    ran.write(" ".join(sys.argv[5:]) + "\\n")
assert sys.argv[1:5] == ["--wait-for-lock", "repro", "--single-item", "--keep-going"]
for stage in sys.argv[5:]:
    print(f"Running stage '{stage}':")
    if stage == "b":
        bad = True
        print("error: no room")
        print(f"ERROR: failed to reproduce '{stage}': failed to run")
    else:
        print("Updating lock file 'dvc.lock'")
sys.exit(255 if bad else 0)
"""


@pytest.fixture
def dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that fails on the stage b; where it notes what it was given."""
    script = tmp_path / "dvc.py"
    script.write_text(DVC)
    monkeypatch.setattr(repro, "DVC", [sys.executable, str(script)])
    monkeypatch.chdir(tmp_path)
    return tmp_path / "ran"


@pytest.mark.parametrize("more", [0, 12])
def test_the_others_are_run_where_one_fails(dvc: Path, capsys: pytest.CaptureFixture[str], more: int) -> None:
    """Whether each has a command of its own, or several share one."""
    stages = ["a", "b", "c", "d", *(f"x{number}" for number in range(more))]
    with pytest.raises(UserError, match="1 of train failed, what is done is kept:\nb\n    error: no room") as raised:
        repro.side_by_side(stages, 2, "train")
    assert str(raised.value).count("\n") == 3
    given = dvc.read_text().split("\n")[:-1]
    assert sorted(" ".join(given).split()) == sorted(stages)
    assert max(len(line.split()) for line in given) == (4 if more else 1)
    said = capsys.readouterr().out.splitlines()
    assert sorted(said) == sorted(f"train: {stage} {'failed' if stage == 'b' else 'done'}" for stage in stages)


def test_where_dvc_itself_fails_all_have_failed(dvc: Path) -> None:
    (dvc.parent / "dvc.py").write_text("import sys; print('ERROR: unable to lock'); sys.exit(1)")
    with pytest.raises(UserError, match="2 of train failed.*\na\n    ERROR: unable to lock"):
        repro.side_by_side(["a", "c"], 1, "train")


def test_nothing_to_do(dvc: Path) -> None:
    repro.side_by_side([], 2, "train")
    assert not dvc.exists()


@pytest.mark.parametrize("command", ["pipelines.repro", "pipelines.report"])
def test_an_unknown_profile_by_command(command: str) -> None:
    root = Path(__file__).resolve().parents[2]
    before = (root / "params.yaml").read_text()
    ended = subprocess.run([sys.executable, "-m", command, "--profile", "quick"], cwd=root, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.strip() == "error: no profile 'quick'; there are: embedded, cpu, paper"
    assert (root / "params.yaml").read_text() == before
