"""The home with every job as a method: what `daypart.open` returns."""

import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import polars as pl

from daypart.features.errors import InputError, NotKnownError
from daypart.flows import home as homes
from daypart.flows.api import arguments
from daypart.flows.api.arguments import Data, Day
from daypart.flows.config.settings import Settings
from daypart.flows.failures import readable

if TYPE_CHECKING:
    from daypart.flows.api.results import Training
    from daypart.flows.ingest.ingest_report import IngestReport
    from daypart.flows.jobs.backtest import BacktestResult
    from daypart.flows.jobs.explain import ForecastExplanation
    from daypart.flows.jobs.status import Status
    from daypart.flows.monitoring.monitor import Watch

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def open_home(path: Path | str | None = None, **settings: Any) -> "Home":
    """Open a home: the folder that holds a chain's data, models and records. Nothing is created until a job writes.

    Args:
        path: The folder; by default the nearest `.daypart`, in the working folder or above.
        **settings: Settings that override the environment and the home's `settings.toml`, such as `engine="dask"`.

    Returns:
        The home, whose methods are the jobs.

    Raises:
        InputError: The path is a file, a setting is unknown or wrong, or `settings.toml` cannot be read.
    """
    arguments.check_options(settings, [name for name in Settings.model_fields if name != "home"], "daypart.open")
    return Home.open(path, **settings)


def _job(method: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Make a method raise what libraries and the system report as errors of daypart (`failures.readable`)."""

    @wraps(method)
    def run(*values: Parameters.args, **options: Parameters.kwargs) -> Returned:
        home = cast("Home", values[0])
        with readable(home.path):
            return method(*values, **options)

    return run


class Home(homes.Home):
    """A chain's home. Its methods are the jobs of the command line, with the same results and the same errors.

    A method that only reads changes nothing. One that writes does it in a single commit, and can be repeated.
    All of them raise `daypart.errors.DaypartError` or one of its kinds.
    """

    def __repr__(self) -> str:
        return f"daypart.open({str(self.path)!r})"

    @_job
    def ingest(
        self, table: str, data: "Data | list[Data]", mapping: Path | str | None = None, **options: Any
    ) -> "IngestReport":
        """Check rows and upsert them into a table: a later row of the same key replaces the earlier one.

        Args:
            table: A canonical table (`stores`, `demand`, `weather`, ...), or `pos` for point-of-sale lines.
            data: Frames of polars or pandas, files (CSV, Parquet, Excel) or folders; one, or a list. Columns are those
                of the table's reference page.
            mapping: For `pos`, the TOML file that says what the columns are.
            **options: Fields of `IngestOptions`, such as `skip_bad=True`.

        Returns:
            What came of it: rows taken, replaced and refused, and the table's version since.

        Raises:
            SchemaError: A column is missing, unknown or of the wrong type.
            ValueRefused: Rows hold invalid values; nothing is written, and the home's `refused/` lists them.
            InputError: A name or a file is wrong.
        """
        from daypart.flows.ingest import ingest as ingests
        from daypart.flows.ingest.ingest_report import IngestOptions

        arguments.check_options(options, list(IngestOptions.__dataclass_fields__), "ingest")
        sources, handling, now = arguments.sources(data), IngestOptions(**options), datetime.now(UTC)
        self.must_be_writable()
        if table != "pos":
            return ingests.ingest_table(self, table, sources, handling, now)
        if mapping is None:
            raise InputError("pos lines need a mapping, a TOML file that says what their columns are: give mapping")
        files = [source for source in sources if isinstance(source, Path)]
        if len(files) < len(sources):
            raise InputError("pos lines are a frame: expected files, which daypart tells apart; write it to one first")
        return ingests.ingest_pos(self, files, mapping, handling, now)

    @_job
    def table(self, name: str, version: int | None = None, at: datetime | None = None) -> pl.LazyFrame:
        """Return the rows of a table, lazily and in no order.

        Args:
            name: A canonical table, or one that daypart writes: `forecasts`, `scores`, `decisions`, `audit`, ...
            version: The table's version; by default the newest.
            at: Instead of a version, a moment in UTC: the newest version that was written by then.

        Returns:
            The rows. The grain is the table's, such as one row per store and hour for `demand`.

        Raises:
            NotKnownError: There is no such table, or no such version.
        """
        self.must_exist()
        if at is not None:
            if version is not None:
                raise InputError(f"version {version} and at {at} are given: expected one of them; leave one out")
            version = self._version_at(name, at)
        return self.lake.scan(name, version)

    @_job
    def versions(self, table: str) -> pl.DataFrame:
        """Return one row per version of a table, newest first: version, written_utc, change.

        Raises:
            NotKnownError: There is no such table.
        """
        return self.must_exist().lake.history(table)

    @_job
    def features(
        self, origin: Day | None = None, target: str = "orders", stores: str | Iterable[str] | None = None,
        weather: str = "issued",
    ) -> pl.DataFrame:  # fmt: skip
        """Return the features of an origin as models see them: only what was known when its business day began.

        Args:
            origin: The first day of the horizon; by default the day after the last demand.
            target: `orders` or `sales`.
            stores: Their ids; by default all.
            weather: Weather of future hours: `issued`, `observed` (hindsight) or `none`.

        Returns:
            One row per store and hour of the 14 days in which it may trade, sorted. `incumbent` and `smooth` are in
            the target's unit per hour; features have the prefix of their family, such as `calendar_` or `weather_`.

        Raises:
            NotKnownError: A store is unknown, or the origin lies outside the data.
        """
        from daypart.flows.jobs.features import features

        (name,) = arguments.targets(target, "target") or ("orders",)
        view = arguments.recipe(weather, self.settings.seed).weather
        self.must_exist()
        return features(self, arguments.optional_day(origin, "origin"), name, arguments.names(stores), view)

    @_job
    def train(
        self, targets: str | Iterable[str] | None = None, units: str | Iterable[str] | None = None,
        as_of: Day | None = None, weather: str = "issued", role: str = "automation", reason: str = "",
    ) -> "Training":  # fmt: skip
        """Train a challenger for each unit, register it, and let it serve if the gate agrees.

        Training again on the same data registers nothing.

        Args:
            targets: `orders`, `sales` or both; by default all that have demand.
            units: Units of the portfolio, such as `orders.West`; by default all.
            as_of: Train on what was known at this date; by default the day after the last demand.
            weather: Weather of future hours: `issued`, `observed` (hindsight) or `none`.
            role: Who asks, as `governance.toml` has it.
            reason: Why, for the audit.

        Returns:
            One outcome per unit: the version, whether it serves and why, figures and cost.

        Raises:
            NotKnownError: There is no demand to learn from.
            InputError: The role may not train, or an argument is wrong.
        """
        from daypart.flows.api.results import Training
        from daypart.flows.compute.engine import open_engine, open_engines
        from daypart.flows.jobs import train as trainings

        recipe, chosen = arguments.recipe(weather, self.settings.seed), arguments.targets(targets)
        day, named_units = arguments.optional_day(as_of, "as_of"), arguments.names(units) or None
        home = self.must_exist().must_be_writable()
        request = trainings.TrainRequest(chosen, named_units, day, role, reason)
        with open_engine(home.settings) as default, open_engines(home.settings, home.portfolio.engines()) as by_name:
            engines = trainings.Engines(default, by_name)
            return Training(tuple(trainings.train(home, recipe, request, engines, datetime.now(UTC))))

    @_job
    def forecast(
        self, origin: Day | None = None, level: str = "hour", stores: str | Iterable[str] | None = None,
        refresh: bool = False,
    ) -> pl.DataFrame:  # fmt: skip
        """Return the published 14-day forecast; make and publish it first where there is none.

        What is published stays as it is, so a second call returns the same rows. A line of what to know of a new
        publication is a Python warning.

        Args:
            origin: The first day; by default the day after the last demand.
            level: `hour`, `daypart`, `day`, `week`, `store` (its 14 days), `region` or `chain` (both by day).
            stores: Their ids; by default all.
            refresh: Publish again, even if there is a forecast.

        Returns:
            One row per target, store (or region, or currency of the chain) and hour or span of the level, sorted:
            `forecast`, `q10`, `q50`, `q90` and `incumbent` in the target's unit. Quantiles are of the sums.

        Raises:
            NotKnownError: No model serves, a store is unknown, or the origin lies outside the data.
        """
        from daypart.flows.compute.engine import open_engine
        from daypart.flows.jobs import forecast as forecasts

        day, names = arguments.optional_day(origin, "origin"), arguments.names(stores)
        self.must_exist()
        with open_engine(self.settings) as engine:
            request = forecasts.ForecastRequest(day, level, names, refresh)
            result = forecasts.forecast(self, request, engine)
        for notice in result.notices:
            warnings.warn(notice, stacklevel=3)
        return result.rows

    @_job
    def backtest(
        self, start: Day, end: Day, targets: str | Iterable[str] | None = None, every_days: int = 7,
        retrain_every_days: int = 28, horizon_days: int = 14, weather: str = "issued",
        report: Path | str | None = None,
    ) -> "BacktestResult":  # fmt: skip
        """Forecast from rolling origins of the past, as it would have been published, and score it.

        Args:
            start: The first origin.
            end: The last day of the last horizon.
            targets: `orders`, `sales` or both; by default all that have demand.
            every_days: Days from one origin to the next.
            retrain_every_days: Days from one training to the next, on what was known then.
            horizon_days: 1 to 14.
            weather: Weather of future hours: `issued`, `observed` (hindsight) or `none`.
            report: The .html file of a report; by default none is written.

        Returns:
            `scores` (one row per target and level), `rows` (one per store, target, origin and hour, with the actual),
            and what they leave out.

        Raises:
            InputError: The span has no origin, or lies outside the data.
        """
        from daypart.flows.jobs import backtest as backtests

        first, last = arguments.day(start, "start"), arguments.day(end, "end")
        for name, value, most in (("every_days", every_days, 3660), ("retrain_every_days", retrain_every_days, 3660),
                                  ("horizon_days", horizon_days, 14)):  # fmt: skip
            if not 1 <= value <= most:
                raise InputError(f"{name} is {value}: expected 1 to {most}")
        recipe = arguments.recipe(weather, self.settings.seed).model_copy(update={"horizon_days": horizon_days})
        span = backtests.Span(first, last, every_days, retrain_every_days)
        file = None if report is None else Path(report)
        request = backtests.BacktestRequest(span, file, arguments.targets(targets))
        return backtests.backtest(self.must_exist(), recipe, request, datetime.now(UTC))

    @_job
    def accuracy(self, by: str | Iterable[str] = (), days: int = 28) -> pl.DataFrame:
        """Return the accuracy of published forecasts that `monitor` has scored.

        Args:
            by: What parts it: `store`, `region`, `format`, `country`, `tier`, `daypart`, `lead` or `model`.
            days: The latest origins that count.

        Returns:
            One row per target, group and level (hour, daypart, day): `accuracy_bps`, `incumbent_bps`, `gain_bps`,
            `floor_accuracy_bps`, `bias_bps` in basis points of the actuals, and `coverage` of the 80% band.

        Raises:
            InputError: A name of `by` is unknown.
            NotKnownError: Nothing is scored yet.
        """
        from daypart.flows.monitoring import monitor as monitors

        columns = arguments.group_columns(arguments.names(by), "by")
        if not self.must_exist().lake.exists("scores"):
            raise NotKnownError("no published forecast is scored yet: run `monitor` once actuals are ingested")
        return monitors.accuracy(self, columns, days)

    @_job
    def explain(
        self, store: str, date: Day, daypart: str | None = None, hour: int | None = None, target: str | None = None,
        origin: Day | None = None,
    ) -> "ForecastExplanation":  # fmt: skip
        """Say why a published forecast of a store's day is what it is, in parts that add up to it.

        Args:
            store: The store's id.
            date: A business date of the forecast's 14 days.
            daypart: Only `breakfast`, `lunch` or `dinner`.
            hour: Only this clock hour, 0 to 23.
            target: `orders` or `sales`; by default orders where they are published.
            origin: Of which publication; by default the latest.

        Returns:
            `forecast`, `incumbent` and the `reasons` between them, in orders or the store's currency, and sentences.

        Raises:
            NotKnownError: Nothing was published of it.
        """
        from daypart.flows.jobs import explain as explanations

        first = arguments.optional_day(origin, "origin")
        (name,) = arguments.targets(target, "target") or (None,)
        query = explanations.ExplainQuery(store, arguments.day(date, "date"), hour, daypart, name, first)
        return explanations.explain(self.must_exist(), query)

    @_job
    def monitor(self) -> "Watch":
        """Score published forecasts whose actuals have arrived, look for data faults, decide what to retrain.

        Returns:
            Scores of the latest origins, a decision with its reason per unit, data faults and drift of inputs.

        Raises:
            NotKnownError: Nothing was published.
        """
        from daypart.flows.monitoring import monitor as monitors

        return monitors.monitor(self.must_exist().must_be_writable(), datetime.now(UTC))

    @_job
    def status(self) -> "Status":
        """Return what the home holds: tables, models, the last publication, open requests, and what needs attention."""
        from daypart.flows.jobs import status as statuses

        return statuses.status(self.must_exist(), datetime.now(UTC))

    def _version_at(self, table: str, at: datetime) -> int:
        from daypart.features.clock import utc_moment

        versions, moment = self.lake.history(table), utc_moment(at)
        earlier = versions.filter(pl.col("written_utc") <= moment)
        if earlier.is_empty():
            first = versions["written_utc"].to_list()[-1]
            raise NotKnownError(f"{table} was not there at {moment}: its first version is of {first} UTC")
        return int(earlier["version"][0])
