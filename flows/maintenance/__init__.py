"""Upkeep of a home: tables compacted, and what no retention rule needs removed.

Start with `maintain`.
"""
