"""The files of a model version, and the digest that shows whether they changed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL_REMEDY = "promote another version, or run `daypart train`"


@dataclass(frozen=True)
class StoredModel:
    """The files of a version as they are now, their digest, and what is wrong with them (empty: nothing)."""

    unit: str
    version: int
    files: Mapping[str, bytes]
    sha256: str
    fault: str


def read_model(folder: Path, unit: str, version: Any, run: Any) -> StoredModel:
    """Return MLflow's `version` of a unit's model with the files in `folder`, compared with the digest of its run.

    A null `run` is one that was deleted.
    """
    name = f"version {version.version} of {unit}"
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    recorded, sha256, fault = (run.data.tags.get("model.sha256") if run else None), digest(files), ""
    if run is None:
        fault = f"{name} cannot be checked, its run {version.run_id} was deleted: {MODEL_REMEDY}"
    elif recorded is None:
        fault = f"{name} cannot be checked, its run {version.run_id} has no tag model.sha256: {MODEL_REMEDY}"
    elif recorded != sha256:
        fault = f"{name} is damaged, files in {folder} are gone or changed: restore them, {MODEL_REMEDY}"
    return StoredModel(unit, int(version.version), files, sha256, fault)


def digest(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of files, over their names and contents together."""
    hasher = hashlib.sha256()
    for name in sorted(files):
        hasher.update(f"{name}:{len(files[name])}:".encode() + files[name])
    return hasher.hexdigest()
