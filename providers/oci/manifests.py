"""What a registry keeps of an image, as the OCI and Docker formats write it."""

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from domain.rollback import BUILD_LABEL, COMMIT_LABEL, SCHEMA_LABEL

_OCI, _DOCKER = "application/vnd.oci.image", "application/vnd.docker"
INDEXES = (f"{_OCI}.index.v1+json", f"{_DOCKER}.distribution.manifest.list.v2+json")
MANIFESTS = (f"{_OCI}.manifest.v1+json", f"{_DOCKER}.distribution.manifest.v2+json")
_CONFIGS = (f"{_OCI}.config.v1+json", f"{_DOCKER}.container.image.v1+json")
ACCEPTED = ", ".join((*INDEXES, *MANIFESTS))
"""The media types that are read; a registry answers with the one that it keeps."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_CREATED = "org.opencontainers.image.created"
_SINCE_CONTAINERS = 2000  # reproducible builds write the year 1 or 1970
_COMMIT = re.compile(r"(?:(?:sha|git|commit)[-_.])?([0-9a-f]{7,40})")
_BUILD = re.compile(r"(?:(?:build|b)[-_.]?)?\d{1,12}")


@dataclass(frozen=True)
class Blob:
    """One part of an image: its configuration or a layer."""

    digest: str
    size: int
    media_type: str = ""

    @property
    def kept_here(self) -> bool:
        """Whether a registry has it: some layers of Windows may not be distributed."""
        return "foreign" not in self.media_type and "nondistributable" not in self.media_type


@dataclass(frozen=True)
class Child:
    """One image of an index, for one platform."""

    digest: str
    size: int
    system: str
    architecture: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """The platform as people write it."""
        return f"{self.system}/{self.architecture}"

    @property
    def runs(self) -> bool:
        """Whether it is an image: what BuildKit attests of one is listed beside it."""
        return self.system != "unknown" and "vnd.docker.reference.type" not in self.annotations


@dataclass(frozen=True)
class Manifest:
    """A manifest, or an index of several; `body` are the exact bytes that the digest is of."""

    digest: str
    media_type: str
    body: bytes = field(repr=False)
    config: Blob | None = None
    layers: tuple[Blob, ...] = ()
    children: tuple[Child, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether it is of a format that is read; Docker's first, for one, is not."""
        return self.media_type in {*INDEXES, *MANIFESTS}

    @property
    def is_image(self) -> bool:
        """Whether a container can be made of it: charts and signatures are kept alike."""
        if self.media_type in INDEXES:
            return any(child.runs for child in self.children)
        return self.config is not None and self.config.media_type in _CONFIGS

    @property
    def images(self) -> tuple[Child, ...]:
        """The images of an index, that for this machine's platform first."""
        own = ("linux", _ARCHITECTURES.get(platform.machine(), platform.machine()))
        ranked = sorted(
            (child for child in self.children if child.runs),
            key=lambda child: ((child.system, child.architecture) != own, child.system != own[0]),
        )
        first: dict[str, Child] = {}
        for child in ranked:
            first.setdefault(child.digest, child)
        return tuple(first.values())

    @property
    def parts(self) -> tuple[Blob, ...]:
        """Every blob that a registry must have, each once."""
        blobs = (*((self.config,) if self.config else ()), *self.layers)
        return tuple({blob.digest: blob for blob in blobs if blob.kept_here}.values())


@dataclass(frozen=True)
class Described:
    """What an image tells of itself."""

    is_image: bool = True
    commit: str = ""
    build: str = ""
    schema_version: str = ""
    created_at: datetime | None = None
    size_bytes: int = 0
    children: tuple[str, ...] = ()


def digest_of(body: bytes, like: str = "sha256:") -> str:
    """Return the digest of some bytes, by the algorithm of the digest `like`."""
    algorithm = "sha512" if like.startswith("sha512:") else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def parse_manifest(body: bytes, told_type: str, like: str = "sha256:") -> Manifest:
    """Return what some bytes say; what is no manifest has no parts and an unknown type."""
    content = _object(body)
    media_type = str(content.get("mediaType") or told_type.partition(";")[0].strip())
    config = _objects([content.get("config")])
    return Manifest(
        digest=digest_of(body, like),
        media_type=media_type,
        body=body,
        config=_blob(config[0]) if config else None,
        layers=tuple(_blob(one) for one in _objects(content.get("layers"))),
        children=tuple(_child(one) for one in _objects(content.get("manifests"))),
        annotations=_texts(content.get("annotations")),
    )


def described(manifest: Manifest, config: bytes, *above: Mapping[str, str]) -> Described:
    """Return what labels, else annotations tell; `above` are those of the index."""
    content = _object(config)
    inner = content.get("config")
    labels = _texts(inner.get("Labels")) if isinstance(inner, dict) else {}
    told: dict[str, str] = {}
    for source in (*reversed(above), manifest.annotations, labels):
        told |= {name: value for name, value in source.items() if value}
    created = _moment(content.get("created")) or _moment(told.get(_CREATED))
    return Described(
        commit=told.get(COMMIT_LABEL, ""),
        build=told.get(BUILD_LABEL, ""),
        schema_version=told.get(SCHEMA_LABEL, ""),
        created_at=created,
        size_bytes=sum(part.size for part in manifest.parts),
    )


def commit_in(tags: Sequence[str]) -> str:
    """Return the commit that a tag names, the longest; digits alone are a build's number."""
    named = [found[1] for tag in tags if (found := _COMMIT.fullmatch(tag))]
    return max((one for one in named if not _BUILD.fullmatch(one)), key=len, default="")


def build_in(tags: Sequence[str]) -> str:
    """Return the build that a tag names."""
    return next((tag for tag in tags if _BUILD.fullmatch(tag)), "")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: object) -> Mapping[str, str]:
    """Return the texts of an object; a label may be anything, and null where there are none."""
    found = value.items() if isinstance(value, dict) else ()
    return {str(name): one for name, one in found if isinstance(one, str)}


def _blob(content: Mapping[str, Any]) -> Blob:
    size = content.get("size")
    return Blob(
        digest=str(content.get("digest", "")),
        size=size if isinstance(size, int) else 0,
        media_type=str(content.get("mediaType", "")),
    )


def _child(content: Mapping[str, Any]) -> Child:
    found, blob = content.get("platform"), _blob(content)
    told = _texts(found)
    return Child(
        digest=blob.digest,
        size=blob.size,
        system=told.get("os", "linux"),
        architecture=told.get("architecture", ""),
        annotations=_texts(content.get("annotations")),
    )


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment if moment.year >= _SINCE_CONTAINERS else None
