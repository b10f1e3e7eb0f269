import json
import re
import shutil
import subprocess
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from daypart.features.dayparts import daypart
from daypart.features.errors import InputError
from daypart.flows.report import IMPORTANCE, Report, write_report
from daypart.flows.report import figures as shown
from daypart.forecasting.metrics.accuracy import score

CREATED = datetime(2025, 6, 1, 6, 30)  # noqa: DTZ001 - shown as given
START = date(2025, 3, 3)
HOURS = np.arange(24)
SHAPE = np.where((HOURS > 6) & (HOURS < 20), 1.0 + np.exp(-((HOURS - 9.0) ** 2) / 8.0), 0.0)


def backtest(stores: int = 3, origins: int = 2, targets: tuple[str, ...] = ("orders", "sales")) -> pl.DataFrame:
    """A backtest frame of stores that differ in volume, closed on Sundays, with an oracle."""
    random = np.random.default_rng(stores)
    frame = (
        pl.DataFrame({"store_id": [f"shop {number:02d}" for number in range(stores)], "size": 3.0 + HOURS[:stores]})
        .join(pl.DataFrame({"target": targets}), how="cross")
        .join(
            pl.DataFrame({"origin_date": [START + timedelta(days=7 * k) for k in range(origins)]}),
            how="cross",
        )
        .join(pl.DataFrame({"lead_days": range(14)}), how="cross")
        .join(pl.DataFrame({"hour": HOURS, "shape": SHAPE}), how="cross")
    )
    rate = (frame["size"] * frame["shape"]).to_numpy()
    money = np.where((frame["target"] == "sales").to_numpy(), 7.5, 1.0)
    midnight = pl.col("origin_date").cast(pl.Datetime("us"))
    frame = frame.with_columns(
        hour_local=midnight + pl.duration(days="lead_days", hours="hour"),
        daypart=daypart(pl.col("hour")),
        model_version=pl.lit("3"),
        tier=pl.lit("learned"),
        unit_value=pl.Series(money),
        actual=pl.Series(random.poisson(rate) * money),
        forecast=pl.Series(rate * random.uniform(0.8, 1.25, rate.size) * money),
        incumbent=pl.Series(rate * random.uniform(0.5, 1.6, rate.size) * money),
        oracle=pl.Series(rate * money),
    ).with_columns(
        hour_utc=pl.col("hour_local") - pl.duration(hours=1),
        business_date=pl.col("hour_local").dt.date(),
        actual=pl.when(pl.col("hour_local").dt.weekday() < 7).then(pl.col("actual")),
        q10=(pl.col("forecast") * 0.6).floor(),
        q50=pl.col("forecast").round(),
        q90=(pl.col("forecast") * 1.4).ceil(),
    )
    return frame.drop("size", "shape", "hour")


def importance() -> pl.DataFrame:
    names = [f"feature_{number:02d}" for number in range(20)]
    gains = {"log_ratio": np.arange(20.0, 0.0, -1.0), "huber": np.arange(1.0, 21.0)}
    rows = [
        (target, member, name, float(gain / 210.0))
        for target in ("orders", "sales")
        for member, shares in gains.items()
        for name, gain in zip(names, shares, strict=True)
    ]
    return pl.DataFrame(rows, schema=IMPORTANCE, orient="row")


def report(scored: pl.DataFrame, **changes: Any) -> Report:
    defaults: dict[str, Any] = {
        "title": "Crumb & Co",
        "subtitle": "Spring",
        "created": CREATED,
        "importance": importance(),
        "lineage": {
            "Run": "abc123",
            "Tables read": {"demand": 4, "weather": 2},
            "Members": ["log_ratio", "huber"],
        },
        "notices": ["Weather as observed: hindsight"],
    }
    return Report(scored=scored, **{**defaults, **changes})


def text(page: str) -> str:
    """What stands on the page, without scripts, style and tags."""
    page = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def written(path: Path, one: Report) -> str:
    write_report(path, one)
    return path.read_text(encoding="utf-8")


def test_page_tells_what_the_scores_say(tmp_path: Path) -> None:
    scored = backtest()
    page = text(written(tmp_path / "new" / "report.html", report(scored)))
    for level in ("day", "daypart", "hour"):
        for row in score(scored, level, ["target"]).iter_rows(named=True):  # type: ignore[arg-type]
            assert f"by {level} {row['accuracy_bps']:,.0f} bps +{row['gain_bps']:,.0f} over the incumbent" in page
            figures = [f"{row[name]:,.0f}" for name in ("accuracy_bps", "incumbent_bps")]
            assert f"{level} {row['cells']:,} {' '.join(figures)} +{row['gain_bps']:,.0f}" in page
    questions = (
        "How accurate?",
        "Where does it win and lose?",
        "Can the band be trusted?",
        "What did it look at?",
    )
    assert all(question in page for question in (*questions, "Where does it come from?"))
    assert "Weather as observed: hindsight" in page
    assert "Run abc123" in page
    assert "demand 4 weather 2" in page
    assert "log_ratio, huber" in page
    assert "2025-06-01 06:30:00" in page


def test_a_store_that_has_a_name_is_called_by_it_beside_its_id(tmp_path: Path) -> None:
    page = written(tmp_path / "report.html", report(backtest(), names={"shop 01": "K\u00f8ge Torv"}))
    assert page.count("<th>shop 01 <small>K\u00f8ge Torv</small></th>") == 2
    assert page.count("<th>shop 02</th>") == 2
    assert re.search(r"shop 01 K(\u00f8|\\u00f8)ge Torv \(\d of 3\)", page)


def test_names_are_shown_and_never_run(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    scored = backtest(1).with_columns(store_id=pl.lit(evil))
    page = written(tmp_path / "report.html", report(scored, title=evil, notices=[evil], lineage={evil: [evil]}))
    assert evil not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5
    assert page.count("</script>") == 2


def test_same_report_gives_the_same_bytes_and_replaces_the_old_one(tmp_path: Path) -> None:
    scored = backtest()
    first = written(tmp_path / "report.html", report(scored))
    shuffled = scored.sample(fraction=1.0, shuffle=True, seed=4)
    assert written(tmp_path / "report.html", report(shuffled)) == first
    assert len(first) < 2_000_000
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    (tmp_path / "report.html" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"report\.html"):
        write_report(tmp_path / "report.html", report(backtest(1)))
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    unscored = backtest(1).with_columns(actual=pl.lit(None, dtype=pl.Float64))
    with pytest.raises(InputError, match="nothing to report"):
        write_report(tmp_path / "none.html", report(unscored))
    assert not (tmp_path / "none.html").exists()


def test_nothing_is_asked_of_the_network(tmp_path: Path) -> None:
    page = written(tmp_path / "report.html", report(backtest()))
    assert "default-src 'none'" in page
    markup = re.sub(r"<script\b.*?</script>", "", page, flags=re.S)
    assert not re.search(r"https?://|\bsrc\s*=|\bhref\s*=|@import|url\(", markup)
    assert not re.search(r"<script[^>]+src|\bimport\s*\(?\s*['\"]https?:", page)


@pytest.mark.parametrize(
    ("scored", "absent"),
    [
        pytest.param(backtest(), set(), id="chain"),
        pytest.param(backtest(1, 1, ("orders",)).drop("oracle"), set(), id="one store, one target"),
        pytest.param(backtest(2).with_columns(daypart=pl.lit(None, pl.String)), {"daypart"}, id="no daypart"),
        pytest.param(backtest(2).with_columns(q90=pl.lit(0.0)), {"quantiles", "sizes"}, id="no band"),
        pytest.param(backtest(2).with_columns(actual=pl.col("actual") * 0), {"lead", "week", "daypart"}, id="no trade"),
    ],
)
def test_a_browser_draws_every_chart(scored: pl.DataFrame, absent: set[str], tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path")
    write_report(tmp_path / "report.html", report(scored))
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=8000 "
        "--dump-dom"
    )
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [chromium, *flags.split(), profile, f"file://{tmp_path / 'report.html'}"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console_lines = [line for line in ran.stderr.splitlines() if "CONSOLE" in line and "Dropping" not in line]
    assert console_lines == []
    places = {"lead", "daypart", "week", "quantiles", "sizes", "features"} - absent
    charts = dict(re.findall(r'class="chart[^"]*" id="([\w-]+)".*?(<svg.*?</svg>)', ran.stdout, flags=re.S))
    assert set(charts) == {f"{place}-{target}" for place in places for target in scored["target"].unique()}
    for name, svg in charts.items():
        assert re.search(r'class="mark-\w+ role-mark[^"]*".*?<path [^>]*d="M', svg, flags=re.S), name
        assert "NaN" not in svg, name


def test_colours_mean_the_same_in_every_chart(tmp_path: Path) -> None:
    page = written(tmp_path / "report.html", report(backtest()))
    specs = json.loads(re.search(r"specs = (\{.*\});\n", page).group(1))  # type: ignore[union-attr]
    colours: dict[str, set[str]] = {}

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("color"), dict) and "scale" in node["color"]:
                scale = node["color"]["scale"]
                for name, colour in zip(scale["domain"], scale["range"], strict=True):
                    colours.setdefault(name, set()).add(colour)
            for inner in node.values():
                visit(inner)
        elif isinstance(node, list):
            for inner in node:
                visit(inner)

    visit(specs)
    assert set(colours) == {"Forecast", "Incumbent", "Floor", "Oracle"}
    assert all(len(colours) == 1 for colours in colours.values())
    assert len(set.union(*colours.values())) == 4


@pytest.mark.parametrize("stores", [1, 4, 10, 11, 13])
def test_ranking_names_every_store_once(stores: int) -> None:
    ranked = shown.by_store(backtest(stores, 1, ("orders",)), {})
    ranking = shown.ranking(ranked)
    names = [row["store_id"] for row in (*ranking.best, *ranking.worst)]
    assert len(set(names)) == len(names) == min(stores, 10)
    accuracies = [row["accuracy_bps"] for row in (*ranking.best, *ranking.worst)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] == ranked["accuracy_bps"].max()
    assert accuracies[-1] == ranked["accuracy_bps"].min()
    assert (len(ranking.worst) == 5) == (stores > 10)


@pytest.mark.parametrize("stores", [1, 2, 5, 13])
def test_weeks_show_the_middle_store_and_the_last_scored_origin(stores: int) -> None:
    scored = backtest(stores, 3, ("orders",))
    last = pl.col("origin_date") == START + timedelta(days=14)
    unknown = scored.with_columns(actual=pl.when(~last | (pl.col("lead_days") > 6)).then(pl.col("actual")))
    ranked = shown.by_store(unknown, {})
    weeks = shown.weeks(unknown, ranked)
    assert weeks["store_id"].n_unique() == min(stores, 5)
    assert weeks.group_by("store_id").len()["len"].unique().to_list() == [7 * 24]
    assert weeks["origin_date"].unique().to_list() == [START + timedelta(days=7)]
    typical = weeks.filter(pl.col("typical"))["store_id"].unique().to_list()
    assert typical == [ranked["store_id"][round((stores - 1) / 2)]]
    assert {1, stores} <= set(weeks["rank"])


def test_reliability_and_coverage_are_those_of_a_loop() -> None:
    scored = backtest(2, 1, ("orders",))
    rows = [row for row in scored.iter_rows(named=True) if row["actual"] is not None and row["q90"] > 0]

    def share(hits: list[bool]) -> float:
        return sum(hits) / len(hits)

    for row in shown.reliability(scored).iter_rows(named=True):
        name = row["quantile"]
        assert row["below"] == pytest.approx(share([one["actual"] < one[name] for one in rows]))
        assert row["reached"] == pytest.approx(share([one["actual"] <= one[name] for one in rows]))
        assert row["nominal"] == pytest.approx(int(name[1:]) / 100)
    parts = shown.coverage_by_daypart(scored)
    assert parts["daypart"].to_list() == ["breakfast", "lunch", "dinner", None]
    for row in parts.iter_rows(named=True):
        subset = [one for one in rows if row["daypart"] in (None, one["daypart"])]
        assert row["hours"] == len(subset)
        assert row["below"] == pytest.approx(share([one["actual"] < one["q10"] for one in subset]))
        assert row["inside"] == pytest.approx(share([one["q10"] <= one["actual"] <= one["q90"] for one in subset]))
        assert row["below"] + row["inside"] + row["above"] == pytest.approx(1.0)
        assert row["middle"] == pytest.approx(share([one["actual"] <= one["q50"] for one in subset]))


def test_tenths_of_forecast_size_hold_alike_and_never_part_equal_forecasts() -> None:
    scored = backtest(3, 2, ("orders",))
    tenths = shown.coverage_by_size(scored)
    assert tenths["tenth"].to_list() == list(range(1, 11))
    assert tenths["hours"].max() - tenths["hours"].min() <= 1  # type: ignore[operator]
    assert (tenths["smallest"][1:] > tenths["largest"][:-1]).all()
    banded = scored.filter(pl.col("actual").is_not_null(), pl.col("q90") > 0)
    first = banded.sort("forecast").head(tenths["hours"][0])
    assert tenths["coverage"][0] == pytest.approx(first.select(pl.col("actual").is_between("q10", "q90").mean()).item())
    flat = shown.coverage_by_size(scored.with_columns(forecast=pl.lit(4.0)))
    assert flat["tenth"].to_list() == [1]


def test_top_features_average_over_members() -> None:
    top = shown.top_features(importance())
    assert top.group_by("target").len().sort("target").rows() == [("orders", 15), ("sales", 15)]
    # Each feature has 21 / 210 over both members, so names decide and every mean is the same.
    assert top["gain_share"].to_list() == pytest.approx([0.05] * 30)
    alone = shown.top_features(importance().filter(pl.col("member") == "huber"), count=2)
    assert alone.filter(pl.col("target") == "sales")["feature"].to_list() == ["feature_19", "feature_18"]
