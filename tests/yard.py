"""An application of this machine for tests: real images in a real registry, run by Podman."""

import io
import json
import shutil
import signal
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from domain.catalog import Catalog
from domain.configuration import ProtectedConfiguration
from domain.parsing import parse_catalog
from domain.rollback import ProtectedApplication
from providers.health import require_healthy
from providers.local.applications import ApplicationRecord, application_record, changing
from providers.local.containers import podman_missing
from providers.local.layout import write_record
from providers.local.supervisor import Supervisor
from tests.providers.oci_ground import Served, digest_of, put_manifest, registry_server
from tests.station import free_ports, wait_for

PATH = "shop/production/checkout"
BUSYBOX = Path("/bin/busybox")
_OCI = "application/vnd.oci.image"
_SERVE_CONFIG = "trap 'exit 0' TERM; /busybox httpd -f -p 127.0.0.1:$PORT -h $CONFIG & wait"
_SERVE = "trap 'exit 0' TERM; /busybox httpd -f -p 127.0.0.1:$PORT -h /www & wait"

missing = podman_missing() or ("" if BUSYBOX.exists() else "busybox-static is not installed")
needs_podman = pytest.mark.skipif(bool(missing), reason=missing or "Podman is there")


def _tar(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as layer:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            layer.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def push_program(
    host: str,
    tag: str,
    *,
    files: Mapping[str, bytes],
    script: str = _SERVE,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Push an image that runs a script of busybox, and return its digest."""
    address = f"http://{host}/v2/shop/checkout"
    layers = [_tar({"busybox": BUSYBOX.read_bytes()}), _tar(files)]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": datetime.now(UTC).isoformat(),
            "config": {"Cmd": ["/busybox", "sh", "-c", script], "Labels": dict(labels or {})},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    ).encode()
    for content in (config, *layers):
        begun = requests.post(f"{address}/blobs/uploads/", timeout=10)
        requests.put(
            begun.headers["Location"],
            params={"digest": digest_of(content)},
            data=content,
            timeout=10,
        ).raise_for_status()

    def part(kind: str, content: bytes) -> dict[str, Any]:
        return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": part(f"{_OCI}.config.v1+json", config),
        "layers": [part(f"{_OCI}.layer.v1.tar", layer) for layer in layers],
    }
    return put_manifest(host, "shop/checkout", tag, manifest)


class Releases:
    """The releases of one application, in its registry and on the machine."""

    def __init__(self, root: Path, served: Served, port: int) -> None:
        self.root, self.registry, self.port = root, served, port
        self.digests: dict[str, str] = {}

    def push(self, tag: str, kind: str = "good", **labels: str) -> str:
        """Push a release that works, that is ill, that ends at once, or that serves its settings."""
        files = {"www/release": tag.encode()}
        if kind in {"good", "fragile"}:
            files["www/healthz"] = b"works"
        files["ill/release"] = tag.encode()
        scripts = {
            "crash": "echo password=hunter2 no payments; exit 3",
            "config": _SERVE_CONFIG,
            "fragile": f'[ "$SPOILED" ] && W=/ill; {_SERVE.replace("/www", "${W:-/www}")}',
        }
        script = scripts.get(kind, _SERVE)
        named = {name.replace("_", "."): value for name, value in labels.items()}
        self.digests[tag] = push_program(
            self.registry.host, tag, files=files, script=script, labels=named
        )
        return self.digests[tag]

    def deploy(self, tag: str) -> str:
        """Have the supervisor run a release, as a pipeline would."""
        name = f"{self.registry.host}/shop/checkout"
        with changing(self.root, "checkout") as record:
            update = {
                "generation": record.generation + 1,
                "release": record.release + 1,
                "image": f"{name}@{self.digests[tag]}",
                "written": f"{name}:{tag}",
                "run": "",
                "changed_by": "pipeline",
                "changed_at": datetime.now(UTC),
            }
            path = application_record(self.root, "checkout")
            write_record(path, ApplicationRecord.model_validate(record.model_dump() | update))
        return self.digests[tag]

    def serve(self, tag: str) -> None:
        """Deploy a release and wait until it is seen to be healthy."""
        self.deploy(tag)
        wait_for(f"{tag} to be healthy", lambda: self.release() == tag, 20)
        wait_for("its health to be noted", lambda: self.noted(tag), 20)

    def noted(self, tag: str) -> bool:
        """Return whether the supervisor noted a release's health."""
        path = self.root / "applications" / "checkout" / "ran.json"
        ran = json.loads(path.read_text())["ran"] if path.exists() else []
        return any(one["healthy_at"] for one in ran if one["image"].endswith(self.digests[tag]))

    def starts(self, tag: str) -> int:
        """Return how many times a release became what should run."""
        path = self.root / "applications" / "checkout" / "ran.json"
        ran = json.loads(path.read_text())["ran"] if path.exists() else []
        return sum(one["image"].endswith(self.digests[tag]) for one in ran)

    def release(self) -> str:
        """Return which release answers, or nothing."""
        try:
            answer = requests.get(f"http://127.0.0.1:{self.port}/release", timeout=2)
        except requests.RequestException:
            return ""
        return answer.text if answer.ok else ""

    def healthy(self) -> str:
        """Return what the health address says."""
        return require_healthy("checkout", f"http://127.0.0.1:{self.port}/healthz")

    def spoil(self) -> None:
        """Let a fragile release be ill at its next start."""
        with (self.root / "checkout.env").open("a") as settings:
            settings.write("SPOILED=yes\n")


class Yard(Releases):
    """One application with its registry and the supervisor that runs it."""

    def __init__(self, root: Path, served: Served, **more: Any) -> None:
        super().__init__(root, served, free_ports(1))
        (root / "checkout.env").write_text(f"PORT={self.port}\nCONFIG={root / 'config'}\n")
        (root / "config").mkdir()
        application = {
            "platform": {
                "kind": "local", "settings": "checkout.env", "container": True,
                "mounts": ["config"],
            },
            "image": f"{served.host}/shop/checkout",
            "health": {"url": f"http://127.0.0.1:{self.port}/healthz", "within": "6s"},
            **more.pop("application", {}),
        }  # fmt: skip
        self.content: dict[str, Any] = {
            "organization": "tests",
            "providers": {"here": {"kind": "local", "root": str(root)}},
            "projects": {
                "shop": {
                    "environments": {
                        "production": {"applications": {"checkout": application}, **more}
                    }
                }
            },
        }
        (root / "refloat.yaml").write_text(json.dumps(self.content))
        self.catalog: Catalog = parse_catalog(self.content, "test")
        self.supervisor = Supervisor(self.catalog, root, "here")
        self._thread = threading.Thread(target=self.supervisor.run, daemon=True)
        self._thread.start()

    @property
    def configuration(self) -> ProtectedConfiguration:
        """The configuration as the catalog declares it."""
        return next(self.catalog.configurations())

    @property
    def application(self) -> ProtectedApplication:
        """The application as the catalog declares it."""
        return next(self.catalog.applications())

    def stop(self) -> None:
        """Stop the supervisor and what it keeps."""
        self.supervisor.ask_to_stop(signal.SIGINT)
        self._thread.join(timeout=60)


@contextmanager
def yard(**more: Any) -> Iterator[Yard]:
    """Hold a yard and remove it, containers and all, when the block ends."""
    root = Path(tempfile.mkdtemp(prefix="refloat-yard-"))
    with ExitStack() as held:
        held.callback(shutil.rmtree, root)
        made = Yard(root, held.enter_context(registry_server(root / "registry")), **more)
        held.callback(made.stop)
        yield made
