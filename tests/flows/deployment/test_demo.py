"""The server that Prefect starts by itself for the demo, which answers on a port of this machine while that runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from daypart.flows.deployment import demo
from tests.flows.strangers import REFUSED, SOCKETS, event, strangers

ROOT = Path(__file__).resolve().parents[3]
START = """
import json, sys
from pathlib import Path
from daypart.flows.deployment import demo
demo._quiet_prefect(Path(sys.argv[1]))
from prefect.client.orchestration import get_client
from prefect.server.api.server import SubprocessASGIServer
with get_client(sync_client=True) as client:
    pools = len(client.read_work_pools())
    print(json.dumps([SubprocessASGIServer().port, pools]), flush=True)
    sys.stdin.read()
"""


def test_the_demos_server_serves_the_demo_alone(tmp_path: Path) -> None:
    names = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE")
    environment = {name: text for name, text in os.environ.items() if name not in names}
    with subprocess.Popen(
        [sys.executable, "-c", START, tmp_path / "store"],
        cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        port, pools = json.loads(child.stdout.readline())
        assert pools == 0
        for sender in strangers(port):
            for content in ("application/json", None):
                assert sender.request("POST", "/api/flows/", '{"name": "forged"}', content) in REFUSED, sender
            assert sender.request("GET", "/api/work_pools/daypart") in REFUSED, sender
            for path in SOCKETS:
                assert not sender.let_in(path, event("home")), (sender, path)
        assert child.stdin is not None
        child.stdin.close()


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE"])
def test_a_server_that_is_named_is_sent_no_login_of_ours(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {name: "theirs"})
    demo._quiet_prefect(tmp_path / "store")
    assert os.environ[name] == "theirs"
    assert not [variable for variable in os.environ if "AUTH" in variable]
