"""A year of nights of a small chain: what a night takes, and what the home holds, as it ages.

python -m infra.bench.upkeep.soak FOLDER [--nights N] [--minutes N]

Every night ingests a day, forecasts, and monitors; every seventh runs `maintain` with short retention. Nights follow
on each other at once: after each, the times of what it wrote are moved back to when it would have been written. The
last night's rebuilds cover every publication that is inside the retention. Times are of the processor, as this
process has it: what else the machine does is none of the home's age. `--minutes` ends the nights early.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import polars as pl

from daypart.features.simulator import ChainSpec, simulate
from daypart.flows.config.settings import Settings
from daypart.flows.home import Home
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.rebuild import rebuild
from daypart.flows.jobs.train import train
from daypart.flows.maintenance.maintain import maintain
from daypart.flows.monitoring.monitor import monitor
from daypart.forecasting.models.recipe import Recipe
from tests.flows.aging import age, files

RECIPE = Recipe(weather="none", rounds=10, max_rows=4000, folds=1)
HISTORY_DAYS, MONTH, WEEK = 120, 30, 7
RETENTION = {"versions_days": 14, "forecasts_days": 90, "scores_days": 90, "runs_days": 14, "refusals_days": 14}
EARLY, LATE, MOST_GROWTH = slice(14, 45), slice(-30, None), 1.15


@dataclass
class Soak:
    """The home of a chain that lives night after night, and what each night took."""

    folder: Path
    nights: int
    seconds: list[float] = field(default_factory=list)
    steps: list[dict[str, float]] = field(default_factory=list)
    sizes: list[dict[str, int]] = field(default_factory=list)
    maintained: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        spec = ChainSpec(stores=3, days=HISTORY_DAYS + self.nights, seed=3, issues_days=0, observed_days=0)
        self.settings = Settings(home=self.folder / "home", **RETENTION)
        self.home = Home(self.settings)
        self.lake = self.home.lake
        self.tables, self.first = simulate(spec).tables, spec.end - timedelta(days=self.nights)
        self.begin = datetime.now(UTC) - timedelta(days=self.nights + 1)
        self.known: set[Path] = set()

    def live(self, minutes: float) -> None:
        """Live the nights one by one, and stop early after so many minutes. Prints the figures of each month."""
        give_up = time.monotonic() + 60 * minutes
        self.lake.upsert("stores", self.tables["stores"])
        self.lake.upsert("demand", self.demand_before(self.first))
        train(self.home, RECIPE, now=self.begin)
        self.age(self.begin)
        for night in range(self.nights):
            self.night(night)
            if time.monotonic() > give_up:
                break
            if (night + 1) % MONTH == 0:
                print(json.dumps(self.month(night // MONTH)), flush=True)

    def night(self, number: int) -> None:
        """Ingest a day, forecast and monitor; maintain every seventh night."""
        day, now = self.first + timedelta(days=number), self.begin + timedelta(days=number + 1)
        on_day = pl.col("hour_local").dt.date() == day
        path = self.folder / "day.parquet"
        sold = self.tables["demand"].filter(on_day)
        sold.write_parquet(path)
        took = {}
        for name, job in {
            # On a day when every store is closed no till sends a file.
            "ingest": lambda: sold.is_empty() or ingest_table(self.home, "demand", [path]),
            "forecast": lambda: publish(self.home),
            "monitor": lambda: monitor(self.home, now=now),
        }.items():
            began = time.process_time()
            job()
            took[name] = time.process_time() - began
        self.age(now)
        began = time.process_time()
        if (number + 1) % WEEK == 0:
            maintain(self.home, now)
            self.age(now)
        self.maintained.append(time.process_time() - began)
        self.steps.append(took)
        self.seconds.append(sum(took.values()))
        self.sizes.append(sizes(self.settings.home))

    def demand_before(self, day: date) -> pl.DataFrame:
        """Return the demand of the days before a day."""
        return self.tables["demand"].filter(pl.col("hour_local").dt.date() < day)

    def age(self, moment: datetime) -> None:
        """Moves the times of all that was written since the last call back to a moment."""
        age(self.settings.home, datetime.now(UTC) - moment, self.known)
        self.known = files(self.settings.home)

    def month(self, number: int) -> dict[str, object]:
        """The figures of a month of nights: medians in seconds, and what the home holds at its end."""
        nights = slice(number * MONTH, (number + 1) * MONTH)
        took = {name: round(median(step[name] for step in self.steps[nights]), 2) for name in self.steps[0]}
        night = round(median(self.seconds[nights]), 2)
        maintenance = [seconds for seconds in self.maintained[nights] if seconds > 0.001]
        return {
            "month": number + 1, **took, "night": night, "maintain": round(median(maintenance or [0.0]), 2),
            **{name: value if name.endswith("files") else round(value / 2**20, 1)
               for name, value in self.sizes[nights][-1].items()},
        }  # fmt: skip

    def checks(self) -> dict[str, object]:
        """What must hold at the end."""
        early, late = median(self.seconds[EARLY]), median(self.seconds[LATE])
        newest = self.lake.scan("forecasts").select(pl.col("origin_date").max()).collect().item()
        since = newest - timedelta(days=RETENTION["versions_days"])
        origins = [since + timedelta(days=days) for days in range((newest - since).days + 1)]
        rebuilt = [rebuild(self.home, origin) for origin in origins]
        return {
            "nights": len(self.seconds), "early": round(early, 2), "late": round(late, 2), "growth": round(late / early, 3),
            "time": late <= MOST_GROWTH * early,
            "files": [size["files"] for size in self.sizes[::MONTH]],
            "rebuilt": f"{sum(night.same for night in rebuilt)} of {len(rebuilt)}",
            "audit": self.home.audit.verify().faults,
        }  # fmt: skip


def sizes(home: Path) -> dict[str, int]:
    """Files and bytes: of the audit, which is never cut, and of all else."""
    file_sizes = [(path, path.stat().st_size) for path in home.rglob("*") if path.is_file()]
    audit = [size for path, size in file_sizes if "audit" in path.parts]
    return {
        "files": len(file_sizes) - len(audit), "mib": sum(size for _, size in file_sizes) - sum(audit),
        "audit_files": len(audit), "audit_mib": sum(audit),
    }  # fmt: skip


def main() -> None:
    """Run the soak and print its checks as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nights", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=600.0)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    soak = Soak(arguments.folder, arguments.nights)
    soak.live(arguments.minutes)
    print(json.dumps(soak.checks(), default=str))


if __name__ == "__main__":
    sys.exit(main())
