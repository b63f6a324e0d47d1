"""Tables from made-up results: their rows and verdicts, the same bytes twice, and what is said where an input is missing."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import made_up
import pandas as pd
import pytest
import yaml

from pipelines import comparison, headline, published, sources, tables, told
from pipelines.closure import closure
from pipelines.comparison import Estimate
from pipelines.errors import UserError
from pipelines.layout import Table, duration, plus_minus, printed
from pipelines.scorecard.declared import CLAIMS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made_up.write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def numbers(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, comment="#", keep_default_na=False)


def test_tables_of_attacks_and_of_few_shot_learning(place: Path) -> None:
    made_up.write_results(place, "embedded")
    tables.main(["embedded"])
    names = {"poisoning", "poisoning-ablation", "poisoning-lower-steps", "poisoning-described", "few-shot", "few-shot-speed"}
    names |= {"clean-label", "clean-label-smallest"}
    for name in names:
        path = place / f"reports/embedded/tables/{name}.csv"
        assert len(numbers(path)) > 0
        assert path.read_text().rstrip("\n").splitlines()[-1].startswith("# Drawn from: profile embedded; ")


def test_all_tables_twice(place: Path) -> None:
    made_up.write_results(place, "cpu")
    tables.main(["cpu"])
    folder = place / "reports/cpu/tables"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    experiments = {"quirks", "tuned", "tuned-quarter", "longer", "longer-50", "profile", "controls", "described"}
    experiments |= {"lower-steps", "cifar10-part", "franceschi", "stocbio-hypercleaning"}
    experiments |= {"poisoning", "poisoning-ablation", "poisoning-lower-steps", "poisoning-described", "poisoning-converged"}
    experiments |= {"few-shot", "few-shot-further", "few-shot-speed", "few-shot-budget"}
    experiments |= {"clean-label", "clean-label-smallest"}
    names = {*tables.DRAWN, *experiments}
    assert set(first) == {"numbers.tex", *(f"{name}.{kind}" for name in names for kind in ("md", "csv", "tex", "html"))}
    tables.main(["cpu"])
    assert first == {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, content in first.items():
        last = content.decode().replace("\n</div>\n</main>\n</body>\n</html>", "").rstrip("\n").splitlines()[-1]
        last = last.removeprefix("<p>" if name.endswith(".html") else "# " if name.endswith(".csv") else "% ")
        assert last.startswith("Drawn from: profile cpu; ") and "published/paper_results.yaml" in last
    rows = {name: len(numbers(folder / f"{name}.csv")) for name in tables.DRAWN}
    assert rows == {
        "wall-clock": 4 * 3 * 5, "figure-1": 24, "figure-2": 24, "figure-7": 24, "denoising": 10, "claims": len(CLAIMS),
        "claim-parts": rows["claim-parts"], "table-1": 5, "ledger": 4, "demonstrations": 2, "data": 3,
        "results": 16 + 2 + 4 + 10 + 4 * 2 + 2 * 4, "costs": rows["costs"],
    }  # fmt: skip
    for name in ("figure-1", "figure-2", "figure-7"):
        for preset in ("released", "described"):
            assert set(numbers(folder / f"{name}.csv")[f"{preset} verdict"]) == {"agrees"}
    # a cut budget never agrees with an absolute number
    assert set(numbers(folder / "denoising.csv")["verdict"]) == {"not comparable"}
    assert set(numbers(folder / "denoising.csv")["order"]) == {"same order", ""}
    text = (folder / "denoising.md").read_text()
    assert "2,000 of the paper's 59,000 training images" in text and "94.6 ± 0.3 or 90.5 ± 0.3" in text
    claimed = numbers(folder / "claims.csv").set_index("id")
    assert claimed["verdict"]["C04"] == "holds" and claimed["verdict"]["C17"] == "not run"
    assert "Panels of Figures 1 and 2: 48 of 48 agree" in (folder / "results.md").read_text()


def test_wall_clock_ratios(place: Path) -> None:
    made_up.write_results(place, "cpu")
    table = tables.draw(sources.load("cpu"), "wall-clock")
    frame = {(row["example"], row["T"], row["method"]): row for row in told.rows(table)}
    row = frame["1", 10, "RMD"]
    assert row["paper ratio"] == pytest.approx(95.4 / 57.0, rel=1e-5)
    assert row["one trial ratio"] == pytest.approx(row["paper ratio"], rel=1e-4)
    assert row["20 stacked seconds"] == pytest.approx(95.4, rel=1e-4)
    assert row["order"] == "same order"
    assert frame["1", 1, "ApproxGrad"]["order"] == "tied in the paper"
    assert frame["1", 10, "Penalty (reused test)"]["one trial ratio"] == pytest.approx(0.9)
    # compiled programs are timed on example 1 alone
    assert pd.isna(frame["2", 10, "RMD"]["one trial, compiled ratio"])


def test_a_shift_is_found(place: Path) -> None:
    made_up.write_results(place, "embedded", off=1.0)
    inputs = sources.load("embedded")
    frame = tables.draw(inputs, "figure-1").numbers
    differ = frame[frame["released verdict"] == comparison.DIFFERS]
    assert set(zip(differ["example"], differ["method"], strict=True)) == {("1", "Penalty")}
    assert len(differ) == 3
    read = tables.draw(inputs, "results").shown.set_index("result")
    assert read["verdict"]["Figure 1, example 1, Penalty: distance"] == "differs"
    claims = tables.draw(inputs, "claims").numbers.set_index("id")
    assert (claims["verdict"]["C02"], claims["verdict"]["C01"]) == ("does not hold", "holds")


def test_the_second_distance_on_example_3(place: Path) -> None:
    made_up.write_results(place, "cpu")
    frame = tables.draw(sources.load("cpu"), "figure-2").numbers
    has_it = frame["released by first block mean"].notna()
    assert set(zip(frame["example"][has_it], frame["method"][has_it], strict=True)) == {("3", "ApproxGrad")}
    rows = frame[has_it]
    assert (rows["released mean"] - rows["released by first block mean"]).to_numpy() == pytest.approx(made_up.OFF_BY)
    assert set(rows["released by first block verdict"]) == {"agrees"}


def test_table_1(place: Path) -> None:
    made_up.write_results(place, "cpu")
    table = tables.draw(sources.load("cpu"), "table-1")
    assert set(table.numbers["space verdict"]) == set(table.numbers["time verdict"]) == {"agrees"}
    shown = table.shown.set_index("method")
    assert shown["paper, space"]["RMD"] == "O(U + VT)"
    assert shown["space: T, U, V"]["RMD"] == "1.00, 0.00, 1.00"
    path = place / "results/cpu/theory/memory.json"
    record = json.loads(path.read_text())
    next(row for row in record["rows"] if (row["method"], row["varied"]) == ("penalty", "T"))["exponent"] = 1.0
    path.write_text(json.dumps(record))
    worse = tables.draw(sources.load("cpu"), "table-1").shown.set_index("method")
    assert worse["space verdict"]["Penalty"] == "differs in T"


def test_digits_stand_beside_mnist(place: Path) -> None:
    made_up.write_results(place, "embedded")
    shown = tables.draw(sources.load("embedded"), "denoising").shown
    assert set(shown["verdict"]) == {"not comparable"}
    assert shown["paper"][4] == "MNIST: 98.89 ± 0.04"


def test_a_diverged_cell_is_said_so(place: Path) -> None:
    made_up.write_results(place, "embedded")
    path = place / "results/embedded/synthetic/summary.json"
    record = json.loads(path.read_text())
    cell = record["cells"]["ex1-penalty-released"]
    none = {"mean": None, "sd": None, "n": 0, "half_width": None}
    cell["summary"]["T=5"] = {"error": none, "penalty updates": none, "diverged": 20}
    cell["curves"]["T=5"]["error"]["mean"][-1] = None
    path.write_text(json.dumps(record))
    frame = tables.draw(sources.load("embedded"), "figure-1").numbers
    row = frame[(frame["example"] == "1") & (frame["T"] == 5) & (frame["method"] == "Penalty")].iloc[0]
    assert (row["released verdict"], row["released diverged"]) == ("diverged", 20)
    read = tables.draw(sources.load("embedded"), "results").shown.set_index("result")
    assert (
        read["verdict"]["Figure 1, example 1, Penalty: distance"] == "agrees at T = 1, 10; diverged at T = 5"
    )


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("synthetic/summary.json", "python -m pipelines.summary synthetic cpu"),
        ("denoising/summary.json", "python -m pipelines.summary denoising cpu"),
        ("denoising/costs.json", "python -m pipelines.summary denoising cpu --costs"),
        ("synthetic/timings.json", "python -m pipelines.timing cpu"),
        ("theory/ledger.json", "python -m pipelines.theory.ledger cpu"),
        ("theory/demonstrations.json", "python -m pipelines.theory.demonstrations cpu"),
        ("theory/timings.json", "python -m pipelines.theory.complexity cpu time"),
    ],
)
def test_what_is_missing_is_named_with_its_command(place: Path, path: str, command: str) -> None:
    made_up.write_results(place, "cpu")
    (place / "results/cpu" / path).unlink()
    with pytest.raises(UserError, match=f"{path} is missing: `{command}` makes it"):
        tables.main(["cpu"])
    assert not (place / "reports").exists()


def test_an_old_summary_and_an_unknown_profile(place: Path) -> None:
    made_up.write_results(place, "cpu")
    path = place / "results/cpu/denoising/summary.json"
    record = json.loads(path.read_text())
    del record["cells"]["mnist-50-penalty"]
    path.write_text(json.dumps(record))
    with pytest.raises(
        UserError, match="has no mnist-50-penalty: `python -m pipelines.summary denoising cpu`"
    ):
        tables.main(["cpu"])
    with pytest.raises(UserError, match="no profile 'cpus'"):
        tables.main(["cpus"])


def test_how_numbers_are_written() -> None:
    assert plus_minus(Estimate(3.1623, 0.0, 20)) == "3.16 ± 0.00"
    assert plus_minus(Estimate(0.01234, 0.00056, 20)) == "0.0123 ± 0.0006"
    assert plus_minus(Estimate(2e-5, 1e-6, 20)) == "2e-05 ± 1e-06"
    assert plus_minus(Estimate(2.5, None, 1)) == "2.50"
    assert plus_minus(Estimate(None, None, 0)) == "diverged"
    assert [duration(seconds) for seconds in (None, 61.5, 600, 7200)] == ["-", "62 s", "10 min", "2.0 h"]
    assert headline.by_steps({1: "agrees", 5: "agrees"}) == "agrees"


def test_a_bar_does_not_end_a_cell() -> None:
    frame = pd.DataFrame([{"a": "x|y"}])
    table = Table("t", "t", frame, frame, [], "Drawn from: nothing.")
    assert "x\\|y" in table.markdown()
    assert len(pd.read_csv(io.StringIO(table.csv()), comment="#")) == 1


def test_costs_are_those_of_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    table = tables.draw(sources.load("cpu"), "costs")
    found = {(row["family"], row["cell"].replace(" ", "-")): row for row in told.rows(table)}
    paths = Path("results/cpu").glob("*/*/run.json")
    runs = {(path.parts[-3], path.parts[-2]): json.loads(path.read_text()) for path in paths}
    assert set(found) == set(runs) and len(runs) > 100
    for name, run in runs.items():
        row = found[name]
        assert [row[name] for name in ("seconds", "processor seconds", "device")] == [
            run[name] for name in ("seconds", "cpu_seconds", "device")
        ]
        assert row["peak memory MB"] == pytest.approx(run["peak_memory_bytes"] / 1e6, abs=0.05)
    whole = duration(sum(run["cpu_seconds"] for run in runs.values()))
    assert table.notes[1] == f"All {len(runs)} cells: {whole} of one core."
    assert all(f"{family}/costs.json" in table.drawn_from for family, _ in runs)


def test_the_results_have_both_attacks_with_the_most_poisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Table 5 at 6%: the numbers of the records beside the published ones."""
    monkeypatch.chdir(ROOT)
    inputs = sources.load("cpu")
    found = {row["result"]: row for row in headline.poisoning_rows(inputs)}
    assert len(found) == 4
    for attack, measure in (("untargeted", "test accuracy"), ("targeted", "attack success")):
        for method, name in (("penalty", "Penalty"), ("approxgrad", "ApproxGrad")):
            row = found[f"Poisoning, {attack}, 6% poisons, {name}: {measure}"]
            metrics = json.loads(Path(f"results/cpu/poisoning/mnist-{attack}-{method}/metrics.json").read_text())
            mine = metrics["summary"]["points=60"]["judge"][measure]
            theirs = published.value(f"poison-{attack}-6pct-{method}")
            assert row["ours"] == f"{mine['mean']:.2f} ± {mine['sd']:.2f}"
            assert row["paper"] == printed(theirs) and str(theirs.mean) in row["paper"]
            assert row["command"] == f"`python -m pipelines.train poisoning cpu mnist-{attack} {method}`"
            whole = (attack, method) == ("targeted", "penalty")  # goes through the paper's iterations
            assert row["verdict"].startswith(comparison.AGREES if whole else comparison.NOT_COMPARABLE)
            assert (";" in row["verdict"]) == (method != "penalty")
    notes = "\n".join(headline.table(inputs, {}).notes)
    cells = inputs.params["poisoning"]["cells"]
    many = [cells[f"mnist-{a}"][m]["iterations"] for a in ("untargeted", "targeted") for m in ("penalty", "approxgrad")]
    cut = [count for count in many if count < 5000]
    assert f"where they are cut alike: {min(cut):,} to {max(cut):,} of 5,000 upper iterations" in notes


def test_no_single_setting_is_credited_with_what_presets_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said = told.stopping(sources.load("cpu"))
    assert "under preset *described* and" in said and "differ in several settings, not in the stopping test alone" in said


def test_what_a_drawn_thing_ends_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of records, parameters, published data and code, and the devices behind them."""
    monkeypatch.chdir(ROOT)
    inputs = sources.load("cpu")
    said = inputs.drawn_from("denoising/summary.json", "denoising/params.yaml", by="pipelines.accuracies")
    for name in ("denoising/summary.json", "denoising/params.yaml", "published/paper_results.yaml"):
        assert f"{name} {inputs.hashes[name][:12]}" in said
    summary = hashlib.sha256(Path("results/cpu/denoising/summary.json").read_bytes()).hexdigest()
    assert inputs.hashes["denoising/summary.json"] == summary
    runs = [json.loads(path.read_text()) for path in Path("results/cpu/denoising").glob("*/run.json")]
    code = {by: sources.sha256_of_code(by)[:12] for by in ("pipelines.accuracies", "pipelines.theory.tables")}
    devices = ", ".join(sorted({run["device"] for run in runs}))
    assert said.endswith(f"; code {code['pipelines.accuracies']}; measured on {devices}.")
    # timings have a device of their own, what is computed without a clock none
    clock = json.loads(Path("results/cpu/synthetic/timings.json").read_text())["machine"]["device"]
    assert inputs.drawn_from("synthetic/timings.json", by="pipelines.costs").endswith(f"; measured on {clock}.")
    assert tables.draw(inputs, "ledger").drawn_from.endswith(f"; code {code['pipelines.theory.tables']}.")
    # every file of the code is one that the drawing stages depend on, so that no edit leaves an old hash
    stages = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
    files = set(closure(*sources.CODE))
    assert {"pipelines/tables.py", "pipelines/figures.py", "pipelines/drawing.py"} <= files
    assert set(stages) == {"tables", "figures", "pages"} and all(files <= set(one["deps"]) for one in stages.values())


def test_the_hash_of_code_is_that_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    monkeypatch.setattr(sources, "closure", lambda *modules: [f"{module}.py" for module in modules])
    found = []
    for text in ("a", "b", "a"):
        (tmp_path / "x.py").write_text(text)
        found.append(sources.sha256_of_code("x"))
    assert found[0] == found[2] != found[1]


def test_the_data_of_a_profile(place: Path) -> None:
    made_up.write_results(place, "embedded")
    table = tables.draw(sources.load("embedded"), "data")
    assert list(table.shown["effective"]) == ["36.1%", "6%", "-", "-"]
    assert list(table.shown["what is done"]) == [
        "noise 40%: random rows, any class", "targeted, 60 poison points",
        "5-way 1-shot, 600 tasks of meta-test, 1,100 of 1,500 classes: look-alikes are left out",
        "classes 4 and 9, base nearest in pixels",
    ]  # fmt: skip
    assert table.shown.iloc[1]["rows, or classes of few-shot data"] == (
        "1,000 train, 400 validation, 100 selection, 5,000 test"
    )
    assert list(table.numbers["nominal noise"])[:2] == [0.4, 0.06]
    assert list(table.numbers["nearest neighbour"])[2] == 51.24
    assert table.numbers["classes before look-alikes are left out"][2] == 1500
    assert table.numbers["classes after look-alikes are left out"][2] == 1100
    assert len(table.notes) == 2 and table.notes[1].startswith(
        "glyphs: 1,500 classes before look-alikes are left out, 1,100 after. The 400 that go differ, fitted to one size,"
        " from a class before them in less than 25% of their ink"
    )
    assert "few_shot/data.json" in table.drawn_from
    # a profile that leaves nothing out says nothing of it
    made_up.write_results(place, "cpu")
    table = tables.draw(sources.load("cpu"), "data")
    assert not [name for name in table.numbers if "look-alikes" in name] and len(table.notes) == 1
