"""However a command ends, it ends with one sentence that is true."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest

from cli.starting import confirm
from domain.errors import ConfirmationRequiredError


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_full_disk_under_the_output_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cli", "completion", "bash"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == "refloat: cannot read or write the output: No space left on device\n"


def test_an_interrupt_at_the_question_says_that_nothing_was_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object, **__: object) -> bool:
        raise click.Abort

    monkeypatch.setattr(click, "confirm", interrupted)
    session = SimpleNamespace(json=False, say=print)

    with pytest.raises(ConfirmationRequiredError, match="nothing was started"):
        confirm(cast("Any", session), [], "")
