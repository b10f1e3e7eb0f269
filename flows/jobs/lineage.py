"""Lineage: what made a published forecast, kept in the commit that publishes it and in the runs of the registry.

The commit and its lineage stand or fall together. The runs come after it: `repair` puts those in place that a process
that was killed in between left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import date
from typing import IO, Any

import polars as pl

from daypart.flows.files.lock import file_lock
from daypart.flows.governance.champions import Champion
from daypart.flows.home import Home
from daypart.flows.lake.lake import Lake
from daypart.flows.registry.registry import Registry
from daypart.flows.registry.runs import RunRecord, table_versions

KEY = "lineage"
"""The commit's metadata in which the lineage is kept."""


@dataclass(frozen=True)
class TargetLineage:
    """One target's part of a publication: rows, the version that served or how many models did, and their digests.

    `models` has the digest of the files by published name, such as orders-v1; `refused` says which models were
    passed over because they are damaged.
    """

    rows: int
    model_version: str
    models: dict[str, str]
    refused: list[str]

    @classmethod
    def from_champions(cls, champions: Sequence[Champion], rows: int) -> "TargetLineage":
        """Return the lineage of rows that the champions of one target made."""
        models = {champion.served.version: champion.sha256 for champion in champions}
        target = champions[0].served.model.target
        of_chain = [champion.version for champion in champions if champion.unit == target]
        model_version = str(of_chain[0]) if len(models) == 1 and of_chain else f"{len(models)} models"
        refused = sorted({champion.notice for champion in champions if champion.notice})
        return cls(rows, model_version, models, refused)


@dataclass(frozen=True)
class Publication:
    """What the forecast of an origin was made from: the Delta version of every table read, and each target's part."""

    origin: date
    reads: dict[str, int]
    targets: dict[str, TargetLineage]

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata of the commit that publishes the forecast."""
        return {KEY: json.dumps({**asdict(self), "origin": self.origin.isoformat()}, sort_keys=True)}

    @classmethod
    def from_commit(cls, commit: Mapping[str, Any]) -> "Publication | None":
        """Return what a commit has; null for one that published no forecast, or none with its lineage."""
        if KEY not in commit:
            return None
        details = json.loads(commit[KEY])
        targets = {target: TargetLineage(**part) for target, part in details["targets"].items()}
        return cls(date.fromisoformat(details["origin"]), details["reads"], targets)


def publications(lake: Lake) -> Iterator[tuple[int, Publication]]:
    """Yield what was published with its lineage, newest first, with the version of table forecasts that it made.

    Raises NotKnownError where nothing was published.
    """
    for commit in lake.commits("forecasts"):
        publication = Publication.from_commit(commit)
        if publication is not None:
            yield commit["version"], publication


def reads_of(home: Home, targets: Sequence[str], origin: date) -> dict[str, int] | None:
    """Return the table versions that the last publication of the origin read; null where nothing says.

    The commit says so; where it is of before commits did, or is not in the log any more, the run does. Raises
    NotKnownError where nothing was published.
    """
    publication = next((candidate for _, candidate in publications(home.lake) if candidate.origin == origin), None)
    if publication is not None:
        return publication.reads
    runs = pl.concat(home.registry.runs("forecast", target, {"origin": origin.isoformat()}) for target in targets)
    if runs.is_empty():
        return None
    return table_versions(json.loads(runs["tags"][-1]))


def publishing(registry: Registry) -> AbstractContextManager[IO[str]]:
    """Hold off other processes of this machine from a commit of table forecasts until its runs are recorded."""
    return file_lock(registry.settings.home / "publication.lock")


def record(
    registry: Registry, version: int, publication: Publication, target: str, figures: Mapping[str, float]
) -> None:
    """Keep the run of one target's part of a publication: models, tables read, refused models and figures."""
    part = publication.targets[target]
    params: dict[str, object] = {**_identifying(version, publication), "model_version": part.model_version}
    if part.refused:
        params["refused"] = part.refused
    figures = {"rows": part.rows, **figures}
    registry.record(RunRecord("forecast", target, params, figures, publication.reads, models=part.models))


def repair(home: Home) -> None:
    """Record the runs that publications lack because their process was killed; what it measured is lost.

    Publications are looked at from the newest on, up to the first one that lacks nothing.
    """
    if not home.lake.exists("forecasts"):
        return
    with publishing(home.registry):
        for version, publication in publications(home.lake):
            lacking = [
                target
                for target in publication.targets
                if home.registry.runs("forecast", target, _identifying(version, publication)).is_empty()
            ]
            if not lacking:
                return
            for target in lacking:
                record(home.registry, version, publication, target, {})


def _identifying(version: int, publication: Publication) -> dict[str, str]:
    """The params that tell a publication's runs from those of all others."""
    return {"origin": publication.origin.isoformat(), "published_version": str(version)}
