"""What is printed of maintenance."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from daypart.flows.display.tables import print_json, print_table

if TYPE_CHECKING:
    from daypart.flows.maintenance.maintain import Maintained


def show_maintained(done: "Maintained", *, as_json: bool) -> None:
    """What was put together and removed, and from when on forecasts can be made again."""
    if as_json:
        print_json(asdict(done))
        return
    removed = done.removed
    compacted = ", ".join(f"{table} {count:,}" for table, count in done.compacted.items()) or "nothing to do"
    print(f"files put together: {compacted}; checkpoints written: {done.checkpoints}")
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
    told = f"{removed.bytes / 2**20:,.1f} MiB freed (record {done.record})" if done.record else "nothing to remove"
    print(told)
    if (since := rebuildable(done.rebuildable_since)) is not None:
        print(since)


def rebuildable(since: datetime | None) -> str | None:
    """From when on forecasts can be made again; null where every one can."""
    if since is None:
        return None
    return (
        f"forecasts published since {since:%Y-%m-%d %H:%M} UTC can be made again; `daypart maintain` removed the rest"
    )
