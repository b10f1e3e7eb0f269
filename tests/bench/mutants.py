"""Do the tests notice faults? A seeded sample of mutants of the core, each beside the tests that reach its statement.

A mutant runs its module's own tests first, then the quickest, up to the first failure. `mutants.toml` beside this
file lists those that change nothing. Exits with 1 where fewer than NOTICED of the others are noticed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from coverage import CoverageData

from tests.bench.mutation import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
NOTICED = 0.95
BUDGET_SECONDS = 60.0
"""Tests of about so many seconds a mutant, beside its module's own."""
MODULES = {
    "features": "calendar clock drift effects events exact grid health history horizon issues keys kinship labor lookback "
    "macro masking matrix outliers outside pos repeats segments smooth totals trading vocabulary weather youth",
    "forecasting": "accuracy actuals bands bias comparison contributions ensemble gate levels linear members misses "
    "model paths promise publication resampling retrain tallies",
    "flows/adapters": "chain lake lake_tables merge staging verification",
    "flows": "scoring",
}
TESTS = ("features/test_*", "forecasting/test_*", "flows/test_monitor", "flows/adapters/test_audit",
         "flows/adapters/test_lake", "flows/adapters/test_staging", "flows/adapters/test_verification")  # fmt: skip
Reached = dict[str, dict[str, Any]]


def copied(folder: Path) -> Path:
    """The project's code in a folder of its own, where mutants are put."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("features", "forecasting", "flows", "tests", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        folder.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    for cache in list(folder.rglob("__pycache__")):
        shutil.rmtree(cache)
    return folder


def status(folder: Path, tests: list[str], timeout: float, *runner: str) -> int | None:
    """The exit status of pytest in a copy; null after `timeout` seconds."""
    command = [sys.executable, "-m", *runner, "pytest", "-x", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider"]
    # A mutant of the same second and size as the code would be taken for its compiled form.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path]), "PYTHONDONTWRITEBYTECODE": "1"}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, *tests], cwd=folder, env=environment, start_new_session=True, **silent) as process:
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return None


def reached(folder: Path, test: str) -> dict[str, Any]:
    """The lines of each module that a test file reaches, and the seconds that it takes."""
    data, begun = folder / f".coverage-{test.replace('/', '-')}", time.monotonic()
    runner = ("coverage", "run", f"--data-file={data}", "--source=features,forecasting,flows", "-m")
    if (ended := status(folder, [test], 3600.0, *runner)) != 0:
        sys.exit(f"{test} fails without any mutant (exit status {ended})")
    lines = CoverageData(str(data))
    lines.read()
    by_module = {Path(file).relative_to(folder).as_posix(): lines.lines(file) for file in lines.measured_files()}
    return {"seconds": round(time.monotonic() - begun, 1), "lines": by_module}


def recorded(home: Path, folders: "SimpleQueue[Path]", pool: ThreadPoolExecutor) -> Reached:
    """`reached` by test file, kept until any code or test changes."""
    files = sorted(path for top in ("features", "forecasting", "flows", "tests") for path in (ROOT / top).rglob("*.py"))
    state = sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    kept = home / "reached.json"
    if kept.exists() and (told := json.loads(kept.read_text()))["state"] == state:
        return told["reached"]
    names = sorted(path.relative_to(ROOT).as_posix() for one in TESTS for path in (ROOT / "tests").glob(f"{one}.py"))
    found = dict(zip(names, pool.map(lambda name: lent(folders, reached, name), names), strict=True))
    kept.write_text(json.dumps({"state": state, "reached": found}))
    return found


def lent(folders: "SimpleQueue[Path]", work: Any, *given: Any) -> Any:
    """What the work returns with a copy that nobody else uses meanwhile."""
    folder = folders.get()
    try:
        return work(folder, *given)
    finally:
        folders.put(folder)


def chosen(mutant: Mutant, by_test: Reached) -> list[str]:
    """The test files that reach a mutant: its module's own, then the quickest within the budget."""
    lines = {test: set(one["lines"].get(mutant.module, ())) for test, one in by_test.items()}
    imported = set.intersection(*(found for found in lines.values() if found))
    reach = {test for test, found in lines.items() if found > imported and found & set(mutant.lines)}
    own = f"test_{Path(mutant.module).stem}.py"
    tests, spent = [], 0.0
    for test in sorted(reach, key=lambda name: (Path(name).name != own, by_test[name]["seconds"])):
        if Path(test).name == own or spent + by_test[test]["seconds"] <= BUDGET_SECONDS:
            tests.append(test)
            spent += by_test[test]["seconds"]
    return tests


def tried(folder: Path, mutant: Mutant, by_test: Reached) -> bool:
    """Whether the tests notice a mutant: by a failure, or because they do not end."""
    tests, path = chosen(mutant, by_test), folder / mutant.module
    if not tests:
        return False
    code = path.read_text()
    path.write_text(mutant.code)
    try:
        return status(folder, tests, 60.0 + 3 * sum(by_test[test]["seconds"] for test in tests)) != 0
    finally:
        path.write_text(code)


def main() -> None:
    """Prints a table by module and each survivor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="a folder for copies of the code")
    for name, value in (("--sample", 200), ("--seed", 1), ("--workers", os.cpu_count() or 1)):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--module", action="append", help="only these, as features/macro.py")
    asked = parser.parse_args()
    names = asked.module or [f"{folder}/{name}.py" for folder, names in MODULES.items() for name in names.split()]
    sample = mutants({name: (ROOT / name).read_text() for name in names}, asked.sample, asked.seed)
    listed = tomllib.loads((Path(__file__).with_suffix(".toml")).read_text())
    alike = [mutant for mutant in sample if mutant.change in listed.get(mutant.module, {})]
    real = [mutant for mutant in sample if mutant not in alike]
    folders: SimpleQueue[Path] = SimpleQueue()
    for number in range(asked.workers):
        folders.put(copied(asked.home.resolve() / f"copy-{number}"))
    results: Counter[tuple[str, str]] = Counter((mutant.module, "equivalent") for mutant in alike)
    with ThreadPoolExecutor(asked.workers) as pool:
        by_test = recorded(asked.home, folders, pool)
        noticed = pool.map(lambda mutant: lent(folders, tried, mutant, by_test), real)
        for mutant, seen in zip(real, noticed, strict=True):
            results[mutant.module, "noticed" if seen else "survived"] += 1
            if not seen:
                print(f"survived: {mutant.module}:{mutant.lines.start} {mutant.change}", flush=True)
    columns = ("noticed", "equivalent", "survived")
    rows = [(name, [results[name, column] for column in columns]) for name in names]
    total = [sum(counts[k] for _, counts in rows) for k in range(3)]
    print(f"{'module':32}{'tried':>10}" + "".join(f"{column:>12}" for column in columns))
    for name, counts in [*rows, ("all", total)]:
        print(f"{name:32}{sum(counts):10}" + "".join(f"{count:12}" for count in counts))
    share = total[0] / max(total[0] + total[2], 1)
    print(f"noticed {share:.1%} of the mutants that change something; {NOTICED:.0%} are required")
    sys.exit(share < NOTICED)


if __name__ == "__main__":
    main()
