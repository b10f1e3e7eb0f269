"""Members, ensemble and trainer: how a model of one target is made and what it forecasts.

Start with `recipe`, then `trainer` and `model`. `tuning` searches for a better recipe.
"""
