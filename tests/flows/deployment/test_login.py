import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daypart.features.errors import InputError
from daypart.flows.deployment.login import FORM, ensure_login, private_folder, read_login


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """What is private must be so where nothing else makes it so."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_login_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drafts, replace = [], os.replace

    def watched(source: str, target: Path) -> None:
        drafts.append((mode(Path(source)), FORM.fullmatch(Path(source).read_text("utf-8").strip()) is not None))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    path = private_folder(tmp_path / "store") / "login"
    login = ensure_login(path)
    assert FORM.fullmatch(login)
    assert drafts == [(0o600, True)]
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert ensure_login(path) == read_login(path) == login
    assert len(drafts) == 1
    assert list(path.parent.iterdir()) == [path]
    assert ensure_login(tmp_path / "other") != login


def test_a_folder_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o755)
    assert mode(private_folder(tmp_path / "store")) == 0o700


def spoilt(path: Path, how: str) -> None:
    if how == "others may read it":
        path.chmod(0o644)
    elif how == "others may write it":
        path.chmod(0o620)
    elif how == "of another user":
        os.chown(path, 12345, -1)
    elif how == "a link":
        path.rename(path.with_name("elsewhere"))
        path.symlink_to("elsewhere")
    else:
        path.write_text({"empty": "", "cut": "daypart:abc\n", "of another form": "admin:" + "x" * 43}[how])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("others may read it", "is -rw-r--r-- of user"),
        ("others may write it", "is -rw--w---- of user"),
        pytest.param(
            "of another user", "of user 12345", marks=pytest.mark.skipif(os.geteuid() != 0, reason="not root")
        ),
        ("a link", "cannot be read as a login"),
        ("empty", "holds no login"),
        ("cut", "holds no login"),
        ("of another form", "holds no login"),
    ],
)
def test_a_login_that_others_may_know_is_refused_and_at_the_next_start_another(
    tmp_path: Path, how: str, words: str
) -> None:
    path = tmp_path / "login"
    login = ensure_login(path)
    spoilt(path, how)
    with pytest.raises(InputError, match=words) as refused:
        read_login(path)
    assert login.partition(":")[2] not in str(refused.value)
    assert ensure_login(path) != login
    assert not path.is_symlink()
    assert mode(path) == 0o600
    assert read_login(path)


def test_a_login_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        ensure_login(tmp_path / "login")
    assert not list(tmp_path.iterdir())
