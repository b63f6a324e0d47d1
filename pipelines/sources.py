"""What tables, figures and pages of a profile are drawn from: read once, with the hashes that they print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import published, records, searches, settings
from pipelines.closure import ROOT, closure
from pipelines.comparison import Estimate, ours
from pipelines.datasets import preparing
from pipelines.errors import UserError

FAMILIES = ("synthetic", "denoising", "few_shot", "poisoning", "clean_label")
THEORY = ("demonstrations", "ledger", "memory", "timings")
"""The files of the theory family, which has no cells."""
REPORTS = Path("reports")
CODE = ("pipelines.tables", "pipelines.figures")
"""The modules whose closure draws: every drawing stage depends on it, and what is drawn prints the hash of its own part."""

MADE_BY = {
    "summary.json": "python -m pipelines.summary {family} {profile}",
    "costs.json": "python -m pipelines.summary {family} {profile} --costs",
    "timings.json": "python -m pipelines.timing {profile}",
    "data.json": "python -m pipelines.facts {family} {profile}",
    "demonstrations": "python -m pipelines.theory.demonstrations {profile}",
    "ledger": "python -m pipelines.theory.ledger {profile}",
    "memory": "python -m pipelines.theory.complexity {profile} memory",
    "timings": "python -m pipelines.theory.complexity {profile} time",
}
"""The command that makes a file."""


@dataclass(frozen=True)
class Sources:
    """The inputs of one profile.

    Attributes:
        params: family -> the profile's block of its params.yaml. common: family -> the block that all
        profiles share. cells, costs: family -> cell -> what summary.json and costs.json say of it. timings:
        timings.json of the synthetic family. measured: what costs.json of denoising holds of timings.json, {} where the
        profile takes none. timed: the same of every family. theory: what the files `THEORY` of the theory family hold. data:
        family -> data set -> its facts, from data.json. searches: experiment of denoising -> the record of its equal tuning,
        of those that have one. hashes: name of an input -> SHA-256.
    """

    profile: str
    params: Mapping[str, Mapping[str, Any]]
    common: Mapping[str, Mapping[str, Any]]
    cells: Mapping[str, Mapping[str, Any]]
    costs: Mapping[str, Mapping[str, Any]]
    timings: Mapping[str, Any]
    measured: Mapping[str, Any]
    timed: Mapping[str, Mapping[str, Any]]
    theory: Mapping[str, Any]
    data: Mapping[str, Mapping[str, Any]]
    searches: Mapping[str, Mapping[str, Any]]
    hashes: Mapping[str, str]

    def cell(self, family: str, *parts: str) -> Mapping[str, Any]:
        """A cell of summary.json; raises UserError where the file is older than params.yaml."""
        name = "-".join(parts)
        if name not in self.cells[family]:
            made_by = MADE_BY["summary.json"].format(family=family, profile=self.profile)
            raise UserError(
                f"results/{self.profile}/{family}/summary.json has no {name}: `{made_by}` makes it anew"
            )
        found: Mapping[str, Any] = self.cells[family][name]
        return found

    def distance(self, example: str, method: str, preset: str, steps: int, by: str = "error") -> Estimate:
        """The final distance of a synthetic cell at T = steps, by one of its measures."""
        return ours(self.cell("synthetic", example, method, preset)["summary"][f"T={steps}"][by])

    def accuracy(self, data: str, method: str, iterate: str = "last") -> Estimate:
        """The test accuracy of a denoising cell."""
        return ours(self.cell("denoising", data, method)["summary"][iterate]["test accuracy"])

    def seconds(self, family: str, *parts: str) -> float | None:
        """Processor seconds that training the cell took, None where it is not known."""
        cost = self.costs[family].get("-".join(parts))
        return None if cost is None else float(cost["cpu_seconds"])

    def devices(self, *names: str) -> str:
        """What the cells and timings behind inputs were trained and taken on; of all cells where none is named."""
        trained = {name.partition("/")[0] for name in names if name.endswith(("summary.json", "costs.json"))}
        families = trained & set(self.costs) if names else set(self.costs)
        found = {one["device"] for family in families for one in self.costs[family].values()}
        timings = {"synthetic/timings.json": self.timings, "theory/timings.json": self.theory["timings"]}
        timings |= {f"{family}/costs.json": timed for family, timed in self.timed.items()}
        found |= {one.get("machine", {}).get("device", "") for name, one in timings.items() if name in names}
        return ", ".join(sorted(found - {""}))

    def drawn_from(self, *names: str, by: str | Sequence[str]) -> str:
        """One line: the profile, the short hashes of the named inputs, of the published data and of the code that draws,
        and the devices.

        by: the module that draws, or several; only an edit of a file that it loads changes the line, and so the picture.
        """
        named = [*names, *(name for name in self.hashes if name.startswith("published/"))]
        parts = ", ".join(f"{name} {self.hashes[name][:12]}" for name in named)
        devices = self.devices(*names) if names else ""
        measured = f"; measured on {devices}" if devices else ""
        code = sha256_of_code(*((by,) if isinstance(by, str) else by))
        return f"Drawn from: profile {self.profile}; {parts}; code {code[:12]}{measured}."


def sha256_of_code(*modules: str) -> str:
    """SHA-256 over the files that running the modules loads."""
    return records.sha256_of({path: records.sha256_of_file(ROOT / path) for path in closure(*modules)})


def load(profile: str) -> Sources:
    """All inputs of a profile; raises UserError naming the command for a missing one."""
    params = {family: settings.profile_params(family, profile) for family in FAMILIES}
    common = {family: settings.load_params(family)["common"] for family in FAMILIES}
    hashes: dict[str, str] = {}
    read: dict[tuple[str, str], Any] = {}
    wanted = [(family, file) for family in FAMILIES for file in ("summary.json", "costs.json")]
    for family, file in [*wanted, ("synthetic", "timings.json")]:
        path = records.RESULTS / profile / family / file
        read[family, file] = records.read_json(path, MADE_BY[file].format(family=family, profile=profile))
        hashes[f"{family}/{file}"] = records.sha256_of_file(path)
    data: dict[str, Any] = {}
    for family in preparing.FAMILIES:
        path = records.RESULTS / profile / family / "data.json"
        data[family] = records.read_json(path, MADE_BY["data.json"].format(family=family, profile=profile))["data"]
        hashes[f"{family}/data.json"] = records.sha256_of_file(path)
    theory: dict[str, Any] = {}
    for name in THEORY:
        path = records.RESULTS / profile / "theory" / f"{name}.json"
        theory[name] = records.read_json(path, MADE_BY[name].format(profile=profile))
        hashes[f"theory/{name}.json"] = records.sha256_of_file(path)
    for family in FAMILIES:
        # the profile's own block: another profile's parameters change nothing here
        hashes[f"{family}/params.yaml"] = records.sha256_of([params[family], common[family]])
    found: dict[str, Any] = {}
    for name in filter(searches.is_tuned, params["denoising"].get("search", {})):
        path = searches.place("denoising", profile, name)
        if path.exists():
            found[name] = records.read_json(path, f"python -m pipelines.search denoising {profile} --search {name}")
            hashes[f"denoising/search/{path.name}"] = records.sha256_of_file(path)
    for path in (published.VALUES, published.CURVES):
        hashes[f"published/{path.name}"] = records.sha256_of_file(path)
    return Sources(
        profile=profile,
        params=params,
        common=common,
        cells={family: read[family, "summary.json"]["cells"] for family in FAMILIES},
        costs={family: read[family, "costs.json"]["cells"] for family in FAMILIES},
        timings=read["synthetic", "timings.json"],
        measured=read["denoising", "costs.json"].get("timings", {}),
        timed={family: read[family, "costs.json"].get("timings", {}) for family in FAMILIES},
        theory=theory,
        data=data,
        searches=found,
        hashes=hashes,
    )
