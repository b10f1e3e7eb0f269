"""Every value that MLflow and the audit keep of a small home, compared with what it claims.

A key that the walk does not know fails it: whoever records something new says here how it is checked.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import sqlite3
from datetime import date, datetime, timedelta
from math import isfinite
from typing import Any

import polars as pl
import pytest

from daypart.features.dayparts import DAYPARTS
from daypart.features.tables.schemas import TABLES, TARGETS
from daypart.flows.audit.audit_log import Audit
from daypart.flows.audit.ledger import Ledger
from daypart.flows.config.governance import ROLES
from daypart.flows.files.process import SESSION
from daypart.flows.governance.approval import approve, reject
from daypart.flows.governance.audit_repair import repair
from daypart.flows.governance.promotion import promote, rollback
from daypart.flows.governance.settings_audit import declare
from daypart.flows.governance.signoff import Signoff
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.lineage import publications
from daypart.flows.jobs.rebuild import rebuild
from daypart.flows.jobs.train import TrainRequest, train
from daypart.flows.jobs.tune import Budget, TuneRequest, tune
from daypart.flows.monitoring.monitor import counted, monitor
from daypart.flows.registry.model_files import files_in, own_files
from daypart.forecasting.models.recipe import Recipe
from tests.flows.conftest import MADE_BY, SMALL, World
from tests.flows.governance.test_model_versions import damage, folder, own_folder, sha256

NOW = datetime(2024, 3, 20, 4)
IDENTITY = {"pid": str(os.getpid()), "host": socket.gethostname(), "session": SESSION}
PORTFOLIO = """
segments = { sales = { by = "volume", classes = 2 } }
tiers.top = {}
assign = [{ segment = "volume-2", tier = "top" }]
"""


@pytest.fixture(scope="module")
def home(published_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A home in which every job ran and every kind of record was written."""
    world = World(tmp_path_factory.mktemp("lineage") / "home", published_world.files, published_world.chain)
    shutil.copytree(published_world.home, world.home)
    place, now = world.as_home, iter(NOW + timedelta(hours=n) for n in range(20))
    (world.home / "policy.toml").write_text('[policy]\nretrain = "triggered"\n')
    declare(place, Signoff("engineer", next(now), "first"))
    (world.home / "recipes.toml").write_text("[recipe.top]\n")
    ingest_table(world.as_home, "demand", [world.files / "later.parquet"])
    train(place, Recipe(**SMALL), TrainRequest(("orders",), reason="slipped"), now=next(now))
    monitor(place, now=next(now))
    promote(place, "orders", 2, Signoff("lead", next(now), "seen"))
    (world.home / "portfolio.toml").write_text(PORTFOLIO)
    declare(place, Signoff("analyst", next(now)), ["portfolio.toml"])
    train(place, Recipe(**SMALL), TrainRequest(("sales",)), now=next(now))
    reject(place, "sales.volume-2", Signoff("lead", next(now), "not yet"))
    promote(place, "sales.volume-2", 1, Signoff("engineer", next(now), "ready"))
    approve(place, "sales.volume-2", Signoff("lead", next(now), "agreed"))
    origin = publish(place)
    tune(place, Recipe(**SMALL), TuneRequest(Budget(1), targets=("orders",)), next(now))
    damage(world, "orders", 2)
    publish(place, origin + timedelta(days=1))
    file = own_folder(world, "orders", 2) / "model.json"
    file.write_bytes(file.read_bytes()[:-1])
    rollback(place, "orders", Signoff("analyst", next(now), "too high at lunch"))
    declare(place, Signoff("engineer", next(now), "lost"), ["recipes.toml"])
    Ledger(world.lake, "audit").files()[-1].path.unlink()
    repair(place, Signoff("lead", next(now), "the disk broke"))
    return world


class Walk:
    """Looks at every run, model version and audit record of a home; `seen` are the kinds that there were.

    What was copied from the published home was written by `maker`, the process that made that.
    """

    def __init__(self, home: World) -> None:
        self.maker = json.loads((home.files.parent / MADE_BY).read_text())
        self.home, self.lake, self.registry = home, home.lake, home.registry
        self.runs = {run.info.run_id: run for run in self.registry._call("search_runs", ["1", "2", "3", "4"])}
        rows = Audit(self.lake).records().to_dicts()
        self.records = {row["sequence"]: {**row, "details": json.loads(row["details"])} for row in rows}
        self.forecasts = self.lake.scan("forecasts").collect()
        self.kinds_checked: set[str] = set()

    def all(self) -> set[str]:
        for run in self.runs.values():
            self.run(run)
        for unit in self.registry.aliases():
            for version in self.registry.versions(unit).to_dicts():
                self.version(unit, version)
        for number in sorted(self.records):
            self.record(self.records[number])
        return self.kinds_checked

    def files(self, unit: str, version: int) -> dict[str, bytes]:
        return files_in(folder(self.home, unit, version))

    def model_files(self, run: Any) -> dict[str, bytes]:
        return files_in(self.home.home / "artifacts" / run.info.run_id / "artifacts" / "model")

    def description(self, run: Any) -> dict[str, Any]:
        """What the model of a training says of itself."""
        details: dict[str, Any] = json.loads(own_files(self.model_files(run))["model.json"])
        return details

    def published(self, run: Any) -> pl.DataFrame:
        """The rows that a forecast's run claims to have published."""
        of_run = pl.col("origin_date") == date.fromisoformat(run.data.params["origin"])
        return self.forecasts.filter(of_run, pl.col("target") == run.data.tags["target"])

    def trained_as_of(self, run: Any) -> str:
        """The day after the last demand that a run read."""
        target = run.data.tags["target"].partition(".")[0]
        demand = self.lake.scan("demand", int(run.data.tags["read.demand"])).filter(pl.col(target) > 0)
        last: datetime = demand.select(pl.col("hour_local").max()).collect().item()
        return str(last.date() + timedelta(days=1))

    # Runs

    def run(self, run: Any) -> None:
        job, tags = run.data.tags["job"], run.data.tags
        self.kinds_checked.add(job)
        assert run.info.status == "FINISHED"
        began = datetime.fromtimestamp(run.info.start_time / 1000)
        if job == "monitor":
            self.monitoring(run)
            return
        existing = {t for t in TABLES if self.lake.exists(t) and self.lake.history(t)["written_utc"].min() <= began}
        assert {name for name in tags if name.startswith("read.")} == {f"read.{table}" for table in existing}
        for name, text in tags.items():
            self.tag(run, job, name, text)
        hashes = {name for name in tags if "sha256" in name}
        models = sorted(self.published(run)["model_version"].unique()) if job == "forecast" else []
        several = {f"model.sha256.{name}" for name in models if len(models) > 1}
        assert hashes == (several or {"recipes.sha256" if job == "tune" else "model.sha256"})
        for name, text in run.data.params.items():
            getattr(self, f"{job}_param")(run, name, text)
        for name, value in run.data.metrics.items():
            self.metric(run, job, name, value)

    def tag(self, run: Any, job: str, name: str, text: str) -> None:
        if name.startswith("read."):
            history = self.lake.history(name.removeprefix("read."))
            began = datetime.fromtimestamp(run.info.start_time / 1000)
            assert int(text) == history.filter(pl.col("written_utc") <= began)["version"].max()
        elif name == "model.sha256" and job == "forecast":
            (model,) = self.published(run)["model_version"].unique()
            unit, _, version = model.rpartition("-v")
            assert text == sha256(self.files(unit, int(version)))
        elif name.startswith("model.sha256."):
            unit, _, version = name.removeprefix("model.sha256.").rpartition("-v")
            assert text == sha256(self.files(unit, int(version)))
        elif name in ("model.sha256", "recipes.sha256"):
            assert text == sha256(self.model_files(run))
        elif name == "target":
            assert text in (TARGETS if job != "train" else self.registry.aliases())
        elif name in IDENTITY:
            assert text in (IDENTITY[name], self.maker[name])
        else:
            self.page_tag(run, job, name, text)

    def page_tag(self, run: Any, job: str, name: str, text: str) -> None:
        """What MLflow's page shows of a run."""
        day = run.data.params.get("origin") or run.data.params["as_of"]
        expected = {"job": job, "mlflow.runName": f"{run.data.tags['target']} {day}"}
        expected |= {"mlflow.source.name": f"daypart {job}", "mlflow.source.type": "LOCAL"}
        if name == "mlflow.note.content":
            reasons = [r["details"]["reason"] for r in self.records.values() if r["activity"] == "retrain"]
            assert text in reasons
        else:
            assert name in expected, f"nothing checks the tag {name}"
            assert text == expected[name]

    def monitoring(self, run: Any) -> None:
        """The figures of the nights that a version published, in a run of its own."""
        version, first = run.data.params["model_version"], run.data.params["origin"]
        assert (run.info.experiment_id, run.info.run_name) == ("3", f"{version} {first}")
        tallied = counted(self.lake, self.lake.scan("tallies").filter(pl.col("model_version") == version)).collect()
        assert date.fromisoformat(first) == tallied["origin_date"].min()
        day = tallied.filter(pl.col("lead_days") == 0).sort("origin_date")
        logged = self.registry._call("get_metric_history", run.info.run_id, "accuracy_bps/first_day")
        steps, values = [metric.step for metric in logged], [metric.value for metric in logged]
        assert steps == [(origin - date(1970, 1, 1)).days for origin in day["origin_date"].unique().sort()]
        nights = day.group_by("origin_date", maintain_order=True).agg(pl.col("error", "actual").sum())
        assert values == pytest.approx((1e4 * (1 - nights["error"] / nights["actual"])).to_list())
        for name, value in run.data.metrics.items():
            assert isfinite(value)
            assert re.fullmatch(
                r"(accuracy|incumbent|bias)_bps/first_(day|week)|coverage/first_(day|week)|decision/\w+", name
            )
        decision = self.lake.scan("decisions").filter(pl.col("model_version") == version).collect().row(0, named=True)
        assert run.data.tags["decision"] == decision["reason"]
        assert run.data.metrics["decision/retrain"] == float(decision["retrain"])

    def train_param(self, run: Any, name: str, text: str) -> None:
        description = self.description(run)
        assert description["target"] == run.data.tags["target"].partition(".")[0]
        if name == "as_of":
            assert text == description["as_of"]
            assert text == self.trained_as_of(run)
            return
        assert name in description["recipe"], f"nothing checks the param {name}"
        self.setting(description["recipe"][name], text)

    def setting(self, value: object, text: str) -> None:
        assert text == (value if isinstance(value, str) else json.dumps(value))

    def forecast_param(self, run: Any, name: str, text: str) -> None:
        rows = self.published(run)
        models = set(rows["model_version"])
        match name:
            case "origin":
                assert rows.height
                assert (rows["business_date"].min(), rows["lead_days"].min()) == (date.fromisoformat(text), 0)
            case "model_version":
                unit = run.data.tags["target"]
                assert models == {f"{unit}-v{text}"} if text.isdecimal() else text == f"{len(models)} models"
            case "published_version":
                (publication,) = (candidate for version, candidate in publications(self.lake) if version == int(text))
                part = publication.targets[run.data.tags["target"]]
                assert publication.origin.isoformat() == run.data.params["origin"]
                assert publication.reads == {
                    tag.removeprefix("read."): int(v) for tag, v in run.data.tags.items() if tag.startswith("read.")
                }
                assert part.rows == rows.height == run.data.metrics["rows"]
                assert (part.model_version, set(part.models)) == (run.data.params["model_version"], models)
                assert part.refused == json.loads(run.data.params.get("refused", "[]"))
                for name, sha in part.models.items():
                    assert sha in (run.data.tags.get("model.sha256"), run.data.tags.get(f"model.sha256.{name}"))
            case "refused":
                (line,) = json.loads(text)
                assert re.fullmatch(r"orders: version 2 of orders is damaged, .*; v1 serves in its place", line)
                assert models == {"orders-v1"}
            case _:
                raise AssertionError(f"nothing checks the param {name}")

    def tune_param(self, run: Any, name: str, text: str) -> None:
        recipe = Recipe(**SMALL).model_dump(mode="json")
        match name:
            case "as_of":
                assert text == self.trained_as_of(run)
            case "first_origin" | "last_origin":
                first: datetime = self.lake.scan("demand").select(pl.col("hour_local").min()).collect().item()
                assert str(first.date()) < text < run.data.params["as_of"]
            case "study":
                assert (self.home.home / "tune" / f"{text}.db").is_file()
            case "tried":
                assert float(text) == run.data.metrics["trials"]
            case "tier" | "proposed" | "reason":
                expected = {"tier": "standard", "proposed": "{}"}
                assert text == expected.get(name, "no trial is better than the present settings: they stand")
            case _:
                assert name in recipe, f"nothing checks the param {name}"
                self.setting(recipe[name], text)

    def metric(self, run: Any, job: str, name: str, value: float) -> None:
        assert isfinite(value)
        metrics, tuned = run.data.metrics, re.fullmatch("(hour|day|mean)_(before|best)_wape_bps", name)
        description = self.description(run)["trained_on"] if job == "train" else {}
        verdicts = [r["details"]["figures"] for r in self.records.values() if r["activity"] == "retrain"]
        if name in description:
            assert value == description[name]
        elif "/" in name:
            self.segment_metric(run, name, value)
        elif measured := re.fullmatch(r"([a-z]+)_(wall_seconds|cpu_seconds|peak_gib|rows)", name):
            self.measured(run, job, *measured.groups(), value)
        elif name == "cost_dollars":
            prices = self.registry.settings.prices
            memory = metrics["total_wall_seconds"] * metrics["total_peak_gib"] * prices.gib_hour
            assert value >= (metrics["total_cpu_seconds"] * prices.cpu_hour + memory) / 3600
        elif job == "forecast":
            assert (name, value) == ("rows", self.published(run).height), f"nothing checks the metric {name}"
        elif job == "tune":
            assert tuned or name in ("trials", "pruned", "gain_bps", "at_least_bps"), f"nothing checks {name}"
            best = metrics[name.replace("before", "best")]
            assert value == (best if tuned else float(name == "trials"))
        else:
            assert any(figures.get(name) == value for figures in verdicts), f"nothing checks the metric {name}"

    def segment_metric(self, run: Any, name: str, value: float) -> None:
        """A segment's figure as the card has it, and the accuracy of a member in the latest fold."""
        figure, *segment = name.split("/")
        if figure == "member_accuracy_bps":
            assert segment[0] in {row["member"] for row in self.description(run)["weights"]}
            assert 0 < value < 10_000
            return
        text = (self.home.home / "artifacts" / run.info.run_id / "artifacts" / "card" / "card.md").read_text()
        text = text.partition("## Accuracy by segment")[2].partition("## Bias")[0]
        (row,) = re.findall(
            rf"^\| {segment[0]} \| {segment[1]} \| [\d,]+ \| (\S+) \| \S+ \| \S+ \| (\S+) \|", text, re.M
        )
        shown = dict(zip(("accuracy_bps", "bias_bps"), row, strict=True))[figure]
        assert round(value) == int(shown.replace(",", ""))

    def measured(self, run: Any, job: str, stage: str, what: str, value: float) -> None:
        origins = self.published(run)["origin_date"].unique() if job == "forecast" else []
        night = self.forecasts.filter(pl.col("origin_date").is_in(origins))
        if what == "rows" and (job, stage) in (("forecast", "publish"), ("forecast", "load"), ("train", "matrix")):
            counts = {"publish": night.height, "load": night["model_version"].n_unique()}
            assert value == (counts[stage] if job == "forecast" else run.data.metrics["rows"])
        elif what == "wall_seconds":
            assert 0 < value <= run.data.metrics["total_wall_seconds"]
        else:
            assert value >= 0

    # Model versions

    def version(self, unit: str, row: dict[str, Any]) -> None:
        run = self.runs[row["run_id"]]
        assert (run.data.tags["job"], run.data.tags["target"]) == ("train", unit)
        (*_, trained) = (r for r in self.earlier_records(unit, "retrain") if r["details"]["version"] == row["version"])
        moves = [r["details"]["version"] for r in self.earlier_records(unit) if r["details"].get("state") == "done"]
        assert ("champion" in row["aliases"]) == (row["version"] == moves[-1])
        for name, text in json.loads(row["tags"]).items():
            match name:
                case "gate":
                    assert text == trained["details"]["reason"]
                case "as_of":
                    assert text == run.data.params["as_of"]
                case "tier":
                    assert text == ("top" if unit == "sales.volume-2" else "standard")
                case "unit":
                    assert text == unit
                case "gate_outcome":
                    assert text == ("passed" if trained["details"]["promote"] else "refused")
                case "segment":
                    assert text == unit.partition(".")[2]
                case _:
                    assert name.startswith("read."), f"nothing checks the tag {name}"
                    assert text == run.data.tags[name]

    # Audit records

    def earlier_records(self, unit: str, activity: str | None = None, before: int = 10**9) -> list[dict[str, Any]]:
        """Records of a unit, or of one activity, before a number."""
        chosen = [r for r in self.records.values() if r["unit"] == unit and r["sequence"] < before]
        return [r for r in chosen if activity in (None, r["activity"])]

    def record(self, row: dict[str, Any]) -> None:
        kinds = {"retrain": "retrain", "decide": "decide", "repair_audit": "repair"}
        kinds |= dict.fromkeys(("change_settings", "change_tier"), "declared")
        kind = kinds.get(row["activity"], "move")
        self.kinds_checked.add(row["activity"] + ("" if kind != "move" else f" {row['details']['state']}"))
        assert row["role"] in ROLES
        assert row["unit"] in ({""} if kind in ("declared", "repair") else self.registry.aliases())
        assert row["at_utc"] in (datetime.combine(self.home.origin, datetime.min.time()),) or row["at_utc"] >= NOW
        for name, value in row["details"].items():
            getattr(self, kind)(row, name, value)

    def retrain(self, row: dict[str, Any], name: str, value: Any) -> None:
        details, unit = row["details"], row["unit"]
        description = self.registry.describe(unit, details["version"])
        match name:
            case "version":
                assert value in self.registry.versions(unit)["version"]
            case "sha256":
                assert value == sha256(self.files(unit, details["version"]))
            case "as_of":
                assert value == description["params"]["as_of"]
            case "reads":
                assert {f"read.{t}": str(v) for t, v in value.items()}.items() <= description["tags"].items()
            case "promote":
                after = [r for r in self.earlier_records(unit) if r["sequence"] == row["sequence"] + 1]
                assert value == any(r["details"].get("reason") == details["reason"] for r in after)
            case "reason":
                assert value == description["tags"]["gate"]
            case "figures":
                assert value.items() <= description["metrics"].items()
            case "segments":
                for segment in value:
                    self.segment(segment)
            case "asked":
                assert value == "slipped"
            case _:
                self.undeclared(row, name, value)

    def segment(self, row: dict[str, Any]) -> None:
        self.kinds_checked.add("segment")
        stores = self.lake.scan("stores").collect()
        allowed = {"daypart": [*DAYPARTS, "other"], "tier": ["standard", "top"]}
        assert row.pop("segment") in (allowed.get(row["by"]) or stores[row["by"]].to_list()), row
        del row["by"]
        assert row.pop("worse") in (True, False)
        ours, theirs, gain = (row.pop(name) for name in ("challenger_bps", "champion_bps", "gain_bps"))
        assert gain == pytest.approx(theirs - ours)
        assert row.pop("lower_bps") <= gain <= row.pop("upper_bps")
        assert row == {}, "nothing checks this of a segment"

    def undeclared(self, row: dict[str, Any], name: str, value: Any) -> None:
        assert name == "undeclared", f"nothing checks {name} of {row['activity']}"
        declared = {
            r["details"]["file"]
            for r in self.earlier_records("")
            if r["sequence"] < row["sequence"] and "file" in r["details"]
        }
        assert value == ["recipes.toml"]
        assert not declared & set(value)

    def move(self, row: dict[str, Any], name: str, value: Any) -> None:
        details, unit, before = row["details"], row["unit"], self.earlier_records(row["unit"], before=row["sequence"])
        versions_done = [r["details"]["version"] for r in before if r["details"].get("state") == "done"]
        requests = [r["sequence"] for r in before if r["details"].get("state") == "asked"]
        gates = [
            r["details"] for r in before if r["activity"] == "retrain" and r["details"]["version"] == details["version"]
        ]
        match name:
            case "state":
                assert value in ("asked", "begun", "done", "rejected")
            case "version":
                assert value in self.registry.versions(unit)["version"]
            case "does":
                assert row["activity"] in (value, "approve")
            case "was":
                assert value == (versions_done[-1] if versions_done else None)
            case "begun":
                began = self.records[value]["details"]
                assert (began["state"], began["version"], self.records[value]["unit"]) == (
                    "begun",
                    details["version"],
                    unit,
                )
            case "request":
                assert value == (requests[-1] if row["activity"] in ("approve", "reject") else None)
            case "waits_for":
                assert value == "lead"
            case "process":
                assert value in (IDENTITY, self.maker)
            case "override":
                assert value is not gates[-1]["promote"]
            case "gate":
                assert value == gates[-1]["reason"]
            case _:
                assert name == "reason", f"nothing checks {name} of {row['activity']}"
                texts = {"seen", "not yet", "ready", "agreed", "too high at lunch"}
                assert value in ({gates[-1]["reason"]} if row["role"] == "automation" else texts)

    def decide(self, row: dict[str, Any], name: str, value: Any) -> None:
        if name == "undeclared":
            self.undeclared(row, name, value)
            return
        decision = self.lake.scan("decisions").filter(pl.col("unit") == row["unit"]).collect().row(0, named=True)
        decision["decided_on"], decision["figures"] = str(decision["decided_on"]), json.loads(decision["figures"])
        assert name in ("retrain", "cause", "reason", "figures", "model_version", "decided_on"), (
            f"nothing checks {name}"
        )
        assert value == decision[name]

    def declared(self, row: dict[str, Any], name: str, value: Any) -> None:
        text = (self.home.home / row["details"]["file"]).read_text()
        expected = {
            **{"text": text, "sha256": hashlib.sha256(text.encode()).hexdigest(), "before": None},
            **{"file": "portfolio.toml" if row["activity"] == "change_tier" else "policy.toml"},
            **{"reason": "" if row["activity"] == "change_tier" else "first"},
        }
        assert name in expected, f"nothing checks {name} of {row['activity']}"
        assert value == expected[name]

    def repair(self, row: dict[str, Any], name: str, value: Any) -> None:
        (missing,) = set(range(1, row["sequence"])) - set(self.records)
        match name:
            case "missing":
                assert value == [[missing, missing]]
            case "faults":
                (fault,) = value
                (file,) = (f for f in Ledger(self.lake, "audit").files() if f.first == missing)
                assert fault == f"record {missing}: the file {file.path.name} is gone or changed"
            case "noted":
                head = f"{missing}:{row['previous']}"
                assert value == {"the table's log": head, "the registry": head}
            case "content":
                records = Audit(self.lake).records().filter(pl.col("sequence") < row["sequence"]).to_dicts()
                text = json.dumps(records, sort_keys=True, separators=(",", ":"), default=str)
                assert value == hashlib.sha256(text.encode()).hexdigest()
            case "champions":
                aliases = self.registry.aliases().items()
                assert value == {unit: versions["champion"] for unit, versions in aliases if "champion" in versions}
            case _:
                assert (name, value) == ("reason", "the disk broke"), f"nothing checks {name}"


def test_every_value_is_what_it_claims(home: World) -> None:
    checked = Walk(home).all()
    expected = {
        *(
            "train",
            "forecast",
            "monitor",
            "tune",
            "retrain",
            "decide",
            "change_settings",
            "change_tier",
            "repair_audit",
            "segment",
        ),
        *(f"promote {state}" for state in ("asked", "begun", "done")),
        *("approve begun", "reject rejected", "rollback begun", "rollback done"),
    }
    assert checked == expected
    for origin in Walk(home).forecasts["origin_date"].unique():
        assert rebuild(home.as_home, origin).same


LIES = {
    "the hash of nothing": "update {tags} set value = '"
    + hashlib.sha256().hexdigest()
    + "' where key = 'model.sha256'",
    "another table version": "update {tags} set value = '7' where key = 'read.hours'",
    "another model": "update {params} set value = '9' where key = 'model_version'",
    "another date": "update {params} set value = '2024-03-07' where key = 'as_of'",
    "another count": "update {metrics} set value = value + 1 where key = 'rows'",
    "a tag that nobody checks": "update {tags} set key = 'model.md5' where key = 'session'",
    "a param that nobody checks": "update {params} set key = 'hue' where key = 'seed'",
    "a metric that nobody checks": "update {metrics} set key = 'hue' where key = 'stores'",
}


@pytest.mark.parametrize("lie", LIES)
def test_the_walk_finds_what_is_false_and_what_it_does_not_know(home: World, lie: str) -> None:
    tables = {"tags": "tags", "params": "params", "metrics": "latest_metrics"}
    table = next(name for name in tables if f"{{{name}}}" in LIES[lie])
    with sqlite3.connect(home.registry.settings.mlflow_database) as database:
        stored_rows = database.execute(f"select rowid, key, value from {tables[table]}").fetchall()
        database.execute(LIES[lie].format(**tables))
    try:
        with pytest.raises(AssertionError):
            Walk(home).all()
    finally:
        with sqlite3.connect(home.registry.settings.mlflow_database) as database:
            restore = f"update {tables[table]} set key = ?2, value = ?3 where rowid = ?1"
            database.executemany(restore, stored_rows)
