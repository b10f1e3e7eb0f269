"""The lake: Delta tables whose every write is atomic and keeps its version.

Start with `lake` and `tables`; `lake_reader` is the reading half of `Lake`. `commits`, `merge`, `edits` and `staging`
write; `integrity`, `delta_log` and `table_log` check; `table_upkeep` compacts and cleans up.
"""
