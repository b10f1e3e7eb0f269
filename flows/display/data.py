"""What is printed of data that came in."""

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING

from daypart.flows.display.tables import print_json, print_table

if TYPE_CHECKING:
    from daypart.flows.ingest.folders import FolderReport
    from daypart.flows.ingest.ingest_report import IngestReport
    from daypart.flows.ingest.mapping_proposal import Proposal
    from daypart.flows.jobs.simulate import Simulated


def show_simulate(simulated: "Simulated", *, as_json: bool) -> None:
    """Rows, megabytes and seconds of each table, and where they are."""
    tables, spec = [asdict(table) for table in simulated.tables], simulated.spec
    if as_json:
        span = {"stores": spec.stores, "start": spec.start, "end": spec.end, "seed": spec.seed}
        print_json({**span, "out": simulated.out, "seconds": simulated.seconds, "tables": tables})
        return
    print_table(tables)
    print(f"{spec.stores:,} stores from {spec.start} to before {spec.end}, seed {spec.seed}: {simulated.out}")
    print(f"in {simulated.seconds:.0f} s; take it in with `daypart ingest all {simulated.out}`")


def show_ingest(report: "IngestReport", *, as_json: bool) -> None:
    """Rows taken, replaced and refused."""
    if as_json:
        print_json(report.as_dict())
        return
    for name, value in report.as_dict().items():
        if value not in (None, [], {}, ""):
            print(f"{name:>16}  {value if not isinstance(value, list) else '; '.join(map(str, value))}")


def show_folder(report: "FolderReport", *, as_json: bool) -> None:
    """A line per table of a folder, then what is to be said of each, and what was left out."""
    if as_json:
        print_json(asdict(report))
        return
    counts = ("rows_taken", "rows_replaced", "rows_unchanged", "rows_refused", "version")
    print_table([
        {"table": table.table, "files": len(table.files), **{name: getattr(table, name) for name in counts}}
        for table in report.tables
    ])  # fmt: skip
    for table in report.tables:
        for line in [*table.summary, *([f"refused rows: {table.refused_file}"] if table.refused_file else [])]:
            print(f"{table.table}: {line}")
    if report.left_out:
        print(f"left out, as no table is named so: {', '.join(report.left_out)}")


def show_guess(proposal: "Proposal", *, as_json: bool) -> None:
    """The proposed mapping, the first lines that it reads, and what is unsure.

    A mapping that was not written to a file is all that goes to standard output, so that it can be redirected.
    """
    if as_json:
        print_json(asdict(proposal))
        return
    with redirect_stdout(sys.stderr if proposal.path is None else sys.stdout):
        print(f"shape      {proposal.shape or 'none that is known; told from names and contents'}")
        if proposal.lines:
            print_table([{**line, "amount": _money(line["amount"])} for line in proposal.lines])
        for doubt in proposal.doubts:
            print(f"unsure     {doubt}")
        if proposal.path:
            print(f"mapping    {proposal.path}")
    if proposal.path is None:
        print(proposal.toml, end="")


def _money(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:,.2f}"
