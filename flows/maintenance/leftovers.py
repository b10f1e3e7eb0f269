"""Files under a home that nobody will read any more: old lists of refused rows, and drafts of processes that died."""

from datetime import UTC, datetime
from pathlib import Path

from daypart.flows.files.atomic_files import DRAFT_PREFIX

DRAFTS = (
    "refused/*.tmp", "lake/audit/.*.partial", ".mlflow.db.*", "tune/.*.partial.db", "prefect/.login.*",
    "reports/.*.partial.*", f"**/{DRAFT_PREFIX}*",
)  # fmt: skip
"""What a process writes before it takes its place, by pattern below the home."""


def drafts(home: Path, before: datetime) -> list[Path]:
    """Drafts last written before a moment: their processes are gone."""
    paths = (path for pattern in DRAFTS for path in home.glob(pattern))
    return sorted(path for path in paths if path.is_file() and written_before(path, before))


def refusals(home: Path, before: datetime) -> list[Path]:
    """Lists of refused rows last written before a moment."""
    return sorted(path for path in (home / "refused").glob("*.csv") if written_before(path, before))


def written_before(path: Path, moment: datetime) -> bool:
    """Whether the file was last written before a moment in naive UTC."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None) < moment
