"""A real bare repository with a few commits, clones of it, and a forge before it, made with git."""

import atexit
import base64
import ipaddress
import os
import shutil
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from domain.checks import Verdict
from domain.configuration import (
    ConfigurationPoint,
    ConfigurationTarget,
    FolderTarget,
    PointKind,
    ProtectedConfiguration,
    Repository,
)
from domain.platforms import ConfigurationRepository
from domain.resources import Objectives
from providers.git.provider import repositories
from providers.secrets.references import Secrets

TOKEN = "marker-of-the-token"
"""What the forge wants to be shown."""
GIT = shutil.which("git") or "git"
PATH = "shop/production/settings"
FOLDER = "deploy"
BEGUN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
"""When the first commit of a ground was made; each further one a minute later."""
MINUTE = timedelta(minutes=1)


def git(folder: Path, *arguments: str, **more: str) -> str:
    """Run git, without the account's settings, and return what it prints."""
    done = subprocess.run(
        [GIT, *arguments],
        cwd=folder,
        env=surroundings(**more),
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        raise AssertionError(f"git {' '.join(arguments)}: {done.stderr}{done.stdout}")
    return done.stdout.strip()


def surroundings(**more: str) -> dict[str, str]:
    """Return an environment in which git knows nothing of the account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **kept,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "GIT_TERMINAL_PROMPT": "0",
        **more,
    }


@dataclass
class Clone:
    """One person's working copy of the remote."""

    folder: Path
    clock: datetime = BEGUN

    def commit(
        self,
        files: Mapping[str, str | bytes | None],
        subject: str,
        at: datetime | None = None,
        *,
        push: bool = True,
    ) -> str:
        """Write files, or remove those that are None, commit, push, and return the commit's id."""
        for name, content in files.items():
            path = self.folder / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.run("add", "--all")
        return self.record(subject, at, push=push)

    def record(self, subject: str, at: datetime | None = None, *, push: bool = True) -> str:
        """Commit what is staged, push, and return the commit's id."""
        self.clock, when = self.clock + MINUTE, at or self.clock
        stamp = f"{int(when.timestamp())} +0000"
        self.run(
            "commit", "--allow-empty", "-qm", subject,
            GIT_AUTHOR_DATE=stamp, GIT_COMMITTER_DATE=stamp,
        )  # fmt: skip
        if push:
            self.run("push", "-q", "origin", "HEAD")
        return self.run("rev-parse", "HEAD")

    def run(self, *arguments: str, **more: str) -> str:
        """Run git in the clone."""
        return git(self.folder, *arguments, **more)

    def pull(self) -> None:
        """Take over what others pushed."""
        self.run("pull", "-q", "--ff-only")


@dataclass
class Ground:
    """One bare repository, a clone to write to it, and the provider over it."""

    root: Path
    remote: Path
    ada: Clone

    def clone(self, name: str) -> Clone:
        """Return another working copy."""
        git(self.root, "clone", "-q", "--template=", str(self.remote), name)
        return Clone(self.root / name, self.ada.clock)

    def configuration(self, **repository: Any) -> ProtectedConfiguration:
        """Return the configuration in the remote's folder as a catalog would declare it."""
        settings = {"url": str(self.remote), "path": FOLDER, **repository}
        return ProtectedConfiguration(
            path=PATH,
            provider="here",
            provider_kind="local",
            objectives=Objectives(),
            name="settings",
            repository=Repository(**settings),
            platform=FolderTarget(kind="local", folder=str(self.root / "in-effect")),
        )

    def provider(self) -> ConfigurationRepository:
        """Return a provider that knows nothing yet but what an earlier one left on the disk."""
        return repositories(self.root / "state", self.root, Secrets(self.root))

    def git(self, *arguments: str) -> str:
        """Run git in the remote."""
        return git(self.remote, *arguments)

    def imported(self, stream: str) -> None:
        """Take a whole history at once, as `git fast-import` reads it."""
        subprocess.run(
            [GIT, "fast-import", "--quiet"], cwd=self.remote, input=stream, text=True, check=True
        )

    def head(self, branch: str = "main") -> str:
        """Return the commit at which a branch of the remote is."""
        return self.git("rev-parse", f"refs/heads/{branch}")


def make_ground(root: Path) -> Ground:
    """Make an empty remote and a clone of it."""
    return _copied(root, _empty())[0]


def make_history(root: Path) -> tuple[Ground, list[str]]:
    """Make a remote with four commits: one that is good, one outside the folder, two that are bad."""
    return _copied(root, _with_history())


Told = tuple[Ground, list[str]]


@cache
def _empty() -> Told:
    root = _for_this_process()
    remote = root / "remote.git"
    git(root, "init", "-q", "--bare", "--template=", "--initial-branch=main", str(remote))
    git(root, "clone", "-q", "--template=", str(remote), "ada")
    ada = Clone(root / "ada")
    ada.run("remote", "set-url", "origin", "../remote.git")  # a copy pushes to its own
    ada.run("checkout", "-q", "-b", "main")
    return Ground(root, remote, ada), []


@cache
def _with_history() -> Told:
    ground = make_ground(_for_this_process())
    ada = ground.ada
    made = [
        ada.commit({"deploy/app.yaml": "replicas: 3\n", "README": "1\n"}, "Begin", push=False),
        ada.commit({"README": "2\n"}, "Tell more", push=False),
        ada.commit({"deploy/app.yaml": "replicas: 0\n"}, "Save money", push=False),
        ada.commit({"deploy/new.yaml": "a: 1\n"}, "Add a file"),
    ]
    return ground, made


def _for_this_process() -> Path:
    """Return a folder that is gone when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="refloat-git-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _copied(root: Path, told: Told) -> Told:
    ground, made = told
    for folder in (ground.remote, ground.ada.folder):
        shutil.copytree(folder, root / folder.name)
    copy = Clone(root / ground.ada.folder.name, ground.ada.clock)
    return Ground(root, root / ground.remote.name, copy), list(made)


def point_of(ground: Ground, reference: str, **repository: object) -> ConfigurationPoint:
    """Return what a commit or tag means in the remote now."""
    target = ConfigurationTarget(kind=PointKind.REFERENCE, reference=reference)
    return ground.provider().resolve(ground.configuration(**repository), target)


def findings_of(
    ground: Ground, point: ConfigurationPoint, **repository: object
) -> dict[str, tuple[Verdict, str]]:
    """Return verdict and observation of each finding by its name."""
    found = ground.provider().examine(ground.configuration(**repository), point)
    return {finding.name: (finding.verdict, finding.observed) for finding in found}


@dataclass
class Forge:
    """A server of one folder of repositories, and what it was asked."""

    url: str
    refuse: tuple[int, str] | None = None
    read_only: bool = False
    asked: list[str] = field(default_factory=list)
    users: set[str] = field(default_factory=set)


def certificate(folder: Path) -> Path:
    """Write a certificate of 127.0.0.1 with its key, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "forge")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "forge.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@contextmanager
def forge_over(root: Path, pem: Path) -> Iterator[Forge]:
    """Serve the repositories below a folder to who shows the token."""
    forge = Forge("")
    handler = type("Handler", (_Handler,), {"forge": forge, "root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that hangs up
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    forge.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Hands each request to git's http-backend, as a web server does."""

    forge: Forge
    root: Path

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.forge.asked.append(f"{self.command} {self.path}")
        user, _, token = self._login().partition(":")
        self.forge.users.add(user)
        if self.forge.refuse is not None:
            self._say(*self.forge.refuse)
        elif token != TOKEN:
            self._say(401, f"wrong token {token}")
        elif self.forge.read_only and "receive-pack" in self.path:
            self._say(403, "you may only read")
        else:
            self._serve(user, body)

    def _login(self) -> str:
        scheme, _, login = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(login).decode() if scheme.lower() == "basic" else ""

    def _say(self, status: int, words: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words.encode())

    def _serve(self, user: str, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            [GIT, "http-backend"],
            input=body,
            capture_output=True,
            check=True,
            env=surroundings(
                GIT_PROJECT_ROOT=str(self.root),
                GIT_HTTP_EXPORT_ALL="1",
                PATH_INFO=path,
                QUERY_STRING=query,
                REQUEST_METHOD=self.command,
                CONTENT_TYPE=self.headers.get("Content-Type", ""),
                CONTENT_LENGTH=str(len(body)),
                REMOTE_USER=user,
                GIT_PROTOCOL=self.headers.get("Git-Protocol", ""),
            ),
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value for name, value in lines if name == "Status"), "200")
        self.send_response(int(status[:3]))
        for name, value in lines:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
