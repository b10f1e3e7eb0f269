"""What a model makes of the matrix. No files, no network, no clock, no orchestrator.

Start with `models.trainer` and `serving.publication`. Packages: `metrics`, `models`, `uncertainty`, `serving`,
`lifecycle` (retrain, promote, replay), `explain`.
"""
