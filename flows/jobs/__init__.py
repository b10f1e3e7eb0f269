"""Jobs: each reads the lake, calls forecasting, and writes once.

Start with `forecast` and `train`; `snapshot` is what jobs read, `lineage` what a published forecast was made from.
"""
