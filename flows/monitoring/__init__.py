"""Published forecasts scored against actuals, and decisions to retrain.

Start with `monitor`; `scoring` keeps scores by the hour, `portfolio` shows every unit's state.
"""
