import os
import sys
from pathlib import Path

import pytest

# LightGBM's threads spin while they wait unless told so before it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ and "polars" not in sys.modules:
    # A worker a core: more threads would only wait for each other. Processes that tests start have theirs.
    os.environ["POLARS_MAX_THREADS"] = "1"
    import polars

    polars.thread_pool_size()
    del os.environ["POLARS_MAX_THREADS"]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the checkout; the test is skipped where it is absent."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("DAYPART_REAL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set DAYPART_REAL_DATA")
    return folder
