"""Audit records: appended only, chained by their hashes, verified.

Start with `audit_log`; `verification` finds what was changed, `audit_history` reads what happened to a unit.
"""
