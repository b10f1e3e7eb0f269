"""Which model version serves, who decides so, and the record of it.

Start with `promotion` and `champions`; `champion_switch` moves the alias between two audit records.
"""
