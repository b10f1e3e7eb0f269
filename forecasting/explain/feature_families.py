"""Families: the groups of features by which a planner reads an explanation."""

USUAL, LEVEL, CALENDAR, WEATHER, EVENT, HOLIDAY = "usual", "level", "calendar", "weather", "event", "holiday"
LABOR, ECONOMY, STORE, YOUNG, LIMITS = "labor", "economy", "store", "young store", "limits"
FAMILIES = (USUAL, LEVEL, CALENDAR, WEATHER, EVENT, HOLIDAY, LABOR, ECONOMY, STORE, YOUNG, LIMITS)
"""`usual`: what the hour usually sells; `level`: the recent level and its trend; `calendar`: time of year, month and
week; `young store`: what similar stores sell, for lack of weeks of its own; `limits`: bounds of a forecast."""

BEGINNINGS = (
    ("calendar_hour", USUAL), ("calendar_lead_days", LEVEL), ("calendar_days_to_holiday", HOLIDAY),
    ("calendar_days_since_holiday", HOLIDAY), ("calendar_", CALENDAR), ("history_holiday", HOLIDAY),
    ("history_last_year", CALENDAR), ("history_open_days", STORE), ("history_silent_days", STORE),
    ("history_shape", USUAL), ("history_half_year_shape", USUAL), ("history_incumbent", USUAL), ("history_", LEVEL),
    ("weather_", WEATHER), ("event_", EVENT), ("labor_", LABOR), ("macro_", ECONOMY),
)  # fmt: skip
"""The first that a feature's name begins with says its family."""


def family(feature: str) -> str:
    """Return the family of a feature, or of a part that is named for one. Raises KeyError for any other name."""
    if feature in FAMILIES:
        return feature
    family_name = next((family for beginning, family in BEGINNINGS if feature.startswith(beginning)), None)
    if family_name is None:
        raise KeyError(f"{feature} has no family: name its beginning in BEGINNINGS")
    return family_name
