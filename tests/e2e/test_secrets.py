"""No secret leaves its file: what is searched has been shown to be searchable by a planted marker."""

import base64
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
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


def cells(database: Path, folder: Path) -> Iterator[bytes]:
    """Yield every text and blob of a SQLite file, whole even where pages cut them in pieces."""
    copies = folder / "copies"
    copies.mkdir()
    for file in database.parent.glob(f"{database.name}*"):
        shutil.copy(file, copies)
    held = sqlite3.connect(copies / database.name)
    try:
        for (table,) in held.execute("select name from sqlite_master where type = 'table'"):
            for row in held.execute(f'select * from "{table}"').fetchall():
                for cell in row:
                    if isinstance(cell, str | bytes):
                        yield cell.encode() if isinstance(cell, str) else cell
    finally:
        held.close()


def _bytes(paths: Iterator[Path]) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(paths) if path.is_file())


def _restore_a_dropped_table(box: Box) -> None:
    box.sql("drop table shop.orders")
    time.sleep(0.3)
    lsn = box.document("recovery-point", "suspects", ORDERS)[0]["lsn"]
    box.refloat("restore", ORDERS, "--before", lsn, "--reason", _MARKER, "--yes")
    box.refloat("run", "report", ORDERS, "--html", "report.html")
    box.sql(f"do $$begin raise log '{_LOGGED}'; end$$")


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, bytes]]:
    """Return all that a restore leaves behind, by where, and the secrets it must not contain."""


@pytest.mark.slow
def test_no_secret_is_in_history_log_report_or_process_list(tmp_path: Path) -> None:
    with running_box() as box:
        with watching_processes() as seen:
            _restore_a_dropped_table(box)
        root = box.root
        secrets = forms(root)
        box.refloat("sandbox", "down")
        searched = {
            "Temporal's files": _bytes(root.glob("temporal.db*")),
            "Temporal's rows": b"\n".join(cells(root / "temporal.db", tmp_path)),
            "reports": _bytes((root / "reports").iterdir()),
            "page": (box.folder / "report.html").read_bytes(),
            "logs": _bytes(root.rglob("*.log")),
            "process list": "\n".join(seen).encode(),
        }
        outside = (path for path in root.rglob("*") if path.parent.name != "secrets")
        everything = _bytes(outside)

    assert {"refloat.password", "shop.password", "backup.key"} <= {
        name.split(" ")[0] for name in secrets
    }
    for where, content in searched.items():
        assert (_LOGGED if where == "logs" else _MARKER).encode() in content, where
    found = [
        f"{name} in {where}"
        for where, content in {**searched, "all other files": everything}.items()
        for name, secret in secrets.items()
        if secret in content
    ]
    assert found == []


@pytest.mark.slow
def test_passwords_are_kept_and_asked_for_as_scram_alone() -> None:
    with running_box() as box:
        kept = box.sql(
            "select rolname from pg_authid where rolpassword like 'SCRAM-SHA-256$%' order by 1"
        )
        asked = box.sql("select distinct auth_method, error from pg_hba_file_rules")
        roles = box.sql("select rolname from pg_authid where rolcanlogin order by 1")

    assert kept == roles == "refloat\nshop"
    assert asked == "scram-sha-256|"
