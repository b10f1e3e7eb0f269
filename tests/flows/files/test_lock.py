import subprocess
import sys
import time
from pathlib import Path

import pytest

from daypart.features.errors import DaypartError
from daypart.flows.files.lock import file_lock, is_held

HOLD = "import sys, time; from pathlib import Path; from daypart.flows.files.lock import file_lock\n"
HOLD += "with file_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
ROOT = Path(__file__).resolve().parents[3]


def test_another_process_waits_or_is_refused_until_the_holder_ends_however_it_does(tmp_path: Path) -> None:
    path = tmp_path / "home" / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert is_held(path)
        with pytest.raises(DaypartError, match="held by another process"), file_lock(path, wait=False):
            pass
        waiter = subprocess.Popen([sys.executable, "-c", HOLD, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        assert waiter.poll() is None
        other.kill()
    assert waiter.stdout is not None
    assert waiter.stdout.readline() == "held\n"
    waiter.kill()
    waiter.wait()
    assert not is_held(path)
    with file_lock(path, wait=False):
        pass
