from pathlib import Path
from typing import Any

import psutil
import pytest

from daypart.flows.compute.free_memory import available_gib
from daypart.flows.jobs import snapshot


@pytest.mark.parametrize(
    ("limit", "used", "cached", "available"),
    [
        ("1048576", "524288", "0", 0.5 / 1024),
        ("1048576", "1048576", "262144", 0.25 / 1024),
        ("1048576", "9999999", "0", 0.0),
    ],
)
def test_a_container_s_limit_is_what_is_left(
    tmp_path: Path, limit: str, used: str, cached: str, available: float
) -> None:
    for name, text in {
        "memory.max": limit,
        "memory.current": used,
        "memory.stat": f"anon 7\ninactive_file {cached}",
    }.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert available_gib(tmp_path) == available


@pytest.mark.parametrize("limit", [None, "max"])
def test_without_a_limit_it_is_the_machine_s(tmp_path: Path, limit: str | None) -> None:
    if limit:
        for name, text in {"memory.max": limit, "memory.current": "5", "memory.stat": "inactive_file 1"}.items():
            (tmp_path / name).write_text(text)
    assert available_gib(tmp_path) == pytest.approx(psutil.virtual_memory().available / 2**30, rel=0.2)


def test_too_little_memory_for_a_block_is_one_line_and_leaves_what_was_published(
    world: Any, daypart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, versions = world.forecasts(), world.versions()
    monkeypatch.setattr(snapshot, "available_gib", lambda: 0.001)
    for command in (["forecast", "--refresh"], ["train", "--as-of", "2024-02-20"]):
        result = daypart(world.home, *command)
        assert (result.status, result.err.count("\n")) == (1, 1)
        assert "stores of" in result.err
        assert "0.0 GiB are left" in result.err
    assert world.forecasts().equals(before)
    assert world.versions() == versions
    monkeypatch.undo()
