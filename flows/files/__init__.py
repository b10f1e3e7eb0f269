"""Files outside the lake: what people hand in and take away, written whole or not at all.

Start with `atomic_files` and `table_files`; `lock` lets one process at a time do a thing in a home.
"""
