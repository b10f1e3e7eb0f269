"""What is printed of maintenance."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from daypart.flows.display.tables import print_json, print_table

if TYPE_CHECKING:
    from daypart.flows.maintenance.maintenance_report import MaintenanceReport


def show_maintained(report: "MaintenanceReport", *, as_json: bool) -> None:
    """What was put together and removed, and from when on forecasts can be made again."""
    if as_json:
        print_json(asdict(report))
        return
    removed = report.removed
    compacted = ", ".join(f"{table} {count:,}" for table, count in report.compacted.items()) or "nothing to do"
    print(f"files put together: {compacted}; checkpoints written: {report.checkpoints}")
    print_table([
        {
            "table": table.table, "origins": table.origins, "files": table.files, "log_entries": table.log_entries,
            "versions_from": table.keep_from, "and": ", ".join(map(str, table.pinned)),
        }
        for table in removed.tables
    ], "removed")  # fmt: skip
    counts = {"MLflow runs": removed.runs, "lists of refused rows": removed.refusals, "leftovers": removed.leftovers}
    rest = [f"{count:,} {name}" for name, count in counts.items() if count]
    rest += [f"models {', '.join(removed.versions)}"] if removed.versions else []
    if rest:
        print(f"removed: {', '.join(rest)}")
    line = f"{removed.bytes / 2**20:,.1f} MiB freed (record {report.record})" if report.record else "nothing to remove"
    print(line)
    if (since := rebuildable(report.rebuildable_since)) is not None:
        print(since)


def rebuildable(since: datetime | None) -> str | None:
    """From when on forecasts can be made again; null where every one can."""
    if since is None:
        return None
    return (
        f"forecasts published since {since:%Y-%m-%d %H:%M} UTC can be made again; `daypart maintain` removed the rest"
    )
