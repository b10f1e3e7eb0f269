"""A store's time zone corrected: its rows move to where the right clock has them, table by table, the zone last.

Each table is one commit, and what is settled already stays. So a process that is killed leaves the stored zone as it
was, and the same command again finishes.
"""

from collections.abc import Sequence

import polars as pl

from daypart.features import clock
from daypart.features.errors import InputError
from daypart.features.pos.duplicates import without_repeats
from daypart.features.pos.store_hours import hourly, tickets
from daypart.features.tables.time_zone_correction import move_hours_to_zone, move_to_zone
from daypart.flows.ingest import pos_lines
from daypart.flows.lake.edits import Edit, edit
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import LAKE, LakeTable

MOVED = {"demand": "hour", "labor": "hour", "weather": "valid"}
"""The tables whose rows lie on both clocks, and the moment that they speak of. Others have local dates and times."""
RESETTLE = {"change": "resettle"}
HOUR_KEY = ["store_id", "hour_utc"]
NOTHING = pl.lit(None, pl.Datetime("us"))


def moved_stores(lake: Lake, stores: pl.DataFrame) -> pl.DataFrame:
    """Those of the stores (store_id, timezone) with another zone than is stored, and rows: with `stored_zone`."""
    if not lake.exists("stores"):
        return stores.select("store_id", "timezone", stored_zone="timezone").clear()
    zones = lake.scan("stores").select("store_id", stored_zone="timezone").collect()
    changed = stores.join(zones, on="store_id", validate="1:1").filter(pl.col("timezone") != pl.col("stored_zone"))
    if changed.is_empty():
        return changed.select("store_id", "timezone", "stored_zone")
    ids = pl.col("store_id").is_in(changed["store_id"].to_list())
    tables = [name for name in (*MOVED, "pos_lines") if lake.exists(name)]
    store_ids = [lake.scan(name).filter(ids).select("store_id").unique().collect() for name in tables]
    with_rows = changed.join(pl.concat([changed.select("store_id").clear(), *store_ids]), on="store_id", how="semi")
    return with_rows.select("store_id", "timezone", "stored_zone").sort("store_id")


def refuse(moved: pl.DataFrame) -> None:
    """Raise InputError that names the first of the moved stores and both zones."""
    first = moved.row(0, named=True)
    more = f" ({moved.height - 1} more stores likewise)" if moved.height > 1 else ""
    raise InputError(
        f"stores: {first['store_id']} has rows by the clock of {first['stored_zone']}, and the file says "
        f"{first['timezone']}{more}: correct the file, or pass --resettle to read the rows' local times by the new zone"
    )


def note_clocks(lake: Lake, table: str, stores: Sequence[str], by_clock: str) -> None:
    """Record by which clock, `local` or `utc`, the rows of stores came into a table."""
    rows = pl.DataFrame({"table": table, "store_id": stores, "clock": by_clock}, dict(LAKE["clocks"].schema)).unique()

    def plan(stored: pl.LazyFrame) -> Edit:
        added = rows.join(stored.collect(), on=rows.columns, how="anti")
        return Edit(rows.clear(), added)

    edit(lake, "clocks", plan, {"change": "clocks"})


def resettle(lake: Lake, moved: pl.DataFrame) -> list[str]:
    """Move the rows of all tables of the moved stores; what was done, in lines for people. For use in `writing`.

    Demand, labor and weather that came by local time keep it, and so do lines of a point of sale without an offset.
    What came by `*_utc` alone, or as instants, keeps its moment. Where both kinds came, or nothing is noted, the local
    time is kept. Demand of hours with lines is the sum of these again.
    """
    zones, ids = moved.select("store_id", "timezone"), pl.col("store_id").is_in(moved["store_id"].to_list())
    counted_hours = _counted_hours(lake, moved, ids)
    counts = {"pos_lines": _move_lines(lake, zones, ids)}
    for table in MOVED:
        if lake.exists(table):
            counts[table] = _move(lake, table, zones, ids, counted_hours)
    names = ", ".join(f"{store} from {old} to {new}" for store, new, old in moved.head(5).iter_rows())
    more = f" and {moved.height - 5} more" if moved.height > 5 else ""
    rows = ", ".join(f"{count:,} rows of {table}" for table, count in counts.items() if count) or "no row"
    return [f"{names}{more}: {rows} moved; published forecasts and scores stay as they are", *_mixed(lake, ids)]


def _counted_hours(lake: Lake, moved: pl.DataFrame, ids: pl.Expr) -> pl.DataFrame:
    """The hours that lines lay in by the stored zone: store_id, instant, and hour_local or hour_utc, what is a fact."""
    lines = pos_lines.stored_lines(lake, ids)
    places = lines.join(moved, on="store_id").with_columns(timezone="stored_zone")
    shown = clock.with_local(places.filter("instant").select("store_id", "timezone", "at_utc"), "at_utc", "at_local")
    instants = clock.with_hour(shown, "at_local", "at_utc")
    local = places.filter(~pl.col("instant")).select("store_id", "hour_local", hour_utc=NOTHING, instant=False)
    return pl.concat(
        [local, instants.select("store_id", NOTHING.alias("hour_local"), "hour_utc", instant=True)]
    ).unique()


def _move_lines(lake: Lake, zones: pl.DataFrame, ids: pl.Expr) -> int:
    """Moves the stores' lines in one commit; how many."""
    columns, count = LAKE["pos_lines"].empty().columns, [0]

    def plan(stored: pl.LazyFrame) -> Edit:
        lines = stored.filter(ids).collect()
        placed = move_to_zone(lines.join(zones, on="store_id", validate="m:1"), "at")
        placed = clock.with_hour(placed.drop("hour_local", "hour_utc"), "at_local", "at_utc")
        moved = placed.with_columns(date=pl.col("at_local").dt.date()).select(columns)
        count[0] = moved.join(lines, on=columns, how="anti", nulls_equal=True).height
        return _difference(LAKE["pos_lines"], lines, moved)

    if lake.exists("pos_lines"):
        edit(lake, "pos_lines", plan, RESETTLE)
    return count[0]


def _move(lake: Lake, table: str, zones: pl.DataFrame, ids: pl.Expr, counted: pl.DataFrame) -> int:
    """Moves the stores' rows of a table in one commit; how many. Demand of hours with lines is their sum."""
    spec, instants, count = LAKE[table], _instants(lake, table, ids), [0]
    lines = pos_lines.stored_lines(lake, ids) if table == "demand" else LAKE["pos_lines"].empty()

    def plan(stored: pl.LazyFrame) -> Edit:
        rows = stored.filter(ids).collect().select(list(spec.schema))
        placed = rows.join(zones, on="store_id", validate="m:1").join(instants, on="store_id", how="left")
        placed = placed.with_columns(pl.col("instant").fill_null(value=False), counted=pl.lit(value=False))
        if table == "demand":
            placed = _of_lines(placed, counted)
        moved = move_hours_to_zone(placed, MOVED[table], list(spec.key))
        if table == "demand":
            moved = _summed(moved, lines)
        moved = moved.select(rows.columns)
        count[0] = moved.join(rows, on=rows.columns, how="anti", nulls_equal=True).height
        return _difference(spec, rows, moved)

    edit(lake, table, plan, RESETTLE)
    return count[0]


def _of_lines(demand: pl.DataFrame, counted: pl.DataFrame) -> pl.DataFrame:
    """The rows with `counted`, whether they are the sum of lines, which then say whether the moment is a fact."""
    facts = {"hour_local": False, "hour_utc": True}
    for name, instant in facts.items():
        hours = counted.filter(pl.col("instant") == instant).select("store_id", name, of_lines=pl.lit(value=True))
        demand = demand.join(hours, on=["store_id", name], how="left", validate="m:1")
        is_one = pl.col("of_lines").fill_null(value=False) & ~pl.col("counted")
        demand = demand.with_columns(
            instant=pl.when(is_one).then(instant).otherwise("instant"), counted=pl.col("counted") | is_one
        ).drop("of_lines")
    return demand


def _summed(demand: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Demand whose hours with lines are the sum of these; without the rows of hours that lines have left."""
    once = without_repeats(lines)
    sums = hourly(once, tickets(once)).select(*HOUR_KEY, "hour_local", "orders", "sales")
    stored = demand.select(*HOUR_KEY, stored_sales="sales")
    sums = sums.join(stored, on=HOUR_KEY, how="left", validate="1:1")
    sums = sums.with_columns(sales=pl.coalesce("sales", "stored_sales")).drop("stored_sales")
    uncounted = demand.filter(~pl.col("counted")).join(sums, on=HOUR_KEY, how="anti").select(sums.columns)
    return pl.concat([uncounted, sums])


def _difference(spec: LakeTable, stored: pl.DataFrame, moved: pl.DataFrame) -> Edit:
    """The edit that makes the moved rows of the stored ones."""
    columns = stored.columns
    removed_rows = stored.join(moved, on=columns, how="anti", nulls_equal=True)
    return Edit(spec.conform(removed_rows), moved.join(stored, on=columns, how="anti", nulls_equal=True))


def _instants(lake: Lake, table: str, ids: pl.Expr) -> pl.DataFrame:
    """The stores whose rows of a table all came by UTC, with `instant`."""
    clocks = lake.scan_or_empty("clocks").filter(ids & (pl.col("table") == table)).collect()
    by_store = clocks.group_by("store_id").agg(instant=(pl.col("clock") == "utc").all())
    return by_store.filter("instant")


def _mixed(lake: Lake, ids: pl.Expr) -> list[str]:
    """What to say of tables into which a store's rows came by both clocks."""
    clocks = lake.scan_or_empty("clocks").filter(ids).group_by("table", "store_id").agg(pl.len()).collect()
    mixed = clocks.filter(pl.col("len") > 1).sort("table", "store_id")
    return [
        f"{table} of {store} came by local time and by UTC: all its rows kept their local time"
        for table, store, _ in mixed.iter_rows()
    ]
