"""Model versions, runs and aliases, in MLflow on SQLite.

Start with `registry`; `runs` and `model_files` hold its parts, `mlflow_connection` and `sqlite` the database.
`card_files` and `tuning_studies` store what belongs to a run or a search.
"""
