"""Labor as scheduled. Hours worked are never a feature of their own hour: they follow demand."""

SCHEDULED = "scheduled_hours"
"""Person-hours, the one column of the table that is known before its hour."""
