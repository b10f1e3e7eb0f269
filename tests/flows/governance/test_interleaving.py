"""Commands for one unit at the same time have the effect of one after the other, and who comes too late is told."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import cache
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest

from daypart.features.errors import DaypartError, NotKnownError
from daypart.flows.audit.audit_history import UnitHistory
from daypart.flows.audit.audit_log import Audit
from daypart.flows.files import process
from daypart.flows.governance.approval import approve, pending, reject
from daypart.flows.governance.champion_switch import Outcome
from daypart.flows.governance.promotion import promote, rollback
from daypart.flows.governance.signoff import Signoff
from daypart.flows.home import Home
from daypart.flows.jobs.status import status
from daypart.flows.registry.registry import Registry
from tests.flows.conftest import House

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2025, 3, 1, 4)
RULE = "[raci.top.promote]\nresponsible = ['engineer']\naccountable = 'lead'\napproval = true\nseparate = false\n"
Command = Callable[[Home], Outcome]
COMMANDS: dict[str, Command] = {
    "approve": lambda home: approve(home, "5", Signoff("lead", NOW)),
    "reject": lambda home: reject(home, "5", Signoff("lead", NOW)),
    "ask": lambda home: promote(home, "orders", 3, Signoff("engineer", NOW)),
    "ask again": lambda home: promote(home, "orders", 2, Signoff("engineer", NOW)),
    "promote": lambda home: promote(home, "orders", 3, Signoff("lead", NOW)),
    "promote what waits": lambda home: promote(home, "orders", 2, Signoff("lead", NOW)),
    "rollback": lambda home: rollback(home, "orders", Signoff("analyst", NOW)),
}
STEPS = ((Audit, "extend"), (Registry, "set_alias"))
QUICK = [("approve", "reject"), ("reject", "approve"), ("approve", "rollback")]
Result = tuple[object, ...]


class Killed(BaseException):
    """The process ends here."""


class Template:
    """Copies of a home in which v4 serves after v1, and request 5 asks for v2."""

    def __init__(self, database: Path, folder: Path) -> None:
        house = House(folder / "first")
        house.home.mkdir()
        self.template, self.folder, self.number = house.home, folder, count()
        shutil.copy(database, house.home / "mlflow.db")
        (house.home / "governance.toml").write_text(RULE)
        house.add(tier="top", count=4)
        for version in (1, 4):
            promote(house.as_home, "orders", version, Signoff("lead", NOW))
        assert promote(house.as_home, "orders", 2, Signoff("engineer", NOW)).request == 5
        self.in_turn = cache(self._in_turn)

    def _in_turn(self, *commands: str) -> Result:
        """What commands come to that run one after the other."""
        house = self.copy()
        outcomes = [attempted(command, house.as_home) for command in commands]
        return (state(house), *outcomes)

    def copy(self) -> House:
        home = self.folder / str(next(self.number))
        shutil.copytree(self.template, home)
        return House(home)


@pytest.fixture(scope="module")
def template(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(database, tmp_path_factory.mktemp("copies"))


def attempted(command: str, home: Home) -> object:
    try:
        outcome = COMMANDS[command](home)
    except DaypartError:
        return "refused"
    return outcome.state, outcome.version


def state(house: House) -> tuple[object, ...]:
    """What serves, what served, and what waits."""
    trail = UnitHistory.from_records(house.audit.records(), "orders")
    assert trail.under_way is None
    assert house.audit.verify().faults == []
    waiting = [(request.number, request.version, request.role) for request in pending(house.audit.records())]
    assert trail.last == house.champion()
    return house.champion(), tuple(spell.version for spell in trail.spells), tuple(version for _, version, _ in waiting)


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, event: Callable[[], None]) -> list[int]:
    """Runs the event once, before (even numbers) or after (odd) a writing step; the steps counted so far."""
    steps, inside = [0], [False]

    def wrapped(reached: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if inside[0]:
                return reached(*arguments, **options)
            for part in (None, reached):
                step_result = part and part(*arguments, **options)
                if steps[0] == number:
                    inside[0] = True
                    event()
                    inside[0] = False
                steps[0] += 1
            return step_result

        return step

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, wrapped(getattr(owner, name)))
    return steps


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(*pair, id=" while ".join(reversed(pair)), marks=[] if pair in QUICK else [pytest.mark.faults])
        for pair in product(COMMANDS, repeat=2)
    ],
)
def test_commands_at_once_are_as_one_after_the_other(
    template: Template, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    allowed = [template.in_turn(first, second)]
    after, other, one = template.in_turn(second, first)
    allowed.append((after, one, other))
    for alone, outcomes in ((first, lambda it: (it, "refused")), (second, lambda it: ("refused", it))):
        after, it = template.in_turn(alone)
        allowed.append((after, *outcomes(it)))
    for number in count():
        house, seconds = template.copy(), []
        home = house.as_home
        with monkeypatch.context() as patch:
            # Another process has its own connections.
            steps = at_step(patch, number, lambda: seconds.append(attempted(second, house.as_home)))  # noqa: B023
            outcome = attempted(first, home)
        if not seconds:
            assert steps[0] >= 2 or first == "ask again"
            break
        assert (state(house), outcome, *seconds) in allowed, number


@pytest.mark.faults
@pytest.mark.parametrize(("first", "second"), list(product(COMMANDS, repeat=2)))
def test_a_command_after_one_that_was_killed_is_as_if_that_one_was_done_or_never_begun(
    template: Template, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    allowed = [template.in_turn(first, second)[::2], template.in_turn(second)]

    def die() -> None:
        for owner, name in STEPS:
            patch.setattr(owner, name, lambda *_, **__: (_ for _ in ()).throw(Killed()))
        raise Killed

    for number in count():
        house, died = template.copy(), True
        with monkeypatch.context() as patch:
            at_step(patch, number, die)
            with suppress(Killed):
                attempted(first, house.as_home)
                died = False
        if not died:
            break
        monkeypatch.setattr(process, "lives", lambda _: False)
        outcome = attempted(second, house.as_home)
        if UnitHistory.from_records(house.audit.records(), "orders").under_way is None:
            assert (state(house), outcome) in allowed, number
        else:
            # A refused command ends nothing.
            assert outcome == "refused", number


def test_who_comes_while_an_approval_moves_the_champion_is_told(
    template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, messages = template.copy(), []

    def run_refused_commands() -> None:
        for command in ("reject", "approve", "ask", "promote", "rollback"):
            with pytest.raises(DaypartError) as refused:
                COMMANDS[command](house.as_home)
            messages.append(str(refused.value))

    with monkeypatch.context() as patch:
        at_step(patch, 2, run_refused_commands)
        assert COMMANDS["approve"](house.as_home).state == "serves"
    assert len(set(messages)) == 1
    assert "is just moving orders to v2, as request 5 asked for (record 6): run again when it has ended" in messages[0]
    with pytest.raises(NotKnownError, match=r"no request 5 waits for an approval; it was approved \(record 7\)"):
        COMMANDS["reject"](house.as_home)
    assert house.champion() == 2


KILL = """
import os, signal, sys
from tests.flows.conftest import House
from tests.flows.governance.test_interleaving import COMMANDS, Path, Registry
def struck(*given):
    os.kill(os.getpid(), signal.SIGKILL)
Registry.set_alias = struck
COMMANDS["approve"](House(Path(sys.argv[1])).as_home)
"""


def test_the_request_of_an_approval_killed_before_the_move_waits_again(template: Template) -> None:
    house = template.copy()
    killed = subprocess.run([sys.executable, "-c", KILL, str(house.home)], cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (notice,) = status(house.as_home, NOW).notices
    assert "to promote v2 was begun (record 6)" in notice
    assert "do it again (`daypart approve 5`), which ends it" in notice
    assert COMMANDS["reject"](house.as_home).told == "request 5 is rejected: v4 keeps serving"
    assert (house.champion(), pending(house.audit.records())) == (4, [])
    assert [state for *_, state in house.states()][-3:] == ["begun", "undone", "rejected"]
