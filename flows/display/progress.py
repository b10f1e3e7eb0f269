"""How progress is shown: a bar where a person looks on, JSON lines for a log, and otherwise nothing."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from daypart.features.errors import InputError
from daypart.forecasting.progress import Progress, silent

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

LOG_VARIABLE = "DAYPART_LOG"
REFRESHES_PER_SECOND = 4
BAR_WIDTH = 18
SHARE_DIGITS = 4


@dataclass(frozen=True)
class JsonLog:
    """The log of one command: one JSON object a line on stderr, with the time (UTC), the command and its home."""

    command: str
    home: Path

    def write(self, fields: Mapping[str, object]) -> None:
        """Write one line."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "command": self.command, "home": str(self.home.absolute()), **fields}
        print(json.dumps(line, default=str), file=sys.stderr, flush=True)

    def progress(self, step: str, share: float) -> None:
        """Write a step as it begins."""
        self.write({"step": step, "share": round(share, SHARE_DIGITS)})


def wants_json_log() -> bool:
    """Return whether DAYPART_LOG asks for a log of JSON lines. Raises InputError where it is another word."""
    word = os.environ.get(LOG_VARIABLE, "")
    if word not in ("", "json"):
        raise InputError(f"{LOG_VARIABLE} is {word!r}: expected json, for a log of JSON lines on stderr; or unset it")
    return word == "json"


@contextmanager
def open_progress(command: str, home: Path) -> Iterator[Progress]:
    """Yield what shows the progress of a command while the block lasts.

    A terminal gets a bar with the share that is done, the time since the start and the time left. With
    DAYPART_LOG=json every step is a line of the log, on a terminal too; a job that ends well has a last one, `done`.
    """
    if wants_json_log():
        log = JsonLog(command, home)
        yield log.progress
        log.progress("done", 1.0)
    elif sys.stderr.isatty():
        with _bar() as progress:
            yield progress
    else:
        yield silent


def log_stages(command: str, home: Path, stages: Iterable[Mapping[str, object]]) -> None:
    """Write what the stages of a job took to the log, where DAYPART_LOG asks for one; one line a stage."""
    if wants_json_log():
        for stage in stages:
            JsonLog(command, home).write(stage)


@contextmanager
def _bar() -> Iterator[Progress]:
    """Yield what moves a bar on the terminal; nothing of it stays when the block ends."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    step_column = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns = (BarColumn(BAR_WIDTH), TaskProgressColumn(), _time_left(), step_column)
    bar = Bar(
        *columns,
        console=Console(stderr=True),
        refresh_per_second=REFRESHES_PER_SECOND,
        transient=True,
        redirect_stdout=False,
    )
    with bar:
        task = bar.add_task("start", total=1.0)
        yield lambda step, share: bar.update(task, completed=share, description=step)


def _time_left() -> "ProgressColumn":
    """Return a column with the time since the start and the time left, which runs down between two steps."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        step_began: tuple[float, float] = (0.0, 0.0)
        """The share and the elapsed seconds at which the present step began."""

        def render(self, task: Task) -> Text:
            elapsed = task.elapsed or 0.0
            if task.completed != self.step_began[0]:
                self.step_began = task.completed, elapsed
            share, began = self.step_began
            left = began / share - elapsed if share else None
            text = "" if left is None else f", {_clock(max(left, 0.0))} left"
            return Text(f"{_clock(elapsed)}{text}", style="progress.remaining")

    return TimeLeft()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
