"""The shop as real images in a real registry: v1 works, v2 has a bug, crash ends at once."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from client.recoveries import whoami
from domain.errors import RefusedError, ServerFailedError
from providers.local.applications import ApplicationRecord, application_record, changing
from providers.local.containers import Podman, podman_missing
from providers.local.layout import write_record, write_text
from providers.local.running import containers_folder
from sandbox.layout import Ports, SandboxLayout

SHOP = "checkout"
RELEASES: Mapping[str, tuple[str, str]] = {
    "v1": ("", ""),
    "v2": ("(customer, amount)", "(customer, total)"),
    "crash": ("import psycopg\n", "import psycopg\nimport payments_of_next_year\n"),
}
"""What each release changes in the shop's source, and to what."""

_ACCEPTED = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_REGISTRY = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: "{root}/registry"}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_BASE = """\
FROM scratch
COPY rootfs /
ENV PYTHONHOME=/python PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LD_LIBRARY_PATH={libraries}
"""
_SHOP = """\
FROM localhost/refloat-sandbox-python
LABEL io.refloat.schema=1 org.opencontainers.image.version={release}
COPY shop.py /app/shop.py
CMD ["/python/bin/python3", "/app/shop.py"]
"""
_UNUSED = shutil.ignore_patterns(
    "__pycache__", "test", "tests", "site-packages", "dist-packages", "idlelib", "lib2to3", "*.a",
    "ensurepip", "tkinter", "turtledemo", "config-*", "pydoc_data", "distutils", "unittest",
)  # fmt: skip


def images_missing() -> str:
    """Return why the shop cannot be run from images here, or nothing."""
    if missing := podman_missing():
        return missing
    if shutil.which("docker-registry") is None:
        return "there is no registry; install one with: apt-get install docker-registry"
    with tempfile.TemporaryDirectory() as folder:
        podman = Podman(Path(folder))
        works = podman.works()
        podman.leave()
    if works:
        return ""
    return "Podman cannot run images for this account; see `podman unshare true` (package uidmap)"


def registry_command(layout: SandboxLayout, ports: Ports) -> list[str]:
    """Return how the registry is started, its settings written."""
    settings = layout.root / "registry.yml"
    write_text(settings, _REGISTRY.format(root=layout.root, port=ports.registry))
    return ["docker-registry", "serve", str(settings)]


def repository(ports: Ports) -> str:
    """Return where the shop's images are."""
    return f"127.0.0.1:{ports.registry}/shop/{SHOP}"


def build(layout: SandboxLayout, ports: Ports) -> None:
    """Build and push every release, unless the registry has them.

    Raises:
        ServerFailedError: Podman did not do it, in its own words.
    """
    if all(_digest(ports, release) for release in RELEASES):
        return
    podman = Podman(containers_folder(layout.root))
    with tempfile.TemporaryDirectory(dir=layout.root) as folder:
        context = Path(folder)
        libraries = _make_python(context / "rootfs")
        write_text(context / "Containerfile", _BASE.format(libraries=":".join(libraries)))
        _podman(podman, context, "build", "--quiet", "--tag=refloat-sandbox-python", ".")
        shutil.rmtree(context / "rootfs")
        source = Path(__file__).with_name("shop.py").read_text(encoding="utf-8")
        for release, (before, after) in RELEASES.items():
            write_text(context / "shop.py", source.replace(before, after) if before else source)
            write_text(context / "Containerfile", _SHOP.format(release=release))
            name = f"{repository(ports)}:{release}"
            _podman(podman, context, "build", "--quiet", f"--tag={name}", ".")
            _podman(podman, context, "push", "--quiet", "--tls-verify=false", name)


def _podman(podman: Podman, folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [shutil.which("podman") or "podman", *arguments],
        cwd=folder,
        env=podman.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ServerFailedError(f"podman {arguments[0]}: {done.stderr.strip() or 'failed'}")


def _make_python(root: Path) -> list[str]:
    """Copy this interpreter, its library and psycopg, with every shared library they need.

    Returns the folders of those: an interpreter may find them by a variable of this process.
    """
    library = Path(sysconfig.get_path("stdlib"))
    placed = root / "python" / "lib" / library.name
    shutil.copytree(library, placed, ignore=_UNUSED)
    (root / "python" / "bin").mkdir()
    shutil.copy2(Path(sys.executable).resolve(), root / "python" / "bin" / "python3")
    site = placed / "site-packages"
    site.mkdir()
    for name in ("psycopg", "psycopg_binary", "typing_extensions"):
        _copy_module(name, site)
    copied = root.resolve()
    outside = [one for one in _shared_libraries(root) if not Path(one).is_relative_to(copied)]
    for path in outside:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(os.path.realpath(path), target)
    return sorted({str(Path(path).parent) for path in outside})


def _copy_module(name: str, site: Path) -> None:
    found = find_spec(name)
    if found is None or found.origin is None:
        raise ServerFailedError(f"no module {name} to put into the shop's image")
    origin = Path(found.origin)
    if origin.name != "__init__.py":
        shutil.copy2(origin, site)
        return
    shutil.copytree(origin.parent, site / name, ignore=_UNUSED)
    beside = origin.parent.parent / f"{name}.libs"
    if beside.exists():
        shutil.copytree(beside, site / beside.name)


def _shared_libraries(root: Path) -> set[str]:
    """Return the shared libraries that the programs below `root` are linked to."""
    programs = [root / "python" / "bin" / "python3", *root.rglob("*.so*")]
    told = subprocess.run(
        [shutil.which("ldd") or "ldd", *map(str, programs)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = set(re.findall(r"(/\S+) \(0x", told))
    beside = {str(Path(one).with_name("libgcc_s.so.1")) for one in found if "libc.so" in one}
    return found | {one for one in beside if Path(one).exists()}  # loaded late, by name


def _digest(ports: Ports, release: str) -> str:
    """Return the digest of a release in the registry, or nothing."""
    url = f"http://127.0.0.1:{ports.registry}/v2/shop/{SHOP}/manifests/{release}"
    asked = urllib.request.Request(url, headers={"Accept": _ACCEPTED}, method="HEAD")
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310 - as above
            return str(answer.headers["Docker-Content-Digest"])
    except (OSError, urllib.error.URLError):
        return ""


def deploy(layout: SandboxLayout, ports: Ports, release: str) -> str:
    """Have the supervisor run a release, as a delivery pipeline would; return its digest.

    Raises:
        RefusedError: the sandbox has no images, or no such release.
    """
    if not ports.registry:
        why = (
            images_missing() or "`sandbox down --purge` and `sandbox up` make one that runs images"
        )
        raise RefusedError(f"the shop runs as a process here, so it has no releases: {why}")
    digest = _digest(ports, release)
    if not digest:
        raise RefusedError(f"no release {release!r} in the sandbox; there is {', '.join(RELEASES)}")
    image = f"{repository(ports)}@{digest}"
    with changing(layout.root, SHOP) as record:
        if record.image == image:
            return digest
        made = ApplicationRecord.model_validate(
            record.model_dump()
            | {
                "generation": record.generation + 1,
                "release": record.release + 1,
                "image": image,
                "written": f"{repository(ports)}:{release}",
                "cause": f"deploy {release}",
                "run": "",
                "changed_by": whoami(),
                "changed_at": datetime.now(UTC),
            }
        )
        write_record(application_record(layout.root, SHOP), made)
    return digest


def running_release(layout: SandboxLayout) -> str:
    """Return the image that the shop runs, for people."""
    path = application_record(layout.root, SHOP)
    return str(json.loads(path.read_text()).get("written", "")) if path.exists() else ""
