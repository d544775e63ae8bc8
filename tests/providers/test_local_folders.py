"""A configuration in a folder: cut short anywhere, edited by others, secret, binary."""

from pathlib import Path

import pytest

from domain.configuration import (
    ConfigurationFile,
    FolderTarget,
    ProtectedConfiguration,
    Repository,
)
from domain.errors import ConflictError
from domain.resources import Objectives
from providers.local import folders
from providers.local.folders import LocalFolders
from providers.masking import masked

CONFIGURATION = ProtectedConfiguration(
    path="shop/production/settings",
    provider="here",
    provider_kind="local",
    objectives=Objectives(),
    name="settings",
    repository=Repository(url="settings.git"),
    platform=FolderTarget(kind="local", folder="config"),
)


def files(**content: bytes) -> list[ConfigurationFile]:
    return [ConfigurationFile(path=name, content=what) for name, what in content.items()]


def test_a_call_that_was_cut_short_is_finished_or_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = LocalFolders(tmp_path, tmp_path)
    one.apply(CONFIGURATION, files(a=b"1", b=b"1"), key="first")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folders, "_replace", killed)
        with pytest.raises(KeyboardInterrupt):
            one.apply(CONFIGURATION, files(a=b"2", b=b"2"), key="second")

    one.apply(CONFIGURATION, files(a=b"2", b=b"2"), key="second")
    assert (tmp_path / "config" / "a").read_bytes() == b"2"
    one.apply(CONFIGURATION, files(a=b"1"), key="undo")
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["a"]


def test_a_file_that_somebody_edited_is_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    one = LocalFolders(tmp_path, tmp_path)
    one.apply(CONFIGURATION, files(a=b"1", b=b"1"), key="first")
    (tmp_path / "config" / "b").write_bytes(b"theirs")

    for wanted in (files(a=b"2"), files(a=b"2", b=b"2")):
        with pytest.raises(ConflictError, match=r"b in .* was changed by somebody else"):
            one.apply(CONFIGURATION, wanted, key="second")

    assert (tmp_path / "config" / "b").read_bytes() == b"theirs"
    assert (tmp_path / "config" / "a").read_bytes() == b"1"


def test_a_file_keeps_its_mode_and_may_hold_any_bytes(tmp_path: Path) -> None:
    one = LocalFolders(tmp_path, tmp_path)
    one.apply(CONFIGURATION, files(a=b"1"), key="first")
    (tmp_path / "config" / "a").chmod(0o600)

    one.apply(CONFIGURATION, files(a=b"\xff\xfe\x00"), key="second")

    assert (tmp_path / "config" / "a").read_bytes() == b"\xff\xfe\x00"
    assert (tmp_path / "config" / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "line",
    [
        "redis://:hunter2@cache", "amqp://hunter2@host", "postgres://u:hunter2/w@h/db",
        "run --password hunter2", "DB_PASS=hunter2", "pwd=hunter2", "passphrase: hunter2",
        "Authorization: Token hunter2", "Cookie: a=1; session=hunter2", "secret = 'hunter2'",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_taken_out_of_a_programs_words(line: str) -> None:
    assert "hunter2" not in masked(line)
    assert masked("could not open /data/orders: no such file") == (
        "could not open /data/orders: no such file"
    )
