"""What every command needs: the catalog, a connection, the way to print, the exit code."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TypeVar

import click
from pydantic import BaseModel, TypeAdapter
from rich.console import Console
from temporalio.client import Client

from cli.times import LocalZone
from client.catalog_file import find_catalog, load_catalog
from client.connection import connect, temporal_errors
from client.settings import TemporalSettings, load_settings
from domain.catalog import Catalog
from domain.resources import ProtectedResource

Answer = TypeVar("Answer")
_WORD_AFTER = 5.0  # seconds


async def _with_word(answer: Awaitable[Answer]) -> Answer:
    """Return an answer, and say after some seconds that it is still waited for."""
    waiting = asyncio.ensure_future(answer)
    try:
        if not (await asyncio.wait([waiting], timeout=_WORD_AFTER))[0]:
            click.echo("still waiting for a worker's answer …", err=True)
        return await waiting
    finally:
        waiting.cancel()


@dataclass
class Session:
    """One call of the command."""

    explicit_catalog: str | None
    json: bool

    @property
    def path(self) -> Path:
        """The catalog file in use."""
        return find_catalog(self.explicit_catalog)

    @property
    def catalog(self) -> Catalog:
        """The catalog in use."""
        return load_catalog(self.path)

    def resource(self, path: str) -> ProtectedResource:
        """Return a resource of the catalog by path."""
        return self.catalog.resource(path)

    @property
    def settings(self) -> TemporalSettings:
        """Where Temporal is."""
        return load_settings(self.path)

    def call(
        self, work: Callable[[Client], Awaitable[Answer]], *, shows_itself: bool = False
    ) -> Answer:
        """Connect, do the work and return its answer; say so when nobody answers for a while."""

        async def connected() -> Answer:
            settings = self.settings
            client = await connect(settings)
            with temporal_errors(settings.address):
                return await (work(client) if shows_itself else _with_word(work(client)))

        return asyncio.run(connected())

    @property
    def console(self) -> Console:
        """Where text for people goes: stdout, or stderr when stdout is for JSON alone."""
        console = Console(stderr=self.json, highlight=False, markup=False)
        if not console.is_terminal:
            console.width = 200  # a pipe has no edge to fold at
        return console

    def say(self, text: str) -> None:
        """Print a line for people."""
        click.echo(text, err=self.json)

    def document(self, content: object) -> None:
        """Print the one JSON document of a call."""
        if isinstance(content, BaseModel):
            click.echo(content.model_dump_json(by_alias=True, indent=1))
        else:
            click.echo(
                TypeAdapter(type(content)).dump_json(content, by_alias=True, indent=1).decode()
            )


def now() -> datetime:
    """Return the present moment, aware and UTC."""
    return datetime.now(UTC)


def local_zone() -> tzinfo:
    """Return the zone of whoever types."""
    return LocalZone()


def interactive() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin.isatty()


pass_session = click.make_pass_decorator(Session)
