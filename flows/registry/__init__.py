"""Model versions, runs and aliases, in MLflow on SQLite.

Start with `registry`. `card_files` and `tuning_studies` keep what goes with it; `sqlite` names faults of a database.
"""
