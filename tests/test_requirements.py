"""What `make` installs is what the locks name, to the byte."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-bench.lock", "requirements-mutants.lock"])
def test_a_lock_has_a_hash_of_every_file_and_names_no_registry(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    entries = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE))
    assert entries
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+( ; [^\\\n]+)? \\\n    --hash=sha256:[0-9a-f]{64}", entry), entry
    assert "://" not in text


def test_make_installs_nothing_that_has_no_hash() -> None:
    """Dry runs of the verbs that install; the project itself is built by the locked setuptools, without a download."""
    verbs = ["install", "bench", "bench-accuracy", "mutants", "lock"]
    plan = subprocess.run(
        ["make", "--dry-run", "--always-make", *verbs], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    installs = [line for line in plan.splitlines() if "pip install" in line]
    assert len(installs) == 4
    for line in installs:
        local = "--no-deps --no-build-isolation --editable ." in line
        assert local != ("--require-hashes --requirement" in line or "--require-hashes --no-deps --requirement" in line)
