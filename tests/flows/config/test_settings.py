from pathlib import Path

import pytest

from daypart.features.errors import InputError
from daypart.flows.config.settings import Settings


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DAYPART_HOME", raising=False)
    monkeypatch.delenv("DAYPART_SEED", raising=False)
    monkeypatch.chdir(tmp_path)


def test_by_default_home_is_beside_the_user_and_nothing_is_created(tmp_path: Path) -> None:
    settings = Settings()
    assert settings.home == tmp_path / ".daypart"
    assert settings.seed == 7
    assert list(tmp_path.iterdir()) == []


def test_every_path_lies_under_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "h")
    paths = (settings.lake, settings.mlflow_database, settings.artifacts, settings.prefect, settings.reports)
    paths = (*paths, settings.recipes, settings.studies)
    assert len(set(paths)) == 7
    assert all(path.parent == tmp_path / "h" for path in paths)


def test_arguments_win_over_environment_over_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "h"
    home.mkdir()
    (home / "settings.toml").write_text("seed = 1\n")
    assert Settings(home=home).seed == 1
    monkeypatch.setenv("DAYPART_HOME", str(home))
    assert Settings().home == home
    assert Settings().seed == 1
    monkeypatch.setenv("DAYPART_SEED", "2")
    assert Settings().seed == 2
    assert Settings(seed=3).seed == 3
    assert Settings(home=tmp_path / "other").home == tmp_path / "other"


def test_other_variables_with_the_prefix_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYPART_REAL_DATA", "x")
    monkeypatch.setenv("DAYPART_HOME", "")
    assert Settings().home.name == ".daypart"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# comment\nsed = 3\n", "line 2: 'sed' is not a setting; expected seed"),
        ("\n\nseed = 'many'\n", "line 3: seed is 'many'"),
        ("seed = 1\nseed 2\n", "line 2"),
        ("home = '/tmp'\n", "line 1: 'home' is not a setting"),
        ("[model]\nseed = 1\n", "line 1: 'model' is not a setting"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_says_where(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / ".daypart" / "settings.toml"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(InputError) as refused:
        Settings()
    assert str(file.relative_to(tmp_path)) in str(refused.value)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_wrong_variable_or_argument_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="sed is not a setting"):
        Settings(sed=3)
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken.*is a file, expected a folder"):
        Settings(home=tmp_path / "taken")
    with pytest.raises(InputError, match=r"cannot have \? in its path"):
        Settings(home="why?")
    with pytest.raises(InputError, match="timezone is 'Paris': no such time zone; expected an IANA name"):
        Settings(timezone="Paris")
    monkeypatch.setenv("DAYPART_SEED", "x")
    with pytest.raises(InputError, match="DAYPART_SEED is 'x'"):
        Settings()


def test_settings_survive_being_sent_to_another_process(tmp_path: Path) -> None:
    settings = Settings(home=Path("h"), seed=9)
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
