"""Files become rows of the lake.

Start with `ingest`. `pos_lines` and `pos_sources` keep lines by file; `mapping_proposal` is behind `--guess`.
"""
