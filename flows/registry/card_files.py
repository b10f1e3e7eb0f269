"""Model cards: the text that belongs to a model's run, stored beside the model's files."""

from pathlib import Path

from daypart.flows.config.settings import Settings
from daypart.flows.files.atomic_files import atomic_write


def write(settings: Settings, run_id: str, text: str) -> None:
    """Write the card of a run, completely or not at all."""
    path = _path(settings, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")


def read(settings: Settings, run_id: str) -> str | None:
    """Return the card of a run; null where it has none."""
    path = _path(settings, run_id)
    return path.read_text(encoding="utf-8") if path.exists() else None


def _path(settings: Settings, run_id: str) -> Path:
    return settings.artifacts.resolve() / run_id / "artifacts" / "card" / "card.md"
