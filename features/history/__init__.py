"""Past demand as known at an origin: trading hours, levels, trends, holidays.

Start with `demand_history`; `horizon` makes the hours to forecast, `smoothed_baseline` the incumbent with less noise.
"""
