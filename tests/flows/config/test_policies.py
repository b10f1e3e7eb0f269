from pathlib import Path

import pytest

from daypart.features.errors import InputError
from daypart.flows.config.policies import Policies
from daypart.forecasting.lifecycle.policy import Policy


def test_without_a_file_the_usual_holds(tmp_path: Path) -> None:
    assert Policies.read(tmp_path / "policy.toml").of("standard") == Policy()
    with pytest.raises(InputError, match=r"no policy file .*policy.toml; expected a table"):
        Policies.read(tmp_path / "policy.toml", needed=True)


def test_a_tier_goes_over_what_holds_for_all(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[policy]\nslip_bps = 30\ncooldown_days = 7\n[policy.top]\nslip_bps = 10\n")
    policies = Policies.read(path)
    assert policies.of("standard") == Policy(slip_bps=30, cooldown_days=7)
    assert policies.of("top") == Policy(slip_bps=10, cooldown_days=7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[policy]\nslip = 3\n", r"line 2: slip is 3: expected one of retrain, every_days"),
        ("[policy]\n[policy.top]\nconfidence = 2\n", r"line 3: confidence is 2: .*less than 1"),
        ('[policy]\n\nretrain = "scheduled"\n', r"line 3: retrain is 'scheduled': .*needs every_days"),
        ("[rules]\n", r"line 1: 'rules' is not known; expected a table \[policy\]"),
        ("policy = 3\n", r"line 1: 'policy' is not known; expected a table"),
        ("[policy\n", "cannot be read: .*line 1.*expected a table"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        Policies.read(path)
