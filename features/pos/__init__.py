"""Point-of-sale lines: from an export and its mapping to orders and sales by store-hour.

Start with `mapping`, then `lines` (lines as the mapping reads them) and `store_hours` (lines become demand).
`recount` and `duplicates` handle lines that several files share.
"""
