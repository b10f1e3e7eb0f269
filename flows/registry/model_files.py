"""The files of a model version, and the digest that shows whether they changed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARTIFACT = "daypart"
"""The name of the model's own files among the artifacts of the MLflow model that wraps them."""
MLMODEL = "MLmodel"
"""The file by which a folder is an MLflow model."""
LOADED_NOTE = "registered_model_meta"
"""The file that MLflow writes beside a version when it loads it: of no model, and no part of the digest."""
_OWN_PREFIX = f"artifacts/{ARTIFACT}/"
MODEL_REMEDY = "promote another version, or run `daypart train`"


@dataclass(frozen=True)
class StoredModel:
    """The model's own files as they are now, and what is wrong with the version (empty: nothing).

    `sha256` is the digest of all files of the version: of the MLflow model with the model's own files in it, or of
    the latter alone in versions that earlier releases registered.
    """

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
    files = files_in(folder)
    recorded, sha256, fault = (run.data.tags.get("model.sha256") if run else None), digest(files), ""
    if run is None:
        fault = f"{name} cannot be checked, its run {version.run_id} was deleted: {MODEL_REMEDY}"
    elif recorded is None:
        fault = f"{name} cannot be checked, its run {version.run_id} has no tag model.sha256: {MODEL_REMEDY}"
    elif recorded != sha256:
        fault = f"{name} is damaged, files in {folder} are gone or changed: restore them, {MODEL_REMEDY}"
    return StoredModel(unit, int(version.version), own_files(files), sha256, fault)


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder by their path in it, but LOADED_NOTE."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / LOADED_NOTE)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def own_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of the model itself among those of a version, which may be an MLflow model around them."""
    if MLMODEL not in files:
        return dict(files)
    return {name.removeprefix(_OWN_PREFIX): content for name, content in files.items() if name.startswith(_OWN_PREFIX)}


def digest(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of files, over their names and contents together."""
    hasher = hashlib.sha256()
    for name in sorted(files):
        hasher.update(f"{name}:{len(files[name])}:".encode() + files[name])
    return hasher.hexdigest()
