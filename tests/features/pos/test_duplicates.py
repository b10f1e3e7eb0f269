"""Lines of a point of sale in several files: a ticket may be cut by the end of a file, no line comes twice."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features.pos.duplicates import repeated_lines
from daypart.features.pos.lines import read_lines
from daypart.features.pos.mapping import Mapping
from daypart.features.pos.store_hours import count_lines, lines_to_demand

Line = tuple[str, str, str, str]
"""Number of the ticket, time, item, price."""

ZONES = pl.DataFrame({"store_id": ["S"], "timezone": ["America/New_York"]})
COLUMNS = {"ticket": "No", "timestamp": "At", "item": "Item", "line_total": "Total"}
MAPPING = Mapping.from_settings({"columns": COLUMNS, "store_id": "S"})


def ticket(number: int, *lines: tuple[str, int]) -> list[Line]:
    """A ticket with lines (item, price); three numbers a day, a minute from line to line."""
    at = datetime(2024, 1, 5, 8) + timedelta(days=number // 3, hours=number % 3)
    return [
        (str(number % 3), str(at + timedelta(minutes=n // 2)), item, str(price))
        for n, (item, price) in enumerate(lines)
    ]


def frame(lines: Sequence[Line]) -> pl.DataFrame:
    return pl.DataFrame(lines, schema=["No", "At", "Item", "Total"], orient="row")


def with_files(files: Sequence[Sequence[Line]]) -> pl.DataFrame:
    """The lines of all files, read, with the number of their file."""
    read = read_lines(frame([line for lines in files for line in lines]), MAPPING, ZONES)
    assert read.refused.is_empty()
    return read.rows.with_columns(file=pl.Series([n for n, lines in enumerate(files) for _ in lines]))


def repeated(*files: Sequence[Line]) -> list[tuple[int, str]]:
    """File and item of the lines that are repeated."""
    return repeated_lines(with_files(files)).select("file", "item").rows()


COFFEE, ROLL, TEA = ("coffee", 3), ("roll", 2), ("tea", 4)
BEFORE, AFTER = ticket(0, TEA), ticket(2, TEA)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([*BEFORE, *ticket(1, COFFEE)], [*ticket(1, COFFEE, ROLL)[1:], *AFTER]),
        ([*BEFORE, *ticket(1, COFFEE, ROLL, TEA)], [*ticket(1, COFFEE, ROLL, TEA, ROLL)[3:], *AFTER]),
        ([*BEFORE, *ticket(1, COFFEE, COFFEE)], AFTER),
    ],
    ids=["cut between lines", "cut of a ticket with equal lines", "equal lines in one file"],
)
def test_a_ticket_may_go_on_in_the_next_file(first: list[Line], second: list[Line]) -> None:
    assert repeated(first, second) == repeated(second, first) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (([*BEFORE, *ticket(1, COFFEE)], [*ticket(1, COFFEE), *AFTER]), [(0, "coffee"), (1, "coffee")]),
        ((ticket(1, COFFEE, ROLL), [*AFTER, *ticket(1, COFFEE)], ticket(4, TEA)), [(0, "coffee"), (1, "coffee")]),
        (([*BEFORE, *ticket(1, COFFEE, ROLL)], [*AFTER, *ticket(1, COFFEE, ROLL)[1:], *ticket(4, TEA)]),
         [(0, "roll"), (1, "roll")]),
        (([*BEFORE, *ticket(1, COFFEE, ROLL)], [*ticket(4, TEA), *ticket(1, COFFEE, ROLL)[1:]]),
         [(0, "roll"), (1, "roll")]),
        (([*ticket(1, COFFEE, ROLL), *AFTER], [*ticket(1, COFFEE, ROLL)[1:], *ticket(4, TEA)]),
         [(0, "roll"), (1, "roll")]),
        ((ticket(1, COFFEE), ticket(4, TEA), ticket(1, COFFEE), ticket(1, COFFEE)),
         [(0, "coffee"), (2, "coffee"), (3, "coffee")]),
    ],
    ids=["at the same position", "in two of three files", "in the middle", "at two ends", "at two starts", "in three of four files"],
)  # fmt: skip
def test_a_line_that_two_files_hold_is_repeated(files: list[list[Line]], expected: list[tuple[int, str]]) -> None:
    assert repeated(*files) == expected


ITEMS = st.sampled_from([COFFEE, ROLL])
EXPORTS = st.lists(st.lists(ITEMS, min_size=1, max_size=5), min_size=1, max_size=8).map(
    lambda tickets: [line for number, lines in enumerate(tickets) for line in ticket(number, *lines)]
)


@st.composite
def splits(draw: st.DrawFn, fewest: int = 1) -> list[list[Line]]:
    """The files of an export that was cut anywhere, in the export's order."""
    lines = draw(EXPORTS)
    assume(len(lines) >= fewest)
    cuts = st.lists(st.integers(1, max(1, len(lines) - 1)), unique=True, min_size=fewest - 1, max_size=6)
    bounds = [0, *sorted(draw(cuts)), len(lines)]
    return [lines[start:end] for start, end in zip(bounds, bounds[1:], strict=False) if start < end]


def tickets_of(lines: Sequence[Line]) -> set[tuple[str, str]]:
    return {(number, at[:10]) for number, at, *_ in lines}


def same_position(files: Sequence[Sequence[Line]]) -> bool:
    """Whether the n-th lines of a ticket in two of the files are equal for any n."""
    ranked = [
        {(n, line) for key in tickets_of(lines) for n, line in enumerate(x for x in lines if (x[0], x[1][:10]) == key)}
        for lines in files
    ]
    return sum(map(len, ranked)) > len(set().union(*ranked))


@given(splits(), st.randoms(use_true_random=False))
def test_any_split_of_an_export_into_files_gives_its_demand(files: list[list[Line]], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = random.sample(files, len(files))
    lines = with_files(shuffled)
    assert repeated_lines(lines).is_empty() != same_position(files)
    read = read_lines(frame([line for part in shuffled for line in part]), MAPPING, ZONES)
    expected = lines_to_demand(frame([line for part in files for line in part]), MAPPING, ZONES)
    assert_frame_equal(count_lines(read, priced=True).demand, expected.demand)


@given(splits(), st.data())
def test_a_file_under_another_name_is_repeated_whole(files: list[list[Line]], data: st.DataObject) -> None:
    copy = data.draw(st.integers(0, len(files) - 1))
    place = data.draw(st.integers(0, len(files)))
    with_copy = [*files[:place], files[copy], *files[place:]]
    copies = [n for n, lines in enumerate(with_copy) if lines is files[copy]]
    repeats = repeated_lines(with_files(with_copy))
    assert {n: rows for n, rows in repeats["file"].value_counts().rows() if n in copies} == dict.fromkeys(
        copies, len(files[copy])
    )


@given(splits(fewest=2), st.data())
def test_exports_that_overlap_hold_repeated_lines(files: list[list[Line]], data: st.DataObject) -> None:
    later = data.draw(st.integers(1, len(files) - 1))
    before = [line for lines in files[:later] for line in lines]
    starts = [n for n in range(len(before)) if not tickets_of(before[n : n + 1]) & tickets_of(before[:n])]
    overlap = before[data.draw(st.sampled_from(starts)) :]
    repeats = repeated_lines(with_files([*files[:later], [*overlap, *files[later]], *files[later + 1 :]]))
    assert later in repeats["file"]


@given(splits(fewest=2), st.data())
def test_lines_of_a_ticket_that_another_file_holds_too_are_repeated(
    files: list[list[Line]], data: st.DataObject
) -> None:
    source, target = data.draw(st.permutations(range(len(files))))[:2]
    start = data.draw(st.integers(0, len(files[source]) - 1))
    lines = files[source][start : data.draw(st.integers(start + 1, len(files[source])))]
    place = data.draw(st.integers(0, len(files[target])))
    beside = files[target]
    assume(not tickets_of(lines) & tickets_of(beside))
    begins_ticket = not tickets_of(lines[:1]) & tickets_of(files[source][:start])
    assume(begins_ticket or 0 < place < len(beside))
    with_lines = [*beside[:place], *lines, *beside[place:]]
    repeats = repeated_lines(with_files([with_lines if n == target else part for n, part in enumerate(files)]))
    assert {source, target} <= set(repeats["file"])
