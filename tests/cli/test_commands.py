"""The command's exit codes and its one-sentence errors."""

from pathlib import Path

import pytest
import yaml
from click.shell_completion import ShellComplete

from cli.main import call, refloat
from tests.client.scripted import CATALOG


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


def test_a_resource_path_is_completed_from_the_catalog(tmp_path: Path) -> None:
    (tmp_path / "refloat.yaml").write_text(yaml.safe_dump(CATALOG))
    typed = ["--catalog", str(tmp_path / "refloat.yaml"), "restore"]

    found = ShellComplete(refloat, {}, "refloat", "_X").get_completions(typed, "shop/production/o")
    none = ShellComplete(refloat, {}, "refloat", "_X").get_completions(["restore"], "shop/")

    assert [item.value for item in found] == ["shop/production/orders"]
    assert none == []
