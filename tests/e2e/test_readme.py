"""The README keeps its word: every command in it exists, with its options."""

import re
import shlex
import sys
from collections.abc import Iterator

import click
import pytest

from cli.main import refloat
from sandbox.__main__ import _parse
from tests.e2e.box import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every command line in the code blocks of a page."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def understood(words: list[str]) -> click.Command:
    """Return the command that the words after `refloat` name, parsed with its options.

    Raises:
        click.UsageError: no such command, option or argument.
    """
    context = refloat.make_context("refloat", list(words))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    return context.command


README_COMMANDS = [words for words in commands(README) if words[0] == "refloat"]
_LAST = next(at for at, words in enumerate(README_COMMANDS) if words[1:3] == ["sandbox", "down"])
FIVE_MINUTES = README_COMMANDS[: _LAST + 1]


@pytest.mark.parametrize("words", README_COMMANDS, ids=" ".join)
def test_every_refloat_command_of_the_readme_exists(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = understood(words[1:])

    if command.name == "sandbox":
        monkeypatch.setattr(sys, "argv", ["sandbox", *words[2:]])
        assert _parse().act == words[2]


def test_the_readme_tells_the_whole_way() -> None:
    told = [" ".join(words[1:3]) for words in README_COMMANDS]

    for step in ("sandbox up", "recovery-point suspects", "run report", "sandbox down"):
        assert step in told
    assert any(words[1] == "restore" and "--before" in words for words in README_COMMANDS)
    assert any(words[1] == "release" for words in README_COMMANDS)


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    for words in (["sandbok", "up"], ["restore", "a/b/c", "--befor", "0/1"], ["run", "report"]):
        with pytest.raises(click.UsageError):
            understood(words)


def test_the_readme_begins_with_the_two_commands_that_make_knows() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    made = [words for words in commands(README) if words[0] == "make"]

    assert [words[:2] for words in made] == [["make", "demo"], ["make", "test"]]
    assert "make demo" in "\n".join(README.splitlines()[:24])
    for words in made:
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE)


def test_every_disaster_that_the_readme_names_is_one_of_the_demo_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = re.findall(r"DISASTER=([\w-]+)", README)

    assert set(named) == {"disk", "bad-update"}
    for disaster in named:
        monkeypatch.setattr(sys, "argv", ["sandbox", "demo", "--disaster", disaster])
        assert _parse().disaster == disaster


def test_every_page_that_the_readme_leads_to_exists() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (REPOSITORY / link).exists(), link
