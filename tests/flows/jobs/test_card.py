"""A card is written with every version and read with what became of it."""

from datetime import datetime
from pathlib import Path

import pytest

from daypart.features.errors import NotKnownError
from daypart.flows.audit.audit_log import Audit, Entry
from daypart.flows.jobs import card as cards
from tests.flows.conftest import ORIGIN, SMALL, Daypart, World


def sections(text: str) -> dict[str, str]:
    parts = text.split("\n## ")
    return {head: body.strip() for head, _, body in (part.partition("\n") for part in parts[1:])}


def table(section: str) -> list[dict[str, str]]:
    lines = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("|")
    ]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_the_card_says_data_recipe_windows_accuracy_bias_limits_and_gate(published_world: World) -> None:
    world = published_world
    card = cards.card(world.as_home, "orders")
    assert (card.unit, card.version) == ("orders", 1)
    parts, description = sections(card.text), world.registry.describe("orders", 1)
    assert card.text.startswith(f"# Model card: orders, trained as of {ORIGIN}\n")
    reads = {name.removeprefix("read."): text for name, text in description["tags"].items() if name.startswith("read.")}
    assert {row["table"]: row["version"] for row in table(parts["Data"])} == reads
    recipe = {row["setting"]: row["value"] for row in table(parts["Recipe"])}
    assert {name: recipe[name] for name in SMALL} == {name: str(value) for name, value in SMALL.items()}
    assert "weather" in [row["family"] for row in table(parts["Members and features"].split("family of features:")[1])]
    assert "as of " in parts["How it was judged"]
    assert description["tags"]["gate"] in parts["Gate"]
    segments = table(parts["Accuracy by segment"])
    assert {row["by"] for row in segments} == {"all", "region", "format", "daypart", "lead_week", "weekday"}
    wape = 10_000 - int(segments[0]["accuracy_bps"].replace(",", ""))
    assert wape == pytest.approx(description["metrics"]["rolling_model_wape_bps"], abs=1)
    counted = [int(row["cells"].replace(",", "")) for row in segments if row["by"] in ("all", "format", "weekday")]
    assert sum(counted) == 3 * counted[0]
    assert {row["by"] for row in table(parts["Bias"])} >= {"region", "daypart"}
    assert "Independence Day" in parts["Limits"]
    assert "less than a year" in parts["Limits"]
    assert "champion" in parts["Version and approvals"]


def test_the_card_is_beside_the_model_and_not_of_it(published_world: World) -> None:
    description = published_world.registry.describe("orders", 1)
    assert "card.md" not in published_world.registry.load("orders", 1)
    file = published_world.registry.settings.artifacts / description["run_id"] / "artifacts" / "card" / "card.md"
    card = cards.card(published_world.as_home, "orders", 1)
    assert card.text.startswith(file.read_text(encoding="utf-8"))


def test_approvals_of_this_version_are_on_the_card(world: World) -> None:
    audit = Audit(world.lake, world.registry)
    for hour, role, activity, unit, details in (
        (1, "analyst", "promote", "orders", {"version": 1}),
        (2, "lead", "approve", "orders", {"version": 1, "reason": "a|b", "process": {"pid": 1}}),
        (3, "lead", "approve", "orders", {"version": 2}),
        (4, "lead", "approve", "sales", {"version": 1}),
    ):
        audit.append(datetime(2026, 1, 1, hour), role, Entry(activity, unit, details))
    approvals = table(sections(cards.card(world.as_home, "orders", 1).text)["Version and approvals"])
    # First, what the home's training did by itself.
    assert {row["role"] for row in approvals[:-2]} == {"automation"}
    assert [(row["role"], row["activity"]) for row in approvals[-2:]] == [("analyst", "promote"), ("lead", "approve")]
    assert approvals[-1]["details"] == "reason a\\|b"


@pytest.mark.parametrize("ending", ["md", "html"])
def test_the_command_writes_a_file(published_world: World, daypart: Daypart, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"card.{ending}"
    output = daypart(published_world.home, "card", "sales", "--version", 1, "--out", out, "--json").json
    assert (output["unit"], output["version"], output["out"]) == ("sales", 1, str(out))
    text = out.read_text(encoding="utf-8")
    assert text == output["card"] if ending == "md" else text.count("<table>") >= 6
    assert "Model card: sales" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("orders", "--version", 9), "no version 9"),
        (("tips",), "no model for tips"),
        (("orders", "--out", "a.pdf"), ".md, .html"),
    ],
)
def test_a_card_that_is_not_there_is_refused(
    published_world: World, daypart: Daypart, arguments: tuple[object, ...], message: str
) -> None:
    result = daypart(published_world.home, "card", *arguments)
    assert result.status == 2
    assert message in result.err


def test_a_version_of_before_there_were_cards_says_so(published_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards.card_files, "read", lambda *_: None)
    with pytest.raises(NotKnownError, match="version 1 of orders has no card"):
        cards.card(published_world.as_home, "orders")
