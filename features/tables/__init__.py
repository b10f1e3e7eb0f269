"""Canonical tables: what each column means, how cells are parsed, and which rows are refused.

Start with `schemas`; `conform` is the one way in. `checks` holds the reasons to refuse a row.
"""
