from pathlib import Path
from typing import Any

import pytest

SPAN = ("--start", "2024-01-22", "--end", "2024-02-25", "--every-days", "7", "--targets", "orders")


def test_policies_are_told_side_by_side_and_nothing_is_published(untrained: Any, daypart: Any, tmp_path: Path) -> None:
    file, out = tmp_path / "monthly.toml", tmp_path / "replay.html"
    file.write_text('[policy]\nretrain = "scheduled"\nevery_days = 28\n')
    before = untrained.versions()
    output = daypart(untrained.home, "replay", *SPAN, "--policy", "never", "weekly", file, "--out", out, "--json").json
    assert untrained.versions() == before
    assert not untrained.lake.exists("forecasts")
    rows = {row["policy"]: row for row in output["policies"]}
    assert list(rows) == ["never", "weekly", "monthly"]
    assert [row["retrains"] for row in rows.values()] == [0, 4, 1]
    assert {row["nights"] for row in rows.values()} == {5}
    assert len({row["accuracy_hour_bps"] - row["gain_hour_bps"] for row in rows.values()}) == 1
    for row in rows.values():
        assert row["cost_dollars"] == pytest.approx(row["cpu_seconds"] / 3600 * 0.0218)
    retrained = [(row["policy"], row["night"]) for row in output["nights"] if row["retrained"]]
    assert retrained[-1] == ("monthly", "2024-02-19")
    page = out.read_text("utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert all(f"<td>{name}</td>" in page for name in rows)
    assert "replay-orders" in page


def test_a_table_is_printed_and_written_with_a_picture(untrained: Any, daypart: Any, tmp_path: Path) -> None:
    span = ("--start", "2024-02-19", "--end", "2024-02-25", "--every-days", "7", "--targets", "orders")
    result = daypart(untrained.home, "replay", *span, "--policy", "never", "--out", tmp_path / "r.md")
    assert result.status == 0, result.err
    assert result.out.splitlines()[1].split()[:2] == ["orders", "never"]
    assert "![Weekly accuracy by policy](r.png)" in (tmp_path / "r.md").read_text("utf-8")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*SPAN, "--policy", "monthly"), "--policy is 'monthly'"),
        ((*SPAN, "--policy", "gone.toml"), "no policy file gone.toml"),
        ((*SPAN, "--policy", "never", "never"), "two policies named 'never'"),
        ((*SPAN, "--out", "replay.csv"), ".html, .md"),
        (("--start", "2024-02-25", "--end", "2024-01-22"), "is before --start"),
        (("--start", "2023-11-20", "--end", "2024-01-22"), "under 28 days of history"),
        (("--start", "2024-01-22", "--end", "2025-01-22"), "beyond the data"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_a_line(
    untrained: Any, daypart: Any, arguments: tuple[str, ...], message: str
) -> None:
    result = daypart(untrained.home, "replay", *arguments)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
