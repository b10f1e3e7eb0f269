"""Accuracy of forecasts and its evidence: WAPE in basis points, bias, coverage, expected error.

Start with `accuracy`. `score_tallies` keeps sums that add up by any group; `bootstrap` says how sure a ratio is.
"""
