"""Decisions about a model: when to retrain, whether a challenger may serve, what a policy would have done.

Start with `retrain` and `gate`; `replay` lives through simulated nights under each `policy`.
"""
