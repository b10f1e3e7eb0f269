"""`make bench`: time and memory of the work of a chain, beside the alternatives measured in the same run.

python -m infra.bench.scale FOLDER [--stores N] [--years N] [--only NAME ...]
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.bench.harness.results import show, write
from infra.bench.harness.stored_chain import StoredChain
from infra.bench.scale import (
    dask_workers,
    lightgbm_overhead,
    mlforecast_peer,
    nightly_job,
    pandas_comparison,
    serving_matrix,
)
from infra.bench.scale.comparison_row import Row

WORK_ROWS: dict[str, Callable[[StoredChain], list[Row]]] = {
    "ingest": nightly_job.ingest_rows,
    "serving": serving_matrix.rows,
    "train": nightly_job.train_rows,
    "night": nightly_job.night_rows,
    "lags": mlforecast_peer.matrix_rows,
    "forecast": mlforecast_peer.forecast_rows,
    "pandas": pandas_comparison.rows,
    "fit": lightgbm_overhead.fit_rows,
    "predict": lightgbm_overhead.predict_rows,
    "scaling": nightly_job.scaling_rows,
    "workers": dask_workers.rows,
}
"""The work that `--only` selects by name, in the order in which it is measured. Another module adds its rows here."""


def measure(chain: StoredChain, names: list[str]) -> Iterator[Row]:
    """Return the rows of the named work, one after the other. Work that fails has a row that says so."""
    for name in names:
        print(name, file=sys.stderr, flush=True)
        try:
            yield from WORK_ROWS[name](chain)
        except Exception as failed:
            traceback.print_exc()
            yield Row(name, "", "", f"failed: {type(failed).__name__}: {failed}")


def title(chain: StoredChain) -> str:
    """Return the caption of the table: the size of the chain and the machine."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{chain.stores:,} stores x {chain.years:g} years on {processors} processors; seconds and GiB to reach are for "
        "2,000 stores x 3 years on 2 processors; ratios are theirs over ours"
    )


def main() -> int:
    """Measure the selected work, write bench.json after every row, and return 1 where work failed."""
    parser = argparse.ArgumentParser(prog="python -m infra.bench.scale", description=__doc__)
    parser.add_argument("folder", type=Path, help="where bench.json goes, and chains are kept between runs")
    parser.add_argument("--stores", type=int, default=2000)
    parser.add_argument("--years", type=float, default=3)
    parser.add_argument(
        "--only", nargs="+", choices=WORK_ROWS, metavar="NAME", default=list(WORK_ROWS), help=", ".join(WORK_ROWS)
    )
    arguments = parser.parse_args()
    # As the command line has it: LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chain, rows = StoredChain(folder / "chains", arguments.stores, arguments.years), []
    caption = title(chain)
    for row in measure(chain, [name for name in WORK_ROWS if name in arguments.only]):
        rows.append(row)
        write(folder / "bench.json", caption, rows)
    show(caption, rows)
    return int(any(row.reached.startswith("failed") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
