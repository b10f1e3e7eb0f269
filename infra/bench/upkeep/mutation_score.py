"""The share of faults that the tests notice: a seeded sample of mutants of the core, each run against related tests.

python -m infra.bench.upkeep.mutation_score FOLDER [--sample N] [--seed N] [--workers N] [--module PATH ...]

A mutant runs its module's own tests first, then those that import the module, then those that import an importer of
it, up to the first failure. `equivalent_mutants.toml` beside this file lists those that change nothing, each with its reason.
Exits with 1 where fewer than REQUIRED_SHARE of the others are noticed.
"""

import argparse
import ast
import os
import resource
import shutil
import signal
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from infra.bench.upkeep.mutants import Mutant, sample_mutants

PROJECT_ROOT = Path(__file__).resolve().parents[3]
REQUIRED_SHARE = 0.95
CPU_SECONDS = 200
"""A mutant that no test notices within this processor time has survived."""
SURVIVAL_STATUSES = (0, 5, -signal.SIGXCPU, -signal.SIGKILL)
"""Exit statuses of pytest without failure, without tests, and of a process that took all of its time."""
FORK_PRELOADED = ["polars", "pandas", "lightgbm", "scipy.optimize", "scipy.stats"]
"""Loaded once, before processes are forked. None of them starts a thread before its first use."""
EXCLUDED_TEST = "tests/flows/compute/test_cluster.py"
"""It kills processes and waits for others, which takes too long on a busy machine."""
CORE_MODULES = {
    "features": "business_day clock deterministic_sum feature_columns grid matrix money places segments",
    "features/cold_start": "similar_stores young_stores",
    "features/history": "day_statistics demand_history holiday_effects horizon last_days lookback outliers "
    "smoothed_baseline trading_hours",
    "features/pos": "duplicates line_times recount store_hours time_zones timestamps",
    "features/quality": "data_health input_drift",
    "features/signals": "calendar category_codes covariate_masking covariates events labor macro weather weather_issues",
    "features/tables": "currencies keys spellings time_zone_correction",
    "forecasting/explain": "contributions",
    "forecasting/lifecycle": "comparison gate retrain",
    "forecasting/metrics": "accuracy actuals bootstrap expected_accuracy expressions persistent_error score_tallies segment_bias",
    "forecasting/models": "ensemble linear members model training_data",
    "forecasting/serving": "levels night publication",
    "forecasting/uncertainty": "bands residual_paths",
    "flows/audit": "hash_chain verification",
    "flows/lake": "lake lake_reader merge staging tables",
    "flows/monitoring": "scoring",
}
LARGE_TESTS = ("cli", "deployment", "governance", "ingest", "jobs", "maintenance", "monitoring")
"""Packages of flows whose tests run commands, which takes minutes. Only mutants of these packages run them."""


def copy_project(folder: Path) -> Path:
    """Copy the project's code to a folder in which mutants replace modules."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("daypart", "features", "forecasting", "flows", "infra", "tests"):
        shutil.copytree(PROJECT_ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT_ROOT / "pyproject.toml", folder)
    return folder


def imported_modules(path: Path) -> set[str]:
    """Return the paths of the project's modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    dotted = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            dotted |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    paths = {f"{name.removeprefix('daypart.').replace('.', '/')}.py" for name in dotted}
    return {path for path in paths if (PROJECT_ROOT / path).is_file()}


def tests_by_module(modules: list[str]) -> dict[str, list[str]]:
    """Return the test files that reach each module by at most two imports, nearest and with fewest imports first."""
    paths = [
        path for top in ("features", "forecasting", "flows") for path in sorted((PROJECT_ROOT / top).rglob("*.py"))
    ]
    by_module = {path.relative_to(PROJECT_ROOT).as_posix(): imported_modules(path) for path in paths}
    files = sorted((PROJECT_ROOT / "tests").rglob("test_*.py"))
    by_test = {
        name: imported_modules(path)
        for path in files
        if (name := path.relative_to(PROJECT_ROOT).as_posix()) != EXCLUDED_TEST
    }
    return {module: _nearest(module, by_module, by_test) for module in modules}


def _nearest(module: str, by_module: Mapping[str, set[str]], by_test: Mapping[str, set[str]]) -> list[str]:
    path = Path(module)
    matching_test = f"tests/{path.parent}/test_{path.stem}.py"
    importers = {name for name, imported in by_module.items() if module in imported}
    near = {
        test: (test != matching_test, module not in imported, len(imported), test)
        for test, imported in by_test.items()
        if (module in imported or importers & imported)
        and (path.parent.name in LARGE_TESTS or Path(test).parent.name not in LARGE_TESTS)
    }
    return sorted(near, key=near.__getitem__) or [f"tests/{path.parent}"]


class FirstFailure:
    """A pytest plugin that writes the name of the first test, or file, that fails."""

    def __init__(self, path: Path) -> None:
        """Write to `path`."""
        self.path = path

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Write the name of a failed report, unless one is written."""
        if report.failed and not self.path.exists():
            self.path.write_text(report.nodeid, "utf-8")

    pytest_collectreport = pytest_runtest_logreport


def run_tests(folder: Path, tests: list[str]) -> None:
    """Run pytest on some files of a copy up to the first failure, then end this process with its status."""
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    os.chdir(folder)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *sys.path])
    # A mutant of the same second and size as the code would match the stale compiled file.
    os.environ["PYTHONDONTWRITEBYTECODE"], sys.dont_write_bytecode = "1", True
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    options = ["-x", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly", f"--rootdir={folder}"]
    os._exit(pytest.main([*options, *tests], plugins=[FirstFailure(folder / "failed")]))


def first_failure(folders: "SimpleQueue[Path]", tests: list[str], mutant: Mutant | None = None) -> str | None:
    """Return the first test that fails with the mutant in a copy of the project; null where none does."""
    folder = folders.get()
    (failed := folder / "failed").unlink(missing_ok=True)
    if mutant:
        (folder / mutant.module).write_text(mutant.code, "utf-8")
    process = get_context("forkserver").Process(target=run_tests, args=(folder, tests))
    process.start()
    process.join()
    if mutant:
        shutil.copy(PROJECT_ROOT / mutant.module, folder / mutant.module)
    failure = failed.read_text("utf-8") if failed.exists() else f"exit status {process.exitcode}"
    folders.put(folder)
    return None if process.exitcode in SURVIVAL_STATUSES else failure


def score_table(names: list[str], results: Counter[tuple[str, str]]) -> str:
    """Return a table of how many mutants of each module were noticed, change nothing, or survived."""
    columns = ("noticed", "equivalent", "survived")
    lines = [f"{'module':36}{'tried':>8}" + "".join(f"{column:>12}" for column in columns)]
    for name in [*names, "all"]:
        counts = [sum(n for (module, what), n in results.items() if what == column and name in (module, "all"))
                  for column in columns]  # fmt: skip
        lines.append(f"{name:36}{sum(counts):8}" + "".join(f"{count:12}" for count in counts))
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="a folder for copies of the code")
    for name, value in (("--sample", 200), ("--seed", 1), ("--workers", os.cpu_count() or 1)):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--module", action="append", help="only these, as features/macro.py")
    return parser.parse_args()


def run_mutants(mutants: list[Mutant], folders: "SimpleQueue[Path]", tests: Mapping[str, list[str]]) -> Iterator[bool]:
    """Run the mutants' tests, as many at once as there are copies; print and return whether each is noticed.

    Exits where a test fails without any mutant.
    """
    with ThreadPoolExecutor(folders.qsize()) as pool:
        files = sorted({test for mutant in mutants for test in tests[mutant.module]})
        outcomes = zip(files, pool.map(lambda file: first_failure(folders, [file]), files), strict=True)
        if broken := [f"{file} ({failure})" for file, failure in outcomes if failure]:
            sys.exit(f"fails without any mutant: {', '.join(broken)}")
        failures = pool.map(lambda mutant: first_failure(folders, tests[mutant.module], mutant), mutants)
        for mutant, failure in zip(mutants, failures, strict=True):
            place = f"{mutant.module}:{mutant.lines.start}  {mutant.change}"
            print(f"noticed   {place}  ({failure})" if failure else f"survived  {place}", flush=True)
            yield bool(failure)


def main() -> None:
    """Print each mutant and whether it is noticed, and a table by module."""
    arguments = parse_arguments()
    all_names = [f"{folder}/{name}.py" for folder, names in CORE_MODULES.items() for name in names.split()]
    names = arguments.module or all_names
    equivalent = tomllib.loads(Path(__file__).with_name("equivalent_mutants.toml").read_text("utf-8"))
    sources = {name: (PROJECT_ROOT / name).read_text("utf-8") for name in names}
    sample = sample_mutants(sources, arguments.sample, arguments.seed)
    real = [mutant for mutant in sample if mutant.change not in equivalent.get(mutant.module, {})]
    results = Counter((mutant.module, "equivalent") for mutant in sample if mutant not in real)
    folders: SimpleQueue[Path] = SimpleQueue()
    for number in range(arguments.workers):
        folders.put(copy_project(arguments.home.resolve() / f"copy-{number}"))
    get_context("forkserver").set_forkserver_preload(FORK_PRELOADED)
    for mutant, is_noticed in zip(real, run_mutants(real, folders, tests_by_module(names)), strict=True):
        results[mutant.module, "noticed" if is_noticed else "survived"] += 1
    total = Counter(outcome for (_, outcome), count in results.items() for _ in range(count))
    share = total["noticed"] / max(total["noticed"] + total["survived"], 1)
    print(score_table(names, results))
    print(f"noticed {share:.1%} of the mutants that change something; {REQUIRED_SHARE:.0%} are required")
    sys.exit(share < REQUIRED_SHARE)


if __name__ == "__main__":
    main()
