"""A forecast as users get it, at every level, and the same forecast at past origins.

Start with `publication`; `levels` adds hours up, `forecast_limits` bounds them, `backtest` rolls the origin.
"""
