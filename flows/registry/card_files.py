"""Cards: the text that goes with a model's run, beside its files and not among them."""

from pathlib import Path

from daypart.flows.config.settings import Settings
from daypart.flows.files.atomic_files import drafted


def keep(settings: Settings, run_id: str, text: str) -> None:
    """Writes the card of a run, whole or not at all."""
    path = _place(settings, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with drafted(path) as draft:
        draft.write_text(text, encoding="utf-8")


def kept(settings: Settings, run_id: str) -> str | None:
    """The card of a run; null where it has none."""
    path = _place(settings, run_id)
    return path.read_text(encoding="utf-8") if path.exists() else None


def _place(settings: Settings, run_id: str) -> Path:
    return settings.artifacts.resolve() / run_id / "artifacts" / "card" / "card.md"
