"""Covariates as they were known at an origin: calendar, events, weather, macro-economic series, labor.

Start with `covariates`, which gathers them for a block of stores. `covariate_masking` hides some from training rows.
"""
