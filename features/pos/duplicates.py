"""Lines of a point of sale that more than one file holds: refused in one call, counted once over several calls."""

import polars as pl

LINE = ["store_id", "ticket", "at_local", "item", "millionths"]
"""What makes two lines equal. A ticket may hold equal lines: two croissants."""

SAME_LINE = ["store_id", "ticket", "at_utc", "item", "millionths", "occurrence"]
"""What makes two lines of different sources one line, once `with_occurrence` has numbered equal lines of a source."""


def with_occurrence(lines: pl.DataFrame) -> pl.DataFrame:
    """Add `occurrence`: how many equal lines come before each line, in the lines of one call."""
    equal = SAME_LINE[:-1]
    return lines.with_columns(occurrence=pl.int_range(pl.len(), dtype=pl.Int32).over(equal))


def without_repeats(lines: pl.DataFrame) -> pl.DataFrame:
    """Return the lines of several sources without repeats: of equal lines, as many as any one source has.

    Two equal lines in two sources are one line. Two equal lines in one source are two.
    """
    return lines.unique(SAME_LINE, keep="any")


def repeated_lines(file_lines: pl.DataFrame) -> pl.DataFrame:
    """Return the lines of `file_lines` that another of the files holds too, in order and with the same columns.

    `file_lines` has the lines in their files' order, with LINE, `file` (any number) and whatever else. A ticket is a
    number in a store on a local date. Within a file every line counts. A line that two files hold is one line
    given twice, unless the end of a file cuts its ticket, in whatever order the files are: the ticket's lines are
    the last of one file and the first of the other, and the two lines stand at different positions of the ticket
    (counted from its first line in the file). No content tells the cut of a ticket with two croissants from one
    croissant given twice, so the position decides: [coffee, roll | roll] is a cut, [roll | roll] is a repeat.
    """
    lines = file_lines.select("file", line=pl.struct(LINE).hash())
    in_many = lines.unique().filter(pl.col("line").is_duplicated())["line"]
    if in_many.is_empty():
        return file_lines.clear()
    ticket = pl.struct("file", "store_id", "ticket", pl.col("at_local").dt.date())
    placed = file_lines.with_columns(run=ticket.rle_id(), position=pl.int_range(pl.len()).over(ticket)).with_columns(
        opens=pl.col("run") == pl.col("run").min().over("file"),
        ends=pl.col("run") == pl.col("run").max().over("file"),
    )
    opens, ends, file = pl.col("opens"), pl.col("ends"), pl.col("file")
    aligned = file.n_unique().over(*LINE, "position") > 1
    inside = (file.n_unique().over(LINE) > 1) & (~opens & ~ends).any().over(LINE)
    two_ends = file.filter(ends & ~opens).n_unique().over(LINE) > 1
    two_starts = file.filter(opens & ~ends).n_unique().over(LINE) > 1
    shared = placed.filter(lines["line"].is_in(in_many.implode()))
    return shared.filter(aligned | inside | two_ends | two_starts).select(file_lines.columns)
