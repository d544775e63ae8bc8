"""What the command refuses before it talks to anybody."""

import io
from pathlib import Path

import pytest
import yaml
from rich.table import Table

from cli.context import Session
from cli.main import call
from tests.client.scripted import CATALOG

ORDERS = "shop/production/orders"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "refloat.yaml").write_text(yaml.safe_dump(CATALOG))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFLOAT_CATALOG", raising=False)
    monkeypatch.setenv("REFLOAT_TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["restore", ORDERS], "name exactly one point"),
        (["restore", ORDERS, "--latest", "--to", "now"], "name exactly one point"),
        (["restore", ORDERS, "--drill", "--latest", "--snapshot", "x"], "name exactly one point"),
        (["restore", ORDERS, "--to"], "requires an argument"),
        (["--output", "xml", "run", "list"], "not one of"),
        (["completion", "tcsh"], "not one of"),
        (["sandbox", "sideways"], "not one of"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(arguments) == 2

    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["restore", ORDERS, "--latest"], "nobody at a terminal"),
        (["restore", ORDERS, "--drill"], "nobody at a terminal"),
        (["release", ORDERS], "nobody at a terminal"),
        (["restore", ORDERS, "--to", "2026-03-01 09:30"], "no zone"),
        (["restore", ORDERS, "--to", "2999-01-01T00:00:00Z"], "in the future"),
        (["restore", "shop/production/order", "--latest"], "did you mean"),
        (["--catalog", "missing.yaml", "resource", "list"], "missing.yaml"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(arguments) == 2

    said = capsys.readouterr()
    [line] = [line for line in said.err.splitlines() if line.startswith("refloat: ")]
    assert told in line
    assert "Traceback" not in said.err


def test_a_temporal_that_does_not_answer_is_exit_code_4(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(["restore", ORDERS, "--latest", "--yes"]) == 4

    assert "refloat: Temporal does not answer at 127.0.0.1:1" in capsys.readouterr().err


def test_the_sandbox_tells_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["sandbox", "--help"]) == 0

    assert "--purge" in capsys.readouterr().out


def test_what_is_protected_is_listed_as_text_and_checked_offline(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(["catalog", "check"]) == 0
    assert call(["resource", "list"]) == 4

    told = capsys.readouterr()
    assert "refloat.yaml: valid, 6 resources" in told.out
    assert ORDERS in told.out
    assert "last proofs are unknown" in told.err


def test_text_from_outside_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("what")
    table.add_row("drop [/orders] [red]x")

    Session(explicit_catalog=None, json=False).console.print(table)

    assert "drop [/orders] [red]x" in capsys.readouterr().out
