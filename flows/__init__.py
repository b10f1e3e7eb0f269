"""Everything that touches the world: jobs, Prefect flows, storage, registry, command line.

Start with `jobs`. Packages: `config`, `files`, `lake`, `registry`, `compute`, `audit`, `ingest`, `jobs`, `governance`,
`monitoring`, `maintenance`, `deployment`, `report`, `cli`.
"""
