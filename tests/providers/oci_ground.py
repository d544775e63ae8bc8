"""A real registry on this machine, and images pushed into it over the distribution API."""

import hashlib
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import yaml

from domain.checks import Finding
from domain.rollback import COMMIT_LABEL
from providers.oci.client import OciClient
from providers.oci.config import Place
from providers.oci.images import Repository
from providers.oci.knowledge import Knowledge
from providers.secrets.references import Secrets
from tests.station import free_ports

PROGRAM = shutil.which("docker-registry")
USER, PASSWORD = "keeper", "marker-of-the-registry"
_HASH = "$2b$04$refloatrefloatrefloatu4Et08H145X.6CFg.yTcBy6cqqg08BZC"
_OCI, _DOCKER = "application/vnd.oci.image", "application/vnd.docker"
_TYPES = {
    "oci": {
        "manifest": f"{_OCI}.manifest.v1+json",
        "index": f"{_OCI}.index.v1+json",
        "config": f"{_OCI}.config.v1+json",
        "layer": f"{_OCI}.layer.v1.tar+gzip",
    },
    "docker": {
        "manifest": f"{_DOCKER}.distribution.manifest.v2+json",
        "index": f"{_DOCKER}.distribution.manifest.list.v2+json",
        "config": f"{_DOCKER}.container.image.v1+json",
        "layer": f"{_DOCKER}.image.rootfs.diff.tar.gzip",
    },
}
needs_registry = pytest.mark.skipif(
    PROGRAM is None, reason="docker-registry is not installed (apt-get install docker-registry)"
)


@dataclass(frozen=True)
class Served:
    """A registry that runs: its host as images name it, and where it keeps what it has."""

    host: str
    storage: Path

    def file_of(self, digest: str) -> Path:
        """Return the file that holds the bytes of a blob or a manifest."""
        algorithm, _, digits = digest.partition(":")
        blobs = self.storage / "docker/registry/v2/blobs"
        return blobs / algorithm / digits[:2] / digits / "data"


@contextmanager
def registry_server(folder: Path, **auth: Mapping[str, str]) -> Iterator[Served]:
    """Serve an empty registry from a folder; `auth` is the section of its configuration."""
    if PROGRAM is None:
        pytest.skip("docker-registry is not installed (apt-get install docker-registry)")
    folder.mkdir(parents=True, exist_ok=True)
    host = f"127.0.0.1:{free_ports(1)}"
    content: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "storage")},
            "delete": {"enabled": True},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": host},
        **({"auth": auth} if auth else {}),
    }
    (folder / "config.yml").write_text(yaml.safe_dump(content))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "serve", str(folder / "config.yml")], stdout=log, stderr=log, cwd=folder
        )
    try:
        _await(host, process, folder / "log")
        yield Served(host, folder / "storage")
    finally:
        process.kill()
        process.wait()


@contextmanager
def guarded_server(folder: Path, login: str = f"{USER}:{_HASH}") -> Iterator[Served]:
    """Serve a registry that wants `USER` and `PASSWORD`, or another login as `htpasswd` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(f"{login}\n")
    with registry_server(
        folder, htpasswd={"realm": "refloat", "path": str(folder / "htpasswd")}
    ) as served:
        yield served


def _await(host: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        try:
            requests.get(f"http://{host}/v2/", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"docker-registry did not start: {log.read_text()[-500:]}")


def digest_of(content: bytes) -> str:
    """Return the digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def push(  # noqa: PLR0913 - what an image can be, each with a default
    host: str,
    repository: str,
    tag: str,
    layers: Sequence[bytes] = (b"a layer",),
    labels: Mapping[str, str] | None = None,
    *,
    commit: str = "",
    created: str = "2026-03-01T09:30:00Z",
    annotations: Mapping[str, str] | None = None,
    form: str = "oci",
    auth: Any = None,
) -> str:
    """Push an image and return its digest; without a tag it has none."""
    types, address = _TYPES[form], f"http://{host}/v2/{repository}"
    told = {**(labels or {}), **({COMMIT_LABEL: commit} if commit else {})}
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": created,
            "config": {"Labels": told or None},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    ).encode()
    for content in (config, *layers):
        _push_blob(address, content, auth)
    manifest = {
        "schemaVersion": 2,
        "mediaType": types["manifest"],
        "config": _part(types["config"], config),
        "layers": [_part(types["layer"], layer) for layer in layers],
        **({"annotations": annotations} if annotations else {}),
    }
    return put_manifest(host, repository, tag, manifest, auth=auth)


def push_index(  # noqa: PLR0913 - as above
    host: str,
    repository: str,
    tag: str,
    images: Mapping[str, str],
    *,
    attests: str = "",
    form: str = "oci",
    auth: Any = None,
) -> str:
    """Push an index of images by their platform, such as linux/amd64, and return its digest.

    `attests` is a manifest about one of them, as BuildKit adds it.
    """
    types, address = _TYPES[form], f"http://{host}/v2/{repository}"
    children = []
    for platform, digest in images.items():
        system, _, architecture = platform.partition("/")
        children.append(
            _listed(address, types["manifest"], digest, auth)
            | {"platform": {"os": system, "architecture": architecture}}
        )
    if attests:
        children.append(
            {
                "mediaType": types["manifest"],
                "digest": attests,
                "size": 10,
                "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
            }
        )
    content = {"schemaVersion": 2, "mediaType": types["index"], "manifests": children}
    return put_manifest(host, repository, tag, content, auth=auth)


def put_manifest(
    host: str, repository: str, tag: str, content: Mapping[str, Any], *, auth: Any = None
) -> str:
    """Put any manifest under a tag, or under its digest alone, and return the digest."""
    body = json.dumps(content).encode()
    address = f"http://{host}/v2/{repository}/manifests/{tag or digest_of(body)}"
    answer = requests.put(
        address, data=body, headers={"Content-Type": content["mediaType"]}, auth=auth, timeout=10
    )
    assert answer.status_code == requests.codes.created, answer.text
    return digest_of(body)


def delete(host: str, repository: str, kind: str, digest: str) -> None:
    """Delete a manifest or a blob over the API; `kind` is the one in the address."""
    answer = requests.delete(f"http://{host}/v2/{repository}/{kind}/{digest}", timeout=10)
    assert answer.status_code == requests.codes.accepted, answer.text


def _listed(address: str, media_type: str, digest: str, auth: Any) -> dict[str, Any]:
    found = requests.get(
        f"{address}/manifests/{digest}", headers={"Accept": media_type}, auth=auth, timeout=10
    )
    assert found.ok, found.text
    return {"mediaType": media_type, "digest": digest, "size": len(found.content)}


def _part(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _push_blob(address: str, content: bytes, auth: Any) -> None:
    begun = requests.post(f"{address}/blobs/uploads/", auth=auth, timeout=10)
    assert begun.status_code == requests.codes.accepted, begun.text
    answer = requests.put(
        begun.headers["Location"],
        params={"digest": digest_of(content)},
        data=content,
        auth=auth,
        timeout=10,
    )
    assert answer.status_code == requests.codes.created, answer.text


@dataclass(frozen=True)
class Asked:
    """One request that a scripted server got."""

    verb: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


Reply = tuple[int, Mapping[str, str], bytes]
Script = Callable[[Asked], Reply]


class Scripted:
    """A server whose answers a test writes; it keeps what it was asked."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.asked: list[Asked] = []
        outer = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            timeout = 20

            def answer(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = Asked(
                    self.command, parts.path, parse_qs(parts.query), dict(self.headers), body
                )
                outer.asked.append(asked)
                status, headers, content = outer.script(asked)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                """Keep the tests' output to themselves."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        """Where it is, as images name it."""
        return f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def scripted(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Serve a script."""
    server = Scripted(script, tls)
    try:
        yield server
    finally:
        server.close()


def told(status: int, content: object = None, **headers: str) -> Reply:
    """Return a reply in JSON; a header's name is written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Content-Type": "application/json", **named}, json.dumps(content).encode()


def refused(status: int, code: str, message: str = "", **headers: str) -> Reply:
    """Return a refusal as the specification writes it."""
    return told(status, {"errors": [{"code": code, "message": message}]}, **headers)


class Passwords(Secrets):
    """Secrets that a test knows, whatever their reference."""

    def __init__(self, value: str = PASSWORD) -> None:
        super().__init__(Path())
        self.value = value

    def read(self, reference: str) -> str:
        return self.value


class OneImage:
    """A small registry in one script: one image, and whatever else a test adds."""

    def __init__(self) -> None:
        config = b'{"config": {}}'
        part = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config)}
        manifest = {
            "mediaType": _TYPES["oci"]["manifest"],
            "config": {**part, "digest": digest_of(config)},
            "layers": [],
        }
        self.body = json.dumps(manifest).encode()
        self.digest = digest_of(self.body)
        self.config = config
        self.tags = ["v1"]

    def answer(self, asked: Asked) -> Reply:
        """Answer what the distribution API asks."""
        if asked.path.endswith("/tags/list"):
            return told(200, {"tags": self.tags})
        if "/blobs/" in asked.path:
            return 200, {}, self.config
        known = asked.path.rpartition("/")[2] in {self.digest, *self.tags}
        if asked.verb == "PUT":
            return told(201)
        if not known:
            return refused(404, "MANIFEST_UNKNOWN")
        told_type = {"Content-Type": _TYPES["oci"]["manifest"]}
        return 200, {**told_type, "Docker-Content-Digest": self.digest}, self.body


def opened(server: Scripted, knowledge: Knowledge, path: str) -> Repository:
    """Return a repository of a scripted registry of some kind."""
    place = Place(server.host, path)
    return Repository(OciClient(place, knowledge.credentials, None), knowledge)


def last(findings: Sequence[Finding]) -> Finding:
    """Return the finding about what the registry will delete."""
    return findings[-1]
