"""No secret leaves its file: what is searched has been shown to be searchable by a planted marker."""

import base64
import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.e2e.box import ORDERS, Box, running_box

_MARKER = "planted-on-purpose-4711"
_LOGGED = "planted-in-the-log-0815"


@contextmanager
def watching_processes(every: float = 0.02) -> Iterator[set[str]]:
    """Collect the command line of every process of the machine while the block runs."""
    seen: set[str] = set()
    enough = threading.Event()

    def look() -> None:
        while not enough.wait(every):
            for process in psutil.process_iter(["cmdline"]):
                seen.add(" ".join(process.info["cmdline"] or []))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        enough.set()
        watcher.join()


def forms(root: Path) -> dict[str, bytes]:
    """Return every secret of a sandbox in every form that it could be written in."""
    found = {}
    for path in sorted((root / "secrets").iterdir()):
        text = path.read_text().strip()
        if path.name == "shop.pass":
            text = text.rpartition(":")[2]
        plain = {"text": text.encode()}
        if path.suffix == ".key":
            plain["bytes"] = base64.b64decode(text)
        for name, value in plain.items():
            found[f"{path.name} as {name}"] = value
            found[f"{path.name} as {name} in hex"] = value.hex().encode()
            found[f"{path.name} as {name} in HEX"] = value.hex().upper().encode()
            for shift in range(3):  # base64 of a longer text that holds it at any place
                inner = base64.b64encode(b"\0" * shift + value)
                found[f"{path.name} as {name} in base64 at {shift}"] = inner[4 if shift else 0 : -4]
    return found


def cells(database: Path) -> Iterator[bytes]:
    """Yield every text and blob of a SQLite file, whole even where pages cut them in pieces."""
    held = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        for (table,) in held.execute("select name from sqlite_master where type = 'table'"):
            for row in held.execute(f'select * from "{table}"').fetchall():
                for cell in row:
                    if isinstance(cell, str | bytes):
                        yield cell.encode() if isinstance(cell, str) else cell
    finally:
        held.close()


def content(paths: Iterable[Path]) -> bytes:
    """Return the bytes of every file of `paths` that is still there; a socket holds none."""
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found.append(path.read_bytes())
    return b"\n".join(found)


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """Return a running sandbox."""
    with running_box() as made:
        yield made


@pytest.mark.slow
def test_no_secret_is_in_history_log_report_or_process_list(box: Box) -> None:
    with watching_processes() as seen:
        box.sql("drop table shop.orders")
        time.sleep(0.3)
        before = box.document("recovery-point", "suspects", ORDERS)[0]["before"]
        box.refloat("restore", ORDERS, "--before", before, "--reason", _MARKER, "--yes")
        box.refloat("run", "report", ORDERS, "--html", "report.html")
        box.sql(f"do $$begin raise log '{_LOGGED}'; end$$")
    root, secrets = box.root, forms(box.root)
    searched = {
        "Temporal's files": content(root.glob("temporal.db*")),
        "Temporal's rows": b"\n".join(cells(root / "temporal.db")),
        "reports": content((root / "reports").iterdir()),
        "page": (box.folder / "report.html").read_bytes(),
        "logs": content(root.rglob("*.log")),
        "process list": "\n".join(seen).encode(),
    }
    elsewhere = [path for path in root.rglob("*") if path.parent != root / "secrets"]

    for where, found in searched.items():
        assert (_LOGGED if where == "logs" else _MARKER).encode() in found, where
    names = {name.partition(" ")[0] for name in secrets}
    assert names >= {"refloat.password", "shop.password", "backup.key"}
    assert [
        f"{name} in {where}"
        for where, found in searched.items()
        for name, secret in secrets.items()
        if secret in found
    ] == []
    plain = [secret for name, secret in secrets.items() if name.endswith((" text", " bytes"))]
    holders = [path for path in elsewhere if any(one in content([path]) for one in plain)]
    assert {path.name for path in holders} == {"pass-refloat"}  # what a log receiver logs in with
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}


@pytest.mark.slow
def test_passwords_are_kept_and_asked_for_as_scram_alone(box: Box) -> None:
    kept = box.sql(
        "select rolname from pg_authid where rolpassword like 'SCRAM-SHA-256$%' order by 1"
    )

    assert kept == "refloat\nshop"
    assert box.sql("select rolname from pg_authid where rolcanlogin order by 1") == kept
    assert box.sql("select distinct auth_method, error from pg_hba_file_rules") == "scram-sha-256|"
    assert box.sql("show password_encryption") == "scram-sha-256"
