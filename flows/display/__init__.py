"""What commands print: one module per group of commands, beside its module in `cli`.

Start with `tables`, which prints rows and JSON for all of them. Loaded when a command ran, so that `--help` stays fast.
"""
