"""The command's exit codes and its one-sentence errors."""

import pytest

from cli.main import call


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    monkeypatch.delenv("REFLOAT_CATALOG", raising=False)


def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["restore"]) == 2
    assert call(["no-such-command"]) == 2
    assert "No such command" in capsys.readouterr().err


def test_no_catalog_is_refused_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["resource", "list"]) == 2

    assert "refloat sandbox up" in capsys.readouterr().err


def test_help_is_printed_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["restore"], ["run"], ["recovery-point"], ["snapshot"], ["release"]):
        assert call([*command, "--help"]) == 0
    assert "--before" in capsys.readouterr().out


def test_completion_is_printed_for_each_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["completion", "bash"]) == 0
    assert "_REFLOAT_COMPLETE" in capsys.readouterr().out
