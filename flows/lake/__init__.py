"""The lake: Delta tables whose every write is atomic and keeps its version.

Start with `lake` and `tables`. `commits`, `merge` and `staging` write; `integrity`, `delta_log` and `table_log` check.
"""
