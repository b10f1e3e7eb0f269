from pathlib import Path

import pytest

from daypart.features.errors import DaypartError
from daypart.flows.registry import tuning_studies


def test_a_study_is_one_process_alone_and_is_found_again(tmp_path: Path) -> None:
    with tuning_studies.open_study(tmp_path / "tune", "orders") as study:
        study.set_user_attr("seen", 1)
        with (
            pytest.raises(DaypartError, match="used by another process"),
            tuning_studies.open_study(tmp_path / "tune", "orders"),
        ):
            pass
        with tuning_studies.open_study(tmp_path / "tune", "sales") as other:
            assert other.user_attrs == {}
    with tuning_studies.open_study(tmp_path / "tune", "orders") as study:
        assert study.user_attrs == {"seen": 1}
    file_names = {path.name for path in (tmp_path / "tune").iterdir()}
    assert file_names == {"orders.db", "orders.lock", "sales.db", "sales.lock"}
