"""Prediction intervals and residual paths, from errors of rolling-origin forecasts.

Start with `bands`; `residual_paths` draws whole days together, so that quantiles add up.
"""
