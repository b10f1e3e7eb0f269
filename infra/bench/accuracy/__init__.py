"""Backtests of real data beside two peers, and recovery of effects and cold starts on simulated chains.

`python -m infra.bench.accuracy` makes the accuracy table; `ablation`, `cold_start` and `effect_recovery` run alone.
Start reading at `real_backtests`; `real_sets` loads the data and `reference_scores` checks the metrics.
"""
