"""Time and memory of the work of 2,000 stores, beside mlforecast, pandas and LightGBM called by hand.

Each module measures one kind of work and returns rows of the table (`comparison_row`). The pandas modules build the
same matrix slowly and plainly, so that tests compare values. Start reading at `__main__`, which lists all rows.
"""
