"""Young stores: which established stores they resemble, and rows blended from those.

Start with `similar_stores`; `young_stores` makes the rows.
"""
