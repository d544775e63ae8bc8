"""One repository of images: what it holds, which image a name means, and whether that is whole."""

import difflib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from domain.checks import Finding, Verdict
from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    CredentialsRefusedError,
    ImageMissingError,
    NameTakenError,
    PermanentError,
    QuotaReachedError,
    UnsupportedResourceError,
)
from domain.rollback import Image
from providers.oci.client import OciClient, in_parallel
from providers.oci.config import DIGEST, TAG
from providers.oci.examining import finding, parts_of
from providers.oci.knowledge import Knowledge, Listed, kept
from providers.oci.manifests import (
    INDEXES,
    Described,
    Manifest,
    build_in,
    commit_in,
    described,
)

MOST_TAGS = 400
"""Tags of one repository that are looked at; of more, those whose names sort last."""
KEPT = "refloat-kept-"
_ATTESTED = re.compile(r"sha256-[0-9a-f]{64}(?:\..+)?")  # what cosign and referrers keep as tags
_HEX = re.compile(r"[0-9a-f]+")
_SHORT_DIGEST, _SHORT_COMMIT = 12, 7
_OFFERED = 5
_PAGE = 100
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_MAY_NOT = (AccessDeniedError, CredentialsRefusedError)
_CANNOT = (
    *_MAY_NOT,
    ConfigurationRefusedError,
    NameTakenError,
    QuotaReachedError,
    UnsupportedResourceError,
)


class Repository:
    """Remembers by digest what images tell of themselves, which never changes."""

    def __init__(self, client: OciClient, knowledge: Knowledge) -> None:
        self._client, self._knowledge = client, knowledge
        self._written = str(client.place)
        self._described: dict[str, Described] = {}
        self._seen: dict[str, tuple[str, ...]] = {}

    def images(self, limit: int) -> Sequence[Image]:
        """Return the images that a container can be made of, the newest first."""
        listed = self._listed()
        if any(one.pushed_at for one in listed):  # what is no image, or part of one, is among them
            listed = listed[: max(3 * limit, _PAGE)]
        return sorted(self._images(listed), key=_age, reverse=True)[:limit]

    def find(self, reference: str) -> Image:
        """Return the one image of a digest, the beginning of one, a tag or a commit."""
        if DIGEST.fullmatch(reference):
            return self._by_digest(reference)
        digest = self._client.digest_of(reference) if TAG.fullmatch(reference) else ""
        if digest:
            found = self._images([Listed(digest, (reference,))])
            if found:
                return found[0]
            raise ImageMissingError(f"{self._written}:{reference} is no image of a container")
        return self._by_beginning(reference)

    def examine(self, digest: str) -> Sequence[Finding]:
        """Return whether the image is whole and stays."""
        try:
            seen = list(parts_of(self._client, digest))
            tags = self._tags_of(digest) if seen[0].verdict is Verdict.PASSED else None
        except PermanentError as error:
            seen, tags = [self._unread(digest, error)], None
        try:
            return [*seen, *self._knowledge.examine(self._client, digest, tags)]
        except PermanentError as error:
            advice = f"let the worker's user read the rules of {self._written}, or look there"
            return [*seen, kept(str(error), Verdict.UNPROVEN, advice)]

    def protect(self, digest: str) -> str:
        """Lock the image where the registry can, else give it a tag of its own."""
        with suppress(*_CANNOT):
            if locked := self._knowledge.protect(self._client, digest):
                return locked
        with suppress(*_CANNOT):
            return self._tag(digest)
        return ""

    def _unread(self, digest: str, error: PermanentError) -> Finding:
        may_not = isinstance(error, _MAY_NOT)
        wanted = f"let the worker's user pull from {self._written}" if may_not else "correct that"
        expected = f"{digest} in {self._written}"
        return finding("the image's manifest", expected, str(error), "", f"{wanted}; ask again")

    def _tag(self, digest: str) -> str:
        tag = kept_tag(digest)
        told = f"tagged {tag}, which keeps it from rules about untagged images"
        if self._client.digest_of(tag) == digest:
            return told
        manifest = self._client.manifest(digest)
        if manifest is None or manifest.digest != digest:
            raise ImageMissingError(f"{self._written}@{digest}: the registry has no such image")
        self._client.put(manifest, tag)
        return told

    def _listed(self) -> Sequence[Listed]:
        """Return what is listed, the newest first where it is known when each was pushed."""
        with suppress(*_MAY_NOT):  # who may pull need not be one who may ask the registry's own API
            if (told := self._knowledge.listed(self._client)) is not None:
                return sorted(told, key=lambda one: one.pushed_at or _LONG_AGO, reverse=True)
        tags = [tag for tag in self._client.tags() if not _ATTESTED.fullmatch(tag)]
        looked_at = sorted(tags, key=_natural, reverse=True)[:MOST_TAGS]
        named: dict[str, list[str]] = {}
        for tag, digest in zip(
            looked_at, in_parallel(self._client.digest_of, looked_at), strict=True
        ):
            if digest:
                named.setdefault(digest, []).append(tag)
        return [Listed(digest, tuple(sorted(names))) for digest, names in named.items()]

    def _images(self, listed: Sequence[Listed]) -> list[Image]:
        self._seen |= {one.digest: one.tags for one in listed}
        told = in_parallel(lambda one: self._description(one.digest), listed)
        inner = {digest for one in told if one is not None for digest in one.children}
        return [
            self._image(one, description)
            for one, description in zip(listed, told, strict=True)
            if description is not None
            and description.is_image
            and (one.tags or one.digest not in inner)
        ]

    def _image(self, listed: Listed, told: Described) -> Image:
        return Image(
            repository=self._written,
            digest=listed.digest,
            tags=listed.tags,
            commit=told.commit or commit_in(listed.tags),
            build=told.build or build_in(listed.tags),
            schema_version=told.schema_version,
            pushed_at=listed.pushed_at,
            created_at=told.created_at,
            size_bytes=told.size_bytes or listed.size_bytes,
        )

    def _description(self, digest: str) -> Described | None:
        """Return what an image tells of itself, or None where it is gone."""
        if digest not in self._described:
            manifest = self._client.manifest(digest)
            if manifest is None or manifest.digest != digest:
                return None
            self._described[digest] = self._read(manifest)
        return self._described[digest]

    def _read(self, manifest: Manifest) -> Described:
        above: list[Mapping[str, str]] = []
        inner: Manifest | None = manifest
        children = tuple(child.digest for child in manifest.children)
        if manifest.media_type in INDEXES and manifest.images:
            child = manifest.images[0]
            above = [child.annotations, manifest.annotations]
            inner = self._client.manifest(child.digest)
        if inner is None or not inner.is_image or inner.config is None:
            # an index whose child is gone is still an image that somebody may ask about
            return Described(is_image=manifest.is_image or not manifest.known, children=children)
        try:
            config = self._client.config(inner.config)
        except ImageMissingError:
            config = b""
        return replace(described(inner, config, *above), children=children)

    def _by_digest(self, digest: str) -> Image:
        told = self._description(digest)
        if told is None:
            raise self._missing(digest, self._offers())
        if not told.is_image:
            raise ImageMissingError(f"{self._written}@{digest} is no image of a container")
        tags = self._tags_of(digest)
        return self._image(Listed(digest, tuple(tags)), told)

    def _by_beginning(self, reference: str) -> Image:
        bare = reference.removeprefix("sha256:").lower()
        listed, found = self._listed(), list[Image]()
        if _HEX.fullmatch(bare) and len(bare) >= _SHORT_DIGEST:
            begun = f"sha256:{bare}"
            found = self._images([one for one in listed if one.digest.startswith(begun)])
        known = found or self._images(listed[:MOST_TAGS])
        if not found and _HEX.fullmatch(bare) and len(bare) >= _SHORT_COMMIT:
            found = [one for one in known if _same_commit(one.commit, bare)]
        if not found:
            raise self._missing(reference, _nearest(reference, known))
        if len(found) > 1:
            raise ImageMissingError(
                f"{self._written}: {reference} means {len(found)} images; name the digest: "
                f"{'; '.join(one.told for one in found[:_OFFERED])}"
            )
        return found[0]

    def _tags_of(self, digest: str) -> Sequence[str]:
        """Return tags that mean a digest now; only if those once seen do not, all are looked at."""
        likely = (*self._seen.get(digest, ()), kept_tag(digest))
        now = in_parallel(self._client.digest_of, likely)
        still = [tag for tag, meant in zip(likely, now, strict=True) if meant == digest]
        return still or next((one.tags for one in self._listed() if one.digest == digest), ())

    def _offers(self) -> Sequence[str]:
        return [one.told for one in self.images(_OFFERED)]

    def _missing(self, reference: str, offers: Sequence[str]) -> ImageMissingError:
        nearest = f" Instead: {'; '.join(offers)}." if offers else " The repository is empty."
        return ImageMissingError(
            f"{self._written}: no image has the digest, tag or commit {reference}.{nearest}"
        )


def kept_tag(digest: str) -> str:
    """Return the tag that keeps an image."""
    return f"{KEPT}{digest.partition(':')[2][:_SHORT_DIGEST]}"


def _nearest(reference: str, known: Sequence[Image]) -> list[str]:
    tags = [tag for one in known for tag in one.tags]
    like = difflib.get_close_matches(reference, tags, n=_OFFERED, cutoff=0.4)
    newest = [one.told for one in sorted(known, key=_age, reverse=True)]
    return like or newest[:_OFFERED]


def _same_commit(commit: str, asked: str) -> bool:
    if len(commit) < _SHORT_COMMIT:
        return False
    return commit.lower().startswith(asked) or asked.startswith(commit.lower())


def _age(image: Image) -> datetime:
    return image.pushed_at or image.created_at or _LONG_AGO


def _natural(tag: str) -> tuple[tuple[int, int, str], ...]:
    """Return what sorts v10 after v9."""
    return tuple(
        (int(one), 1, "") if one.isdigit() else (0, 0, one) for one in re.split(r"(\d+)", tag)
    )
