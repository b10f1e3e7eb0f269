"""Files outside the lake: the files that people provide and export, each written completely or not at all.

Start with `atomic_files` and `table_files`; `lock` keeps a task in a home to one process at a time.
"""
