"""Models: the versions of a home, checked against the registry and the audit, and which of them serve."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

from daypart.features.errors import DamagedError
from daypart.flows.audit.audit_history import UnitHistory, units
from daypart.flows.audit.audit_log import Audit
from daypart.flows.home import Home
from daypart.flows.registry.model_files import MODEL_REMEDY, StoredModel
from daypart.flows.registry.registry import champions_of


@dataclass(frozen=True)
class ServingModel:
    """The model that serves a unit: its champion, or where that is `refused` the last version before it that is whole.

    `refused` says of every version that was passed over what is wrong with it, the champion first.
    """

    version: int
    files: Mapping[str, bytes]
    sha256: str
    refused: tuple[str, ...] = ()

    def notice(self, unit: str) -> str:
        """One line that names what is refused and what serves in its place; empty where nothing is refused."""
        return f"{unit}: {'; '.join(self.refused)}; v{self.version} serves in its place" if self.refused else ""


class ModelStore:
    """The model versions of a home.

    A version's files have to match the digest that its run recorded, and the one that the audit recorded when it was
    trained: an edit of files and of the registry's database together shows by the latter. Where the audit cannot be
    read, or never recorded the version's training, the registry alone is asked.
    """

    def __init__(self, home: Home) -> None:
        self._lake, self._registry = home.lake, home.registry

    def load(self, unit: str, version: int) -> dict[str, bytes]:
        """The files of a version. NotKnownError where there is none, DamagedError where they do not match."""
        stored = self._registry.stored_model(unit, version)
        if fault := self._fault(stored):
            raise DamagedError(fault)
        return dict(stored.files)

    def holds(self, unit: str, version: int, files: Mapping[str, bytes]) -> bool:
        """Whether a version is there, whole, and has these files."""
        (stored,) = self._registry.stored_models({unit: version})
        return not self._fault(stored) and stored.files == files

    def champions(self) -> dict[str, int]:
        """By unit, the version that its champion alias names; where the alias is gone, the last on record.

        A unit whose model was deleted with all versions has none.
        """
        recorded = {unit: self._trail(unit).last for unit in units(self._records) if unit in self._named}
        return {**{unit: version for unit, version in recorded.items() if version is not None}, **self._aliases}

    def identical(self, unit: str, as_of: date, files: Mapping[str, bytes]) -> int | None:
        """The newest whole version of a unit with these files, trained as of that day; null where there is none."""
        runs = self._registry.runs("train", unit, {"as_of": as_of.isoformat()})
        same_day = runs["run_id"].implode()
        versions = self._registry.versions(unit).filter(pl.col("run_id").is_in(same_day))["version"]
        return next((v for v in versions.sort(descending=True) if self.holds(unit, v, files)), None)

    def serving(self, champions: Mapping[str, int]) -> Iterator[tuple[str, ServingModel | DamagedError]]:
        """Each unit with the model that serves it, given its champion; an error where no version that served is whole.

        Models are read one after the other: together they may be more than memory should hold.
        """
        for stored in self._registry.stored_models(champions):
            yield stored.unit, self._serving(stored)

    def serving_one(self, unit: str) -> ServingModel | None:
        """The model that serves a unit; null where it has no champion or none that is whole."""
        champion = self.champions().get(unit)
        model = None if champion is None else dict(self.serving({unit: champion}))[unit]
        return model if isinstance(model, ServingModel) else None

    def serving_versions(self) -> dict[str, tuple[int | None, str]]:
        """By unit with a champion, the version that serves it, and a line where that is another than the champion.

        The version is null where none is whole.
        """
        return {
            unit: (None, f"{unit}: {model}") if isinstance(model, DamagedError) else (model.version, model.notice(unit))
            for unit, model in self.serving(self.champions())
        }

    def _serving(self, champion: StoredModel) -> ServingModel | DamagedError:
        refused: list[str] = []
        if champion.unit not in self._aliases:
            refused.append(f"its champion alias is gone, v{champion.version} is the last champion on record")
        for stored in self._candidates(champion):
            fault = self._fault(stored)
            if not fault:
                return ServingModel(stored.version, stored.files, stored.sha256, tuple(refused))
            refused.append(fault)
        return DamagedError(f"{'; '.join(refused)}; no other version that served is whole")

    def _candidates(self, champion: StoredModel) -> Iterator[StoredModel]:
        """The champion, then the versions that served before it, the latest first."""
        yield champion
        before = [version for version in self._trail(champion.unit).standing if version != champion.version]
        for version in dict.fromkeys(reversed(before)):
            yield from self._registry.stored_models({champion.unit: version})

    def _trail(self, unit: str) -> UnitHistory:
        return UnitHistory.from_records(self._records, unit).with_alias(self._aliases.get(unit))

    @cached_property
    def _named(self) -> dict[str, dict[str, int]]:
        """By unit of which there is a model, the version of each alias."""
        return self._registry.aliases()

    @cached_property
    def _aliases(self) -> dict[str, int]:
        """By unit, the version that its champion alias names."""
        return champions_of(self._named)

    def _fault(self, stored: StoredModel) -> str:
        """What is wrong with a version; empty where nothing is."""
        if stored.fault:
            return stored.fault
        number, recorded = self._recorded.get((stored.unit, stored.version), (0, None))
        if recorded in (None, stored.sha256):
            return ""
        return (
            f"version {stored.version} of {stored.unit} is damaged, its files and the registry are others than record "
            f"{number} of the audit has: restore them, {MODEL_REMEDY}"
        )

    @cached_property
    def _records(self) -> pl.DataFrame:
        try:
            return Audit(self._lake).records()
        except DamagedError:
            # Forecasts go on; `status` and `audit --verify` tell of the audit.
            return Audit.empty()

    @cached_property
    def _recorded(self) -> dict[tuple[str, int], tuple[int, str]]:
        """By unit and version, the record of its training and the digest of its files; of several the last."""
        details = pl.col("details")
        trained = self._records.filter(pl.col("activity") == "retrain").select(
            "unit", details.str.json_path_match("$.version").cast(pl.Int64).alias("version"), "sequence",
            details.str.json_path_match("$.sha256").alias("sha256"),
        ).drop_nulls()  # fmt: skip
        return {(unit, version): (number, sha256) for unit, version, number, sha256 in trained.iter_rows()}
