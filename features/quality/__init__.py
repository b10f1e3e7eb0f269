"""Faults and drift of the data, checked before a model is blamed.

Start with `data_health` (faults of demand by store); `input_drift` compares inputs with the same season a year before.
"""
