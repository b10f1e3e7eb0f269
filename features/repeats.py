"""Lines of a point of sale that more than one file holds."""

import polars as pl

LINE = ["store_id", "ticket", "at_local", "item", "millionths"]
"""What makes two lines equal. A ticket may hold equal lines: two croissants."""


def repeated_lines(kept: pl.DataFrame) -> pl.DataFrame:
    """Return the lines of `kept` that another of the files holds too, in order and with the same columns.

    `kept` has the lines in their files' order, with LINE, `file` (any number) and whatever else. Within a file
    every line counts. A line that two files hold is the same line given twice, unless the end of a file cut its
    ticket in two, whatever the order of files: the ticket's lines are then the last of one file and the first of
    the other, and equal lines stand at different positions of the ticket, counted from its first line in the
    file (on its date). Equal lines at the same position are repeats even there: nothing in two files tells the
    cut of a ticket with two croissants from one croissant given twice.
    """
    in_many = pl.col("file").min().over(LINE) != pl.col("file").max().over(LINE)
    if not kept.select(in_many.any()).item():
        return kept.clear()
    ticket = ["file", "store_id", "ticket"]
    run, position = pl.struct(ticket).rle_id(), pl.int_range(pl.len()).over(*ticket, pl.col("at_local").dt.date())
    placed = kept.with_columns(run=run, position=position).with_columns(
        opens=pl.col("run") == pl.col("run").min().over("file"),
        ends=pl.col("run") == pl.col("run").max().over("file"),
    )
    opens, ends, file = pl.col("opens"), pl.col("ends"), pl.col("file")
    aligned = file.n_unique().over(*LINE, "position") > 1
    inside = (~opens & ~ends).any().over(LINE)
    two_ends = file.filter(ends & ~opens).n_unique().over(LINE) > 1
    two_starts = file.filter(opens & ~ends).n_unique().over(LINE) > 1
    repeated = placed.filter(in_many).filter(aligned | inside | two_ends | two_starts)
    return repeated.select(kept.columns)
