"""Reconciliation: the registry's champion aliases, compared with what the audit records say."""

from collections.abc import Mapping

import polars as pl

from flows.trail import Trail, units


def differences(records: pl.DataFrame, aliases: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """By unit a line that says how its champion differs from the last one on record, and the remedy.

    `aliases` are those of the registry. A move under way is no difference: its end is not recorded yet.
    """
    champions = {unit: named["champion"] for unit, named in aliases.items() if "champion" in named}
    lines = {}
    for unit in sorted({*champions, *units(records)}):
        champion = champions.get(unit)
        recorded = Trail.of(records, unit).seen(champion).last
        if recorded != champion:
            lines[unit] = f"{unit}: {_difference(unit, champion, recorded)}"
    return lines


def _difference(unit: str, champion: int | None, recorded: int | None) -> str:
    if recorded is None:
        return (
            f"v{champion} serves, and no audit record says since when or by whom: record it with "
            f"`daypart promote {unit} --version {champion}`"
        )
    serves = "no version is the champion" if champion is None else f"v{champion} serves"
    told = f"{serves}, but the last that the audit records have is v{recorded}"
    return f"{told}: it was moved outside of daypart; promote or roll back to put it right"
