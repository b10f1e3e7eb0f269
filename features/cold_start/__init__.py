"""Young stores: their donors, established stores like them, and rows blended from donors' and own demand.

Start with `similar_stores`; `young_stores` makes the rows.
"""
