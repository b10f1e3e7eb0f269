"""A model's card: what it is for, what it learned from, how good it is for whom, and what it is not good for.

After Mitchell et al. (2019), as Markdown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from daypart.features.cold_start.similar_stores import YOUNG_DAYS
from daypart.features.dayparts import daypart
from daypart.features.money import UNIT_PREFIX
from daypart.features.signals import calendar
from daypart.forecasting.explain.feature_families import FAMILIES, family
from daypart.forecasting.leads import lead_week
from daypart.forecasting.metrics import accuracy, segment_bias
from daypart.forecasting.metrics.expected_accuracy import FIGURE_PREFIX
from daypart.forecasting.metrics.expressions import accuracy_bps
from daypart.forecasting.models.model import Model

CARD_SEGMENTS = ("region", "format", "daypart", "lead_week", "weekday")
TESTED_SEGMENTS = ("store_id", "region", "daypart")
TOP_FEATURES = 8
YEAR = timedelta(days=365)
WEATHER_CAVEATS = {
    "issued": "Weather is known as far ahead as it was issued before the origin; further ahead only the season is.",
    "observed": "It was trained and judged on weather in hindsight: its figures are better than nights will be.",
    "none": "It knows no weather.",
}


@dataclass(frozen=True)
class ModelOrigin:
    """The origin of a model: Delta version of each table read, first date of demand, and the verdict of the gate.

    `predictions` are `ModelTrainer.rolling_predictions` of it, `sampled` says whether they leave out some of its
    stores. `scores` are the `segments` of the predictions; null means that the card computes them.
    """

    reads: Mapping[str, int]
    first: date
    stores: pl.DataFrame
    predictions: pl.DataFrame | None
    sampled: bool
    verdict: str
    scores: pl.DataFrame | None = None


def card(name: str, model: Model, origin: ModelOrigin) -> str:
    """Return the card of the model of that name, without its version and approvals, which are added later."""
    parts = [
        f"# Model card: {name}, trained as of {model.as_of}",
        _purpose(model),
        "## Data\n\n" + _data(model, origin),
        "## Recipe\n\n" + _table(_as_table(model.recipe.model_dump(mode="json"), "setting", "value")),
        "## Members and features\n\n" + _features(model),
        "## How it was judged\n\n" + _windows(model, origin),
        *_figures(model, origin),
        "## Limits\n\n" + "\n".join(f"- {text}" for text in limits(model, origin)),
        f"## Gate\n\n{origin.verdict}",
    ]
    return "\n\n".join(parts) + "\n"


def segments(predictions: pl.DataFrame, stores: pl.DataFrame, target: str) -> pl.DataFrame:
    """Return accuracy, bias and coverage by the hour of all predictions and of every segment.

    Columns: by, segment, then those of `accuracy.score`.
    """
    cells = _cells(predictions, stores).with_columns(pl.lit(target).alias("target"))
    overall = accuracy.score(cells, "hour").select(by=pl.lit("all"), segment=pl.lit("all"), **_scored_columns())
    parts = [
        accuracy.score(cells.drop_nulls(name), "hour", [name])
        .select(by=pl.lit(name), segment=pl.col(name).cast(pl.String), **_scored_columns())
        for name in CARD_SEGMENTS
        if cells[name].is_not_null().any()
    ]  # fmt: skip
    return pl.concat([overall, *parts])


def limits(model: Model, origin: ModelOrigin) -> list[str]:
    """Return in sentences what the model is not good for, or not known to be good for."""
    young = (
        f"Stores with fewer than {YOUNG_DAYS} open days rest on stores like them{_young_figures(origin.predictions)}."
    )
    caveats = [
        young,
        _unseen_holidays(model, origin),
        WEATHER_CAVEATS[model.recipe.weather],
        "Weights and bands were chosen by the very origins on which it is judged here; its members had not seen them.",
    ]
    if model.as_of - origin.first < YEAR:
        caveats.append(f"It saw {(model.as_of - origin.first).days} days, less than a year: it knows no yearly season.")
    if origin.sampled:
        caveats.append("Its evidence is a fixed sample of the stores, not all of them.")
    return caveats


def _purpose(model: Model) -> str:
    unit = "tickets" if model.target == "orders" else "money, in the store's currency"
    return (
        f"It forecasts {model.target} ({unit}) of every open store by the hour, {model.recipe.horizon_days} days "
        "ahead, with a band that holds four of five hours. It is for planning preparation and labor; it is no basis "
        "for judging people or for comparing stores, and says nothing of single products."
    )


def _data(model: Model, origin: ModelOrigin) -> str:
    counts = {
        name: f"{value:,.0f}"
        for name, value in model.trained_on.items()
        if not name.startswith((FIGURE_PREFIX, UNIT_PREFIX)) and not name.endswith("_bps")
    }
    span = f"Demand from {origin.first} to {model.as_of - timedelta(days=1)}, {_listed(counts)}."
    if model.units:
        amounts = ", ".join(f"{unit:,.2f} {currency}" for currency, unit in model.units.items())
        span += f" Across currencies money counts in orders: {amounts} count for the same."
    return span + "\n\n" + _table(_as_table(dict(sorted(origin.reads.items())), "table", "version"))


def _features(model: Model) -> str:
    weights = model.weights.with_columns(pl.col("weight").round(3)).pivot("lead_week", index="member", values="weight")
    weights = weights.rename({name: f"weight in week {name}" for name in weights.columns[1:]})
    gain = model.importance().with_columns(
        pl.col("feature").map_elements(_family, return_dtype=pl.String).alias("family")
    )
    shares = gain.group_by("family", "member", maintain_order=True).agg(pl.col("gain_share").sum().round(3))
    by_family = shares.pivot("member", index="family", values="gain_share").fill_null(0.0)
    order = {name: number for number, name in enumerate(FAMILIES)}
    by_family = by_family.sort(pl.col("family").replace_strict(order, return_dtype=pl.Int32))
    top = (
        gain.group_by("feature")
        .agg(pl.col("gain_share").mean())
        .sort("gain_share", "feature", descending=[True, False])
    )
    names = ", ".join(top["feature"].head(TOP_FEATURES))
    learned = "Share of what each member learned, by family of features:"
    return "\n\n".join([_table(weights), learned, _table(by_family), f"Most of all: {names}."])


def _family(feature: str) -> str:
    return "usual" if feature == "constant" else family(feature)


def _windows(model: Model, origin: ModelOrigin) -> str:
    if origin.predictions is None:
        return "There was too little history to judge it."
    folds = model.recipe.fold_dates(model.as_of, origin.first)
    predictions = origin.predictions
    days = predictions.select(first=pl.col("date").min(), last=pl.col("date").max()).row(0)
    listed = ", ".join(str(day) for day in reversed(folds))
    return (
        f"Members were refitted as of {listed}, and each forecast the {model.recipe.fold_days} days after from weekly "
        f"origins: {predictions.height:,} hours of {predictions['store_id'].n_unique()} stores from {days[0]} to "
        f"{days[1]}, none of which its refit had seen."
    )


def _figures(model: Model, origin: ModelOrigin) -> list[str]:
    if origin.predictions is None:
        return []
    scores = origin.scores
    if scores is None:
        scores = segments(origin.predictions, origin.stores, model.target)
    tested = segment_bias.biases(_cells(origin.predictions, origin.stores), TESTED_SEGMENTS)
    shown = tested.filter((pl.col("by") != "store_id") | pl.col("biased").fill_null(value=False))
    stores = tested.filter(pl.col("by") == "store_id")
    note = (
        f"{tested.height} segments tested at once, by weeks, corrected after Benjamini & Hochberg (1995): "
        f"{tested['biased'].sum()} are biased, {stores['biased'].sum()} of {stores.height} stores among them. "
        "Stores without a bias that shows are left out."
    )
    return [f"## Accuracy by segment\n\nBy the hour, in basis points.\n\n{_table(_rounded(scores))}",
            f"## Bias\n\n{note}\n\n{_table(_rounded(shown))}"]  # fmt: skip


def _cells(predictions: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return predictions as `accuracy.score` takes them, with the columns of segments."""
    clock = pl.col("date").cast(pl.Datetime("us")) + pl.duration(hours=pl.col("hour"))
    return predictions.join(stores.select("store_id", "region", "format"), on="store_id", how="left").with_columns(
        daypart(pl.col("hour")), lead_week(), hour_local=clock, hour_utc=clock, business_date="date", actual="y",
        origin_date=pl.col("date") - pl.duration(days=pl.col("lead_days").cast(pl.Int64)),
        weekday=pl.format("{} {}", pl.col("date").dt.weekday(), pl.col("date").dt.strftime("%A")),
    )  # fmt: skip


def _scored_columns() -> dict[str, pl.Expr]:
    names = ("cells", "accuracy_bps", "incumbent_bps", "gain_bps", "bias_bps", "coverage")
    return {name: pl.col(name) for name in names}


def _young_figures(predictions: pl.DataFrame | None) -> str:
    young = pl.DataFrame() if predictions is None else predictions.filter(pl.col("youth") > 0)
    wape = accuracy.wape_bps(young, "forecast") if young.height else None
    if wape is None:
        return "; there is none in the evidence, so that nothing is known of how well"
    return f": accuracy {accuracy_bps(wape):,.0f} bps for the {young['store_id'].n_unique()} in the evidence"


def _unseen_holidays(model: Model, origin: ModelOrigin) -> str:
    """Return a sentence on the holidays of the year to come that the training data lack."""
    ahead, behind = (
        set(calendar.public_holidays(origin.stores, first, last)["holiday"])
        for first, last in ((model.as_of, model.as_of + YEAR), (origin.first, model.as_of - timedelta(days=1)))
    )
    unseen = sorted(ahead - behind)
    return (
        f"Holidays that it never saw: {', '.join(unseen)}."
        if unseen
        else "It saw every public holiday of the year to come."
    )


def _as_table(values: Mapping[str, object], name: str, value: str) -> pl.DataFrame:
    rows = [
        (key, ", ".join(map(str, entry)) if isinstance(entry, list) else str(entry)) for key, entry in values.items()
    ]
    return pl.DataFrame(rows, schema={name: pl.String, value: pl.String}, orient="row")


def _listed(counts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in counts.items())


def _rounded(frame: pl.DataFrame) -> pl.DataFrame:
    integer_columns = [name for name in frame.columns if name.endswith("_bps") or name == "actual"]
    fine = [name for name in ("coverage", "p", "p_corrected") if name in frame.columns]
    return frame.with_columns(pl.col(integer_columns).round(0).cast(pl.Int64), pl.col(fine).round(4))


def _table(frame: pl.DataFrame) -> str:
    rows: Iterable[Sequence[object]] = frame.iter_rows()
    lines = [frame.columns, ["---:" if dtype.is_numeric() else "---" for dtype in frame.dtypes], *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value).replace("|", "\\|")
