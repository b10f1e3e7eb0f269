"""`make bench`: what the work takes at the scale of a chain, ours beside the alternative in the same run.

python -m infra.bench.scale FOLDER [--stores N] [--years N] [--only NAME ...]
"""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra.bench import bare, night, peers, plain, serving, workers
from infra.bench.row import Row
from infra.bench.sample_chain import SimulatedChain

ROWS: dict[str, Callable[[SimulatedChain], list[Row]]] = {
    "ingest": night.ingest_rows,
    "serving": serving.rows,
    "train": night.train_rows,
    "night": night.night_rows,
    "lags": peers.matrix_rows,
    "forecast": peers.forecast_rows,
    "pandas": plain.rows,
    "fit": bare.fit_rows,
    "predict": bare.predict_rows,
    "scaling": night.scaling_rows,
    "workers": workers.rows,
}
"""What may be asked for by name, in the order in which it is measured. Another module adds its rows here."""


def measure(chain: SimulatedChain, names: list[str]) -> Iterator[Row]:
    """The rows of the named work, one after the other; work that fails says so in a row."""
    for name in names:
        print(name, file=sys.stderr, flush=True)
        try:
            yield from ROWS[name](chain)
        except Exception as failed:
            traceback.print_exc()
            yield Row(name, "", "", f"failed: {type(failed).__name__}: {failed}")


def title(chain: SimulatedChain) -> str:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{chain.stores:,} stores x {chain.years:g} years on {processors} processors; seconds and GiB to reach are for "
        "2,000 stores x 3 years on 2 processors; ratios are theirs over ours"
    )


def write(path: Path, caption: str, rows: list[Row]) -> None:
    """The table as JSON."""
    write_text(path, json.dumps({"title": caption, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """The file, whole or not at all."""
    draft = path.with_suffix(".partial")
    draft.write_text(text)
    draft.replace(path)


def show(caption: str, rows: list[Row]) -> None:
    table = Table(title=caption, show_lines=True)
    for name in asdict(rows[0]):
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in asdict(row).values()))
    Console(width=200).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.bench.scale", description=__doc__)
    parser.add_argument("folder", type=Path, help="where bench.json goes, and chains are kept between runs")
    parser.add_argument("--stores", type=int, default=2000)
    parser.add_argument("--years", type=float, default=3)
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="NAME", default=list(ROWS), help=", ".join(ROWS))
    arguments = parser.parse_args()
    # As the command line has it: LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chain, rows = SimulatedChain(folder / "chains", arguments.stores, arguments.years), []
    caption = title(chain)
    for row in measure(chain, [name for name in ROWS if name in arguments.only]):
        rows.append(row)
        write(folder / "bench.json", caption, rows)
    show(caption, rows)
    return int(any(row.reached.startswith("failed") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
