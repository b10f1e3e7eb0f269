"""Benchmarks of accuracy, scale, the retraining loop and upkeep. Each module with a `main` runs by `python -m`.

`accuracy`, `scale`, `loop` and `upkeep` hold one question each; `harness` holds what they share. The Makefile has a
verb for each long run. Start reading at `scale/__main__.py`.
"""
