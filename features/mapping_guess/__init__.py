"""A mapping proposed for a point-of-sale export that nobody has described.

Start with `proposal`. `export_formats` holds the known formats; the other modules read names, times and tickets.
"""
