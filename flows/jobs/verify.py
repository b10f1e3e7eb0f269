"""Verify: whether the lake's tables are as they were written, as far as checksums, logs and other records tell."""

import json
from collections.abc import Collection, Iterator
from dataclasses import replace

import polars as pl

from daypart.flows.audit.audit_log import Audit
from daypart.flows.home import Home
from daypart.flows.jobs.lineage import publications
from daypart.flows.lake import integrity
from daypart.flows.lake.delta_log import RESTORE_REMEDY, Damage
from daypart.flows.lake.integrity import Verification
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import LAKE, lake_table


def verify(home: Home) -> Verification:
    """Compare all tables with their checksums and logs (`integrity.verify`), and with the versions that were read.

    A last log entry that is gone leaves no trace in its table. It is noticed where the newest publication or a
    training on record read that version or a later one; what nothing has read yet cannot be noticed.
    """
    verification = integrity.verify(home.lake)
    missing = _missing(home.lake, {damage.table for damage in verification.damages})
    return replace(verification, damages=[*verification.damages, *missing])


def _missing(lake: Lake, damaged: Collection[str]) -> Iterator[Damage]:
    """Versions that were read once and are past the newest one; tables whose damage is known are left out."""
    latest: dict[str, tuple[int, str]] = {}
    for source, reads in _reads(lake, damaged):
        for table, version in reads.items():
            latest[table] = max(latest.get(table, (-1, "")), (version, source))
    for table in LAKE:
        newest = None if table in damaged else lake.version(table)
        if table in latest and table not in damaged and (-1 if newest is None else newest) < latest[table][0]:
            version, source = latest[table]
            path = lake.root / table / "_delta_log" / f"{version:020}.json"
            fault = f"is missing, {source} read it; the newest version is {'none' if newest is None else newest}"
            remedy = f"{RESTORE_REMEDY} with all before it, or run `{lake_table(table).maker}` again"
            yield Damage(table, version, str(path), fault, remedy)


def _reads(lake: Lake, damaged: Collection[str]) -> Iterator[tuple[str, dict[str, int]]]:
    """Table versions that were read, each with what read them: the newest publication, and trainings on record."""
    if "forecasts" not in damaged and lake.exists("forecasts"):
        for version, publication in publications(lake):
            yield f"version {version} of forecasts (origin {publication.origin})", publication.reads
            break
    if "audit" not in damaged:
        trained = Audit(lake).records().filter(pl.col("activity") == "retrain")
        for number, details in trained.select("sequence", "details").iter_rows():
            yield f"audit record {number}", json.loads(details).get("reads", {})
