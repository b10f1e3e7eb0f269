"""A mapping proposed for an undescribed point-of-sale export.

Start with `proposal`. `export_formats` holds the known formats; the other modules read names, times and tickets.
"""
