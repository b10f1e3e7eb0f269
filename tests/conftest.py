import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# LightGBM's threads spin while they wait unless told so before it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# No test depends on the time it takes, and every run tries the same examples. HYPOTHESIS_PROFILE=faults tries more.
settings.register_profile(
    "test", max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("faults", settings.get_profile("test"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests of servers and processes wait for them."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of a module that are steps of one story back in order, after the shuffle."""
    places = [number for number, item in enumerate(items) if item.get_closest_marker("in_order")]
    # Sorting keeps the order of the modules as they come.
    modules = list(dict.fromkeys(items[number].path for number in places))
    steps = sorted(
        (items[number] for number in places), key=lambda item: (modules.index(item.path), item.location[1] or 0)
    )
    for number, item in zip(places, steps, strict=True):
        items[number] = item


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the checkout; the test is skipped where it is absent."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("DAYPART_REAL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set DAYPART_REAL_DATA")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Quiet runs have no header, where the seed of the order would be."""
    if (seed := config.getoption("randomly_seed", None)) is not None:
        terminalreporter.write_line(f"random order: --randomly-seed={seed}")
