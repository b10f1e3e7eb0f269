import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.features.money import Money, with_unit
from daypart.features.simulator import ChainSpec, simulate
from daypart.flows.audit.audit_log import Audit
from daypart.flows.config.settings import Settings
from daypart.flows.home import Home
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.jobs.train import TrainRequest, train
from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring.monitor import monitor
from daypart.flows.registry.registry import Registry
from daypart.forecasting.lifecycle.retrain import Decision
from daypart.forecasting.metrics import accuracy
from daypart.forecasting.models.recipe import Recipe
from tests.flows.conftest import SMALL

LEVELS = ("hour", "daypart", "day")


def by_hand(world: Any) -> pl.DataFrame:
    """Published rows beside what came, joined one cell at a time.

    0 on an open day, nothing on a closed one nor after the store's last hour.
    """
    demand = {(r["store_id"], r["hour_utc"]): r for r in world.lake.scan("demand").collect().to_dicts()}
    opened = {
        (r["store_id"], r["hour_local"].date(), target)
        for r in demand.values() for target in ("orders", "sales") if (r[target] or 0) > 0
    }  # fmt: skip
    last: dict[str, Any] = {}
    for store, hour in demand:
        last[store] = max(hour, last.get(store, hour))
    rows = []
    for row in world.forecasts().to_dicts():
        hour = demand.get((row["store_id"], row["hour_utc"]), {})
        is_open = (row["store_id"], row["hour_local"].date(), row["target"]) in opened
        is_open = is_open and row["hour_utc"] <= last[row["store_id"]]
        rows.append({**row, "actual": (hour.get(row["target"]) or 0.0) if is_open else None})
    return pl.DataFrame(rows, schema={**world.forecasts().schema, "actual": pl.Float64}, infer_schema_length=None)


@pytest.fixture
def watched(world: Any, daypart: Any) -> Any:
    assert daypart(world.home, "ingest", "demand", world.files / "later.parquet").status == 0
    return world


def test_before_any_actual_there_is_nothing_to_score(world: Any, daypart: Any) -> None:
    before = world.versions()
    output = daypart(world.home, "monitor", "--json").json
    assert output["scores"] == []
    assert {d["retrain"] for d in output["decisions"].values()} == {False}
    human = daypart(world.home, "monitor").out
    assert [line.split(":")[0] for line in human.splitlines()] == ["orders", "sales"]
    assert world.versions() == before


def test_scores_are_those_of_a_frame_joined_by_hand(watched: Any, daypart: Any) -> None:
    output = daypart(watched.home, "monitor", "--json").json
    chain = Chain.newest(watched.lake)
    # Stores in the United States and in Canada: sales count in orders.
    units = Money.from_demand(chain, "sales").units(chain.last_day() + timedelta(days=1))  # type: ignore[operator]
    frame = with_unit(by_hand(watched), chain.stores, units)
    assert len(output["scores"]) == 6
    for row in output["scores"]:
        score = accuracy.score(frame.filter(pl.col("target") == row["target"]), row["level"]).row(0, named=True)
        assert score["actual"] > 0
        for name in ("cells", "actual", "accuracy_bps", "incumbent_bps", "gain_bps", "bias_bps", "coverage"):
            assert (row[name] is None) == (score[name] is None) == (name == "coverage" and row["level"] != "hour")
            assert row[name] is None or row[name] == pytest.approx(score[name], rel=1e-9), name
    stored = watched.lake.scan("scores").collect().sort("store_id", "target", "hour_utc")
    expected_rows = frame.filter(pl.col("actual").is_not_null()).sort("store_id", "target", "hour_utc")
    assert stored.equals(expected_rows.with_columns(idle=pl.lit(value=False)).select(stored.columns))
    assert output["left_out"] == {"orders": 0, "sales": 0}


def test_hours_that_a_store_has_not_reported_yet_are_not_scored(world: Any, daypart: Any, tmp_path: Any) -> None:
    """One store reports two days and a morning, another one day, the rest nothing; the night brings the rest, and
    the begun day is scored only then."""
    later, stores = pl.read_parquet(world.files / "later.parquet"), sorted(world.forecasts()["store_id"].unique())
    days = [world.origin + timedelta(days=k) for k in range(3)]
    date, hour = pl.col("hour_local").dt.date(), pl.col("hour_local").dt.hour()
    begun = (date < days[2]) | ((date == days[2]) & (hour < 12))
    is_reported = (pl.col("store_id") == stores[0]) & begun | (pl.col("store_id") == stores[1]) & (date < days[1])
    later.filter(is_reported).write_parquet(tmp_path / "sent.parquet")
    assert daypart(world.home, "ingest", "demand", tmp_path / "sent.parquet").status == 0
    assert daypart(world.home, "monitor").status == 0
    scores = world.lake.scan("scores").collect()
    assert set(scores["store_id"]) == set(stores[:2])
    last = dict(scores.group_by("store_id").agg(pl.col("business_date").max()).iter_rows())
    assert last == {stores[0]: days[1], stores[1]: days[0]}
    assert daypart(world.home, "ingest", "demand", world.files / "later.parquet").status == 0
    assert daypart(world.home, "monitor").status == 0
    last_day_scores = world.lake.scan("scores").filter(date == days[2]).collect()
    assert last_day_scores.filter(pl.col("store_id") == stores[0])["hour_local"].dt.hour().max() == 23


def test_monitoring_again_writes_no_new_version(watched: Any, daypart: Any) -> None:
    first = daypart(watched.home, "monitor", "--json").json
    before = watched.versions()
    assert before["scores"] == 0
    again = daypart(watched.home, "monitor", "--json").json
    assert again == {**first, "news": []}
    assert watched.versions() == before


def decided(world: Any) -> list[dict[str, Any]]:
    """Records of decisions, with their details."""
    rows = Audit(world.lake).records().filter(pl.col("activity") == "decide").to_dicts()
    return [{**row, **json.loads(row["details"])} for row in rows]


def test_every_decision_is_audited_once_in_one_commit(watched: Any) -> None:
    before, now = watched.lake.version("audit"), datetime(2024, 3, 20, 12, tzinfo=UTC)
    first = monitor(watched.as_home, now=now).decisions
    rows = decided(watched)
    on = str(watched.origin + timedelta(days=14))
    assert {row["unit"]: Decision(row["retrain"], row["reason"], row["cause"], row["figures"]) for row in rows} == first
    for row in rows:
        fields = row["role"], row["at_utc"], row["decided_on"], row["model_version"]
        assert fields == ("automation", datetime(2024, 3, 20, 12), on, f"{row['unit']}-v1")
    assert watched.lake.version("audit") == before + 1
    assert monitor(watched.as_home).decisions == first
    assert watched.lake.version("audit") == before + 1
    assert Audit(watched.lake, watched.registry).verify().faults == []


def test_a_late_correction_that_changes_a_decision_is_audited_too(watched: Any, tmp_path: Any) -> None:
    monitor(watched.as_home)
    before = decided(watched)
    assert [(row["unit"], row["retrain"]) for row in before][0] == ("orders", False)
    assert {row["at_utc"] for row in before} == {datetime.combine(watched.origin + timedelta(days=14), time())}
    rows = watched.forecasts().filter(pl.col("target") == "orders", pl.col("incumbent") > 0)
    moved = rows.select("store_id", "hour_local", "hour_utc", orders=pl.col("incumbent").round(0) + 0.0)
    watched.lake.upsert("demand", moved.filter(pl.col("orders") > 0))
    decisions = monitor(watched.as_home).decisions
    later = decided(watched)[len(before) :]
    assert [(row["unit"], row["reason"]) for row in later] == [("orders", decisions["orders"].reason)]
    assert later[0]["reason"] != before[0]["reason"]


def test_a_correction_of_actuals_is_scored_anew(watched: Any, daypart: Any, tmp_path: Any) -> None:
    assert daypart(watched.home, "monitor").status == 0
    row = watched.lake.scan("scores").filter(pl.col("target") == "orders", pl.col("actual") > 0).collect()
    row = row.sort("store_id", "hour_utc").row(0, named=True)
    file = tmp_path / "demand.csv"
    file.write_text(f"store_id,hour_utc,orders\n{row['store_id']},{row['hour_utc']},{row['actual'] + 500:.0f}\n")
    assert daypart(watched.home, "ingest", "demand", file).status == 0
    assert daypart(watched.home, "monitor").status == 0
    same = pl.all_horizontal(pl.col(k) == row[k] for k in ("store_id", "target", "origin_date", "hour_utc"))
    assert watched.lake.scan("scores").filter(same).collect()["actual"].to_list() == [row["actual"] + 500]
    assert watched.lake.version("scores") == 1


def test_the_decision_is_one_line_with_its_reason(watched: Any, daypart: Any) -> None:
    decisions = daypart(watched.home, "monitor", "--json").json["decisions"]
    assert set(decisions) == {"orders", "sales"}
    human = daypart(watched.home, "monitor").out.splitlines()
    for target, decision in decisions.items():
        assert f"{target}: {decision['reason']}" in human
        assert decision["reason"].startswith("retrain" if decision["retrain"] else "no retrain")
    assert sum(line.split()[:2] == ["orders", level] for line in human for level in LEVELS) == 3


def test_a_chain_whose_hours_change_is_to_be_retrained(world: Any, daypart: Any, tmp_path: Any) -> None:
    """Days sell what was forecast, but every other hour more and the others less."""
    rows = world.forecasts().filter(pl.col("target") == "orders", pl.col("forecast") > 0)
    bent = pl.col("forecast") * pl.when(pl.col("hour_local").dt.hour() % 2 == 0).then(1.4).otherwise(0.6)
    moved = rows.select("store_id", "hour_utc", orders=bent.round(0))
    moved.filter(pl.col("orders") > 0).write_parquet(tmp_path / "moved.parquet")
    assert daypart(world.home, "ingest", "demand", tmp_path / "moved.parquet").status == 0
    decision = daypart(world.home, "monitor", "--json").json["decisions"]["orders"]
    assert decision["retrain"] is True, decision["reason"]


def test_an_origin_known_for_long_is_left_as_it_was_scored(watched: Any, daypart: Any, tmp_path: Any) -> None:
    """A month later only what may still change is looked at; an origin that was never scored is always due."""
    late = watched.files / "later.parquet"
    month = pl.read_parquet(late).drop("hour_local").with_columns(pl.col("hour_utc") + timedelta(days=28))
    month.write_parquet(tmp_path / "month.parquet")
    assert daypart(watched.home, "ingest", "demand", tmp_path / "month.parquet").status == 0
    assert daypart(watched.home, "monitor").status == 0
    before = watched.lake.version("scores")
    doubled = pl.read_parquet(late).with_columns(orders=pl.col("orders") * 2)
    doubled.write_parquet(tmp_path / "doubled.parquet")
    assert daypart(watched.home, "ingest", "demand", tmp_path / "doubled.parquet").status == 0
    assert daypart(watched.home, "monitor").status == 0
    assert before == watched.lake.version("scores") == 0


def test_an_outage_is_a_data_fault_and_never_a_retrain(world: Any, daypart: Any, tmp_path: Any) -> None:
    """One store of four sends half of its hours, then nothing; the others' demand is unlike any forecast."""
    later, store = pl.read_parquet(world.files / "later.parquet"), "S0002"
    day, hour = pl.col("hour_local").dt.date(), pl.col("hour_local").dt.hour()
    gap = (day > world.origin + timedelta(days=9)) | ((day > world.origin + timedelta(days=6)) & (hour < 13))
    rows = later.filter(~((pl.col("store_id") == store) & gap)).with_columns(orders=pl.col("orders") * (1 + hour % 2))
    rows.write_parquet(tmp_path / "sent.parquet")
    assert daypart(world.home, "ingest", "demand", tmp_path / "sent.parquet").status == 0
    output = daypart(world.home, "monitor", "--json").json
    kinds = {fault["kind"]: fault["where"] for fault in output["faults"]["orders"]}
    assert kinds["missing stores"] == [store]
    assert kinds["missing hours"] == [store]
    decision = output["decisions"]["orders"]
    assert (decision["retrain"], decision["cause"]) == (False, "data fault")
    assert "data fault: no demand of S0002" in daypart(world.home, "monitor").out
    stored = world.lake.scan("decisions").filter(pl.col("unit") == "orders").collect().row(0, named=True)
    assert stored["reason"] == decision["reason"]


def test_figures_by_groups_are_those_of_each_alone(watched: Any, daypart: Any) -> None:
    scores = daypart(watched.home, "monitor", "--by", "region", "--by", "daypart", "--json").json["scores"]
    stores = watched.lake.scan("stores").select("store_id", "region").collect()
    frame = by_hand(watched).join(stores, on="store_id")
    assert {row["level"] for row in scores} == {"hour", "daypart"}
    for row in scores:
        same = (pl.col(name).eq_missing(pl.lit(row[name])) for name in ("target", "region", "daypart"))
        score = accuracy.score(frame.filter(*same), row["level"]).row(0, named=True)
        for name in ("cells", "accuracy_bps", "gain_bps", "bias_bps", "floor_bps"):
            assert row[name] == (score[name] if score[name] is None else pytest.approx(score[name], rel=1e-9)), name


def test_after_missed_nights_what_was_published_last_is_the_evidence(tmp_path: Path) -> None:
    """Twelve stores, one forecast, and two weeks of nights without another."""
    spec = ChainSpec(stores=12, days=120, seed=4, issues_days=0, observed_days=0)
    chain, origin = simulate(spec).tables, spec.end - timedelta(days=14)
    lake, registry = Lake(tmp_path / "lake"), Registry(Settings(home=tmp_path))
    lake.upsert("stores", chain["stores"])
    lake.upsert("demand", chain["demand"].filter(pl.col("hour_local") < origin))
    train(Home(registry.settings), Recipe(weather="none", **SMALL), TrainRequest(targets=("orders",)))
    publish(Home(registry.settings))
    lake.upsert("demand", chain["demand"])
    decision = monitor(Home(registry.settings)).decisions["orders"]
    assert decision.figures["store_weeks"] == 12, decision.reason


def without_a_day(world: Any, folder: Any, day: date) -> Any:
    """The demand that came later, but for a day of S0001."""
    later = pl.read_parquet(world.files / "later.parquet")
    is_missing = (pl.col("store_id") == "S0001") & (pl.col("hour_local").dt.date() == day)
    assert later.filter(is_missing)["orders"].sum() > 0
    later.filter(~is_missing).write_parquet(folder / "idle.parquet")
    return folder / "idle.parquet"


def test_a_day_on_which_an_open_store_sold_nothing_costs_its_forecast_until_a_closure_says_why(
    world: Any, daypart: Any, tmp_path: Any
) -> None:
    day = world.origin + timedelta(days=3)
    full_home = shutil.copytree(world.home, tmp_path / "whole")
    assert daypart(full_home, "ingest", "demand", world.files / "later.parquet").status == 0
    sound = daypart(full_home, "monitor", "--json").json
    assert daypart(world.home, "ingest", "demand", without_a_day(world, tmp_path, day)).status == 0
    idle = daypart(world.home, "monitor", "--json").json
    assert idle["left_out"] == {"orders": 0, "sales": 0}
    assert [row["cells"] for row in idle["scores"]] == [row["cells"] for row in sound["scores"]]
    idle_rows = world.lake.scan("scores").filter(pl.col("idle")).collect()
    assert set(idle_rows.select("store_id", pl.col("hour_local").dt.date()).iter_rows()) == {("S0001", day)}
    assert idle_rows["actual"].unique().to_list() == [0.0]
    idle_forecast = idle_rows.filter(pl.col("target") == "orders")["forecast"].sum()
    (hour,) = (row for row in idle["scores"] if (row["target"], row["level"]) == ("orders", "hour"))
    rows = world.lake.scan("scores").filter(pl.col("target") == "orders", ~pl.col("idle")).collect()
    error = (rows["forecast"] - rows["actual"]).abs().sum() + idle_forecast
    assert hour["accuracy_bps"] == pytest.approx(1e4 * (1 - error / rows["actual"].sum()), rel=1e-9)
    # What a lost day of rows or a shut store costs is no evidence against the model.
    assert (
        idle["decisions"]["orders"]["figures"]["store_weeks"] == sound["decisions"]["orders"]["figures"]["store_weeks"]
    )
    (tmp_path / "closures.csv").write_text(f"store_id,date,reason\nS0001,{day},burst pipe\n")
    assert daypart(world.home, "ingest", "closures", tmp_path / "closures.csv").status == 0
    output = daypart(world.home, "monitor", "--json").json
    assert output["left_out"] == {"orders": 1, "sales": 1}
    rows = world.lake.scan("scores").filter(pl.col("store_id") == "S0001", pl.col("hour_local").dt.date() == day)
    assert rows.select(pl.col("actual").is_null().all(), ~pl.col("idle").any()).collect().row(0) == (True, True)
    before = world.versions()
    assert "store-days left out: 1 of orders, 1 of sales: forecast as open" in daypart(world.home, "monitor").out
    assert world.versions() == before


def test_days_left_out_come_to_the_same_night_by_night(world: Any, daypart: Any, tmp_path: Any) -> None:
    day, date = world.origin + timedelta(days=3), pl.col("hour_local").dt.date()
    (tmp_path / "closures.csv").write_text(f"store_id,date\nS0001,{day}\n")
    assert daypart(world.home, "ingest", "closures", tmp_path / "closures.csv").status == 0
    file = without_a_day(world, tmp_path, day)
    once = replace(world, home=shutil.copytree(world.home, tmp_path / "once"))
    for last in (2, 4):
        part = pl.read_parquet(file).filter(date <= world.origin + timedelta(days=last))
        part.write_parquet(tmp_path / "part.parquet")
        assert daypart(world.home, "ingest", "demand", tmp_path / "part.parquet").status == 0
        assert daypart(world.home, "monitor").status == 0
    for home in (world.home, once.home):
        assert daypart(home, "ingest", "demand", file).status == 0
        assert daypart(home, "monitor", "--json").json["left_out"] == {"orders": 1, "sales": 1}
    assert all(one.equals(other) for one, other in zip(stored_tables(world), stored_tables(once), strict=True))


def test_an_unknown_group_is_refused(watched: Any, daypart: Any) -> None:
    result = daypart(watched.home, "monitor", "--by", "colour")
    assert result.status == 2
    assert "--by is 'colour': expected store, region" in result.err


def stored_tables(world: Any) -> list[pl.DataFrame]:
    keys = {"scores": ["hour_utc"], "tallies": ["date", "daypart"]}
    return [
        world.lake.scan(name).collect().sort("store_id", "target", "origin_date", *key) for name, key in keys.items()
    ]


def test_nights_that_were_missed_come_to_the_same(world: Any, daypart: Any, tmp_path: Any) -> None:
    """Demand comes day by day, monitored each time, or at once."""
    shutil.copytree(world.home, tmp_path / "missed")
    missed, later = replace(world, home=tmp_path / "missed"), pl.read_parquet(world.files / "later.parquet")
    day = pl.col("hour_local").dt.date()
    for number, (_, part) in enumerate(later.group_by(day, maintain_order=True)):
        if number % 4 == 0:
            ingested = later.filter(day <= part["hour_local"][0].date())
            ingested.write_parquet(tmp_path / "come.parquet")
            assert daypart(world.home, "ingest", "demand", tmp_path / "come.parquet").status == 0
            assert daypart(world.home, "monitor").status == 0
    for home in (world.home, missed.home):
        assert daypart(home, "ingest", "demand", world.files / "later.parquet").status == 0
        assert daypart(home, "monitor").status == 0
    assert all(one.equals(other) for one, other in zip(stored_tables(world), stored_tables(missed), strict=True))


def test_a_monitor_that_dies_between_two_tables_is_made_up_for(
    watched: Any, daypart: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(watched.home, tmp_path / "whole")
    intact = replace(watched, home=tmp_path / "whole")
    upsert = Lake.upsert

    def dies(lake: Lake, table: str, rows: Any) -> Any:
        if table == "scores":
            raise OSError("gone")
        return upsert(lake, table, rows)

    def monitored(home: Path) -> int:
        return int(daypart(home, "monitor").status)

    for doubled in (False, True):
        if doubled:
            forecasts = watched.forecasts().with_columns(pl.col("forecast") * 2)
            for world in (watched, intact):
                world.lake.replace("forecasts", forecasts, watched.origin)
        with monkeypatch.context() as patched:
            patched.setattr(Lake, "upsert", dies)
            assert monitored(watched.home) == 1
        assert (monitored(watched.home), monitored(intact.home)) == (0, 0)
        assert all(one.equals(other) for one, other in zip(stored_tables(watched), stored_tables(intact), strict=True))


def test_a_night_writes_one_commit_a_table_whatever_is_open(world: Any, tmp_path: Any) -> None:
    """Three open origins, demand that comes in two parts, the second with a correction of the first."""
    forecasts, later = world.forecasts(), pl.read_parquet(world.files / "later.parquet")
    for days in (1, 2):
        origin = world.origin + timedelta(days=days)
        world.lake.replace("forecasts", forecasts.with_columns(origin_date=pl.lit(origin)), origin)
    once = replace(world, home=shutil.copytree(world.home, tmp_path / "once"))
    early = later.filter(pl.col("hour_local").dt.date() < world.origin + timedelta(days=5))
    for part in (early, later.with_columns(pl.col("orders") + 1)):
        world.lake.upsert("demand", part)
        before = world.versions()
        monitor(world.as_home)
        assert {name: world.versions()[name] - before.get(name, -1) for name in ("scores", "tallies")} == {
            "scores": 1, "tallies": 1,
        }  # fmt: skip
    once.lake.upsert("demand", later.with_columns(pl.col("orders") + 1))
    monitor(once.as_home)
    assert all(one.equals(other) for one, other in zip(stored_tables(world), stored_tables(once), strict=True))
    assert stored_tables(world)[0]["origin_date"].n_unique() == 3


def test_a_forecast_published_anew_is_scored_anew(watched: Any, daypart: Any) -> None:
    assert daypart(watched.home, "monitor").status == 0
    forecasts = watched.forecasts()
    watched.lake.replace("forecasts", forecasts.with_columns(pl.col("forecast") * 2), watched.origin)
    assert daypart(watched.home, "monitor").status == 0
    scores, tallies = stored_tables(watched)
    doubled = forecasts.join(scores, on=["store_id", "target", "origin_date", "hour_utc"], suffix="_scored")
    assert (doubled["forecast_scored"] == doubled["forecast"] * 2).all()
    assert tallies["forecast"].sum() == pytest.approx(scores["forecast"].sum())
