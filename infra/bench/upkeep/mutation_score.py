"""Do the tests notice faults? A seeded sample of mutants of the core, each beside the test files that import its module.

A mutant runs its module's own tests first, then those that import the module, then those that import an importer of
it, up to the first failure. `equivalent_mutants.toml` beside this file lists those that change nothing, each with its reason.
Exits with 1 where fewer than NOTICED of the others are noticed.
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
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from infra.bench.upkeep.mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[3]
NOTICED = 0.95
CPU_SECONDS = 200
"""A mutant that no test noticed in so much time of processors has survived."""
SURVIVED = (0, 5, -signal.SIGXCPU, -signal.SIGKILL)
"""Exit statuses of pytest without failure, without tests, and of a process that took all of its time."""
PRELOADED = ["polars", "pandas", "lightgbm", "scipy.optimize", "scipy.stats"]
"""Loaded once. None of them has begun a thread before its first use, so that processes can be forked from there."""
LEFT_OUT = "tests/flows/compute/test_cluster.py"
"""It kills processes and waits for others, which no busy machine does in time."""
MODULES = {
    "features": "business_day clock deterministic_sum grid matrix money places segments",
    "features/cold_start": "similar_stores young_stores",
    "features/history": "day_statistics demand_history holiday_effects horizon last_days lookback outliers "
    "smoothed_baseline trading_hours",
    "features/pos": "duplicates line_times recount store_hours time_zones timestamps",
    "features/quality": "data_health input_drift",
    "features/signals": "calendar category_codes covariate_masking covariates events labor macro weather weather_issues",
    "features/tables": "currencies keys spellings time_zone_correction",
    "forecasting/explain": "contributions",
    "forecasting/lifecycle": "comparison gate retrain",
    "forecasting/metrics": "accuracy actuals bootstrap expected_accuracy persistent_error score_tallies segment_bias",
    "forecasting/models": "ensemble linear members model",
    "forecasting/serving": "levels publication",
    "forecasting/uncertainty": "bands residual_paths",
    "flows/audit": "hash_chain verification",
    "flows/lake": "lake merge staging tables",
    "flows/monitoring": "scoring",
}
LARGE_TESTS = ("cli", "deployment", "governance", "ingest", "jobs", "maintenance", "monitoring")
"""Packages of flows whose tests run whole commands, which takes minutes: only mutants of these packages run them."""


def copied(folder: Path) -> Path:
    """The project's code in a folder of its own, where mutants are put."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("daypart", "features", "forecasting", "flows", "infra", "tests"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def imports(path: Path) -> set[str]:
    """The project's modules that a file names in its imports, as paths."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    dotted = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            dotted |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    paths = {f"{name.removeprefix('daypart.').replace('.', '/')}.py" for name in dotted}
    return {path for path in paths if (ROOT / path).is_file()}


def tests_by_module(modules: list[str]) -> dict[str, list[str]]:
    """The test files that reach each module in at most two imports, the nearest and those with fewest imports first."""
    paths = [path for top in ("features", "forecasting", "flows") for path in sorted((ROOT / top).rglob("*.py"))]
    by_module = {path.relative_to(ROOT).as_posix(): imports(path) for path in paths}
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    by_test = {name: imports(path) for path in files if (name := path.relative_to(ROOT).as_posix()) != LEFT_OUT}
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
    """A plugin of pytest that writes the name of the test, or of the file, that failed first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.path.exists():
            self.path.write_text(report.nodeid, "utf-8")

    pytest_collectreport = pytest_runtest_logreport


def run_tests(folder: Path, tests: list[str]) -> None:
    """Runs pytest on some files of a copy up to the first failure, in a process of its own, and ends that."""
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    os.chdir(folder)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *sys.path])
    # A mutant of the same second and size as the code would be taken for its compiled form.
    os.environ["PYTHONDONTWRITEBYTECODE"], sys.dont_write_bytecode = "1", True
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    options = ["-x", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly", f"--rootdir={folder}"]
    os._exit(pytest.main([*options, *tests], plugins=[FirstFailure(folder / "failed")]))


def failing(folders: "SimpleQueue[Path]", tests: list[str], mutant: Mutant | None = None) -> str | None:
    """The first test that fails where the mutant is put into a copy that nobody else uses meanwhile."""
    folder = folders.get()
    (failed := folder / "failed").unlink(missing_ok=True)
    if mutant:
        (folder / mutant.module).write_text(mutant.code, "utf-8")
    process = get_context("forkserver").Process(target=run_tests, args=(folder, tests))
    process.start()
    process.join()
    if mutant:
        shutil.copy(ROOT / mutant.module, folder / mutant.module)
    failure = failed.read_text("utf-8") if failed.exists() else f"exit status {process.exitcode}"
    folders.put(folder)
    return None if process.exitcode in SURVIVED else failure


def table(names: list[str], results: Counter[tuple[str, str]]) -> str:
    """How many mutants of each module were noticed, change nothing, or survived."""
    columns = ("noticed", "equivalent", "survived")
    lines = [f"{'module':36}{'tried':>8}" + "".join(f"{column:>12}" for column in columns)]
    for name in [*names, "all"]:
        counts = [sum(n for (module, what), n in results.items() if what == column and name in (module, "all"))
                  for column in columns]  # fmt: skip
        lines.append(f"{name:36}{sum(counts):8}" + "".join(f"{count:12}" for count in counts))
    return "\n".join(lines)


def main() -> None:
    """Prints each mutant and whether it was noticed, and a table by module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="a folder for copies of the code")
    for name, value in (("--sample", 200), ("--seed", 1), ("--workers", os.cpu_count() or 1)):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--module", action="append", help="only these, as features/macro.py")
    arguments = parser.parse_args()
    names = arguments.module or [f"{folder}/{name}.py" for folder, names in MODULES.items() for name in names.split()]
    listed = tomllib.loads(Path(__file__).with_name("equivalent_mutants.toml").read_text("utf-8"))
    sample = mutants({name: (ROOT / name).read_text("utf-8") for name in names}, arguments.sample, arguments.seed)
    real = [mutant for mutant in sample if mutant.change not in listed.get(mutant.module, {})]
    results = Counter((mutant.module, "equivalent") for mutant in sample if mutant not in real)
    folders: SimpleQueue[Path] = SimpleQueue()
    for number in range(arguments.workers):
        folders.put(copied(arguments.home.resolve() / f"copy-{number}"))
    get_context("forkserver").set_forkserver_preload(PRELOADED)
    tests = tests_by_module(names)
    with ThreadPoolExecutor(arguments.workers) as pool:
        files = sorted({test for mutant in real for test in tests[mutant.module]})
        if broken := [name for name in pool.map(lambda file: failing(folders, [file]), files) if name]:
            sys.exit(f"fails without any mutant: {', '.join(broken)}")
        noticed = pool.map(lambda mutant: failing(folders, tests[mutant.module], mutant), real)
        for mutant, by in zip(real, noticed, strict=True):
            results[mutant.module, "noticed" if by else "survived"] += 1
            place = f"{mutant.module}:{mutant.lines.start}  {mutant.change}"
            print(f"noticed   {place}  ({by})" if by else f"survived  {place}", flush=True)
    total = Counter(what for (_, what), count in results.items() for _ in range(count))
    share = total["noticed"] / max(total["noticed"] + total["survived"], 1)
    print(table(names, results))
    print(f"noticed {share:.1%} of the mutants that change something; {NOTICED:.0%} are required")
    sys.exit(share < NOTICED)


if __name__ == "__main__":
    main()
