"""The distribution API of one repository: each call with its credentials, paced and translated."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from domain.errors import AccessDeniedError, CredentialsRefusedError, ImageMissingError
from providers.managed.limiter import Gate
from providers.oci.config import DIGEST, TAG, Place
from providers.oci.credentials import Keyring
from providers.oci.errors import oci_errors, refusal_of
from providers.oci.manifests import ACCEPTED, Blob, Manifest, digest_of, parse_manifest
from providers.oci.tokens import Authenticator, challenge_in
from providers.oci.transport import AT_ONCE, Answer, Question, Transport

PULL, PUSH = "pull", "push"
_CALLS_PER_SECOND = 50.0
_GOOD = range(200, 300)
_OK, _UNAUTHORIZED, _MISSING, _NOT_SATISFIABLE = 200, 401, 404, 416
_MANIFEST_BYTES = 4 * 2**20  # as much as the specification lets a registry refuse
_CONFIG_BYTES = 8 * 2**20
_LIST_BYTES = 16 * 2**20
_MOST_PAGES = 200
_PAGE = 100  # more than some registries give in one page is refused
NEXT = re.compile(r"<([^>]+)>\s*;\s*rel=\"?next\"?")
_RANGE = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")

Given = TypeVar("Given")
Made = TypeVar("Made")


class OciClient:
    """One repository of a registry. Digests are checked against the bytes that came."""

    def __init__(self, place: Place, keyring: Keyring, ca: Path | None) -> None:
        self.place = place
        self._transport = Transport(ca)
        self._gate = Gate(_CALLS_PER_SECOND, 1.0, oci_errors)
        self._authenticator = Authenticator(keyring, self._sent)

    def tags(self) -> Sequence[str]:
        """Return every tag, in the registry's order.

        Raises `ImageMissingError` where there is no such repository.
        """
        found: list[str] = []
        doing, path = f"list the tags of {self.place}", f"/v2/{self.place.path}/tags/list?n={_PAGE}"
        for _ in range(_MOST_PAGES):
            answer = self.ask(Question("GET", path, most=_LIST_BYTES), doing)
            found += tags_in(answer.body)
            following = NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                break
            target = urlsplit(urljoin(path, following[1]))  # its host may be one of the inside
            path = f"{target.path}?{target.query}"
        return list(dict.fromkeys(found))

    def digest_of(self, reference: str) -> str:
        """Return the digest that a tag means now, or nothing where there is none."""
        doing = f"look {reference} up in {self.place}"
        path = f"/v2/{self.place.path}/manifests/{reference}"
        answer = self.ask(Question("HEAD", path, {"Accept": ACCEPTED}), doing, fine=(_MISSING,))
        if answer.status == _MISSING:
            return ""
        digest = answer.headers.get("Docker-Content-Digest", "")
        if DIGEST.fullmatch(digest):
            return digest
        manifest = self.manifest(reference)  # the header is the specification's only since 1.1
        return manifest.digest if manifest else ""

    def manifest(self, reference: str) -> Manifest | None:
        """Return the manifest of a tag or digest, or None where there is none.

        The digest in it is that of the bytes, which need not be the one that was asked for.
        """
        if not TAG.fullmatch(reference) and not DIGEST.fullmatch(reference):
            return None
        path = f"/v2/{self.place.path}/manifests/{reference}"
        question = Question("GET", path, {"Accept": ACCEPTED}, most=_MANIFEST_BYTES)
        answer = self.ask(question, f"read {reference} of {self.place}", fine=(_MISSING,))
        if answer.status == _MISSING:
            return None
        return parse_manifest(answer.body, answer.headers.get("Content-Type", ""), reference)

    def config(self, blob: Blob) -> bytes:
        """Return the configuration of an image.

        Raises `ImageMissingError` where it is gone or is not what its digest says.
        """
        doing = f"read the configuration {blob.digest} of {self.place}"
        path = f"/v2/{self.place.path}/blobs/{blob.digest}"
        if not DIGEST.fullmatch(blob.digest):
            raise ImageMissingError(f"{doing}: it is no digest")
        answer = self.ask(Question("GET", path, most=_CONFIG_BYTES), doing)
        if digest_of(answer.body, blob.digest) != blob.digest:
            raise ImageMissingError(f"{doing}: its bytes are not those of its digest")
        return answer.body

    def size_of(self, blob: Blob) -> int | None:
        """Return how many bytes the registry has of a blob, or None where it has none.

        One byte is read, because many registries answer HEAD from their memory of a blob whose
        bytes are gone, and some stores sign an address for GET alone.
        """
        if not DIGEST.fullmatch(blob.digest):
            return None
        path = f"/v2/{self.place.path}/blobs/{blob.digest}"
        question = Question("GET", path, {"Range": "bytes=0-0"}, most=1, cut=True)
        doing = f"look {blob.digest} up in {self.place}"
        answer = self.ask(question, doing, fine=(_MISSING, _NOT_SATISFIABLE))
        size = _size_told(answer, blob.size)
        if size and not answer.body:
            answer = self.ask(question, doing, fine=(_MISSING,))  # once may be the line's fault
            size = size if answer.body else None
        return size

    def put(self, manifest: Manifest, tag: str) -> None:
        """Give a manifest one more tag, its bytes unchanged."""
        question = Question(
            "PUT",
            f"/v2/{self.place.path}/manifests/{tag}",
            {"Content-Type": manifest.media_type},
            manifest.body,
        )
        self.ask(question, f"tag {manifest.digest} of {self.place} as {tag}", purpose=PUSH)

    def ask(
        self, question: Question, doing: str, *, purpose: str = PULL, fine: tuple[int, ...] = ()
    ) -> Answer:
        """Return the answer to a question whose address is a path below the host.

        Raises the domain's error for what is refused, unless its status is `fine`.
        """
        full = replace(question, url=f"{self.place.address}{question.url}")
        with self._gate.translating(doing):
            answer, told = self._answered(full, doing, purpose)
            if answer.status in fine or answer.status in _GOOD:
                return answer
            raise self._refusal(doing, answer, told)

    def _answered(self, question: Question, doing: str, purpose: str) -> tuple[Answer, str]:
        """Return the answer, and the challenge that was met before it."""
        header = self._authenticator.header(purpose)
        with self._gate.call(doing):
            answer = self._transport.send(question, header)
        told = answer.headers.get("WWW-Authenticate", "")
        if answer.status == _UNAUTHORIZED and told and not answer.elsewhere:
            header = self._authenticator.answer(purpose, question, told, header)
            if header is None:
                raise _nobody(doing)
            with self._gate.call(doing):
                answer = self._transport.send(question, header)
        return answer, told

    def _refusal(self, doing: str, answer: Answer, told: str) -> Exception:
        challenge = challenge_in(told)
        if answer.status == _UNAUTHORIZED and challenge and challenge.scheme == "basic":
            return CredentialsRefusedError(
                f"{doing}: the registry does not accept the user and the password; renew them"
            )
        return refusal_of(doing, answer.status, answer.headers, answer.body)

    def _sent(self, question: Question, authorization: str | None) -> Answer:
        with self._gate.call(f"ask for a token to {self.place}"):
            return self._transport.send(question, authorization)


def _size_told(answer: Answer, otherwise: int) -> int | None:
    if answer.status == _MISSING:
        return None
    ranged = _RANGE.match(answer.headers.get("Content-Range", ""))
    if ranged is not None:
        return int(ranged[1])
    length = answer.headers.get("Content-Length", "")
    return int(length) if answer.status == _OK and length.isdigit() else otherwise


def _nobody(doing: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"{doing}: the registry wants credentials, and there are none; name `user` and `password` "
        "of the registry in the catalog, or `docker login` where the worker runs"
    )


def tags_in(body: bytes) -> list[str]:
    """Return the tags of a list's page; a repository that lost its last has null."""
    try:
        content = json.loads(body)
    except ValueError:
        return []
    tags = content.get("tags") if isinstance(content, dict) else None
    return [tag for tag in tags or () if isinstance(tag, str) and TAG.fullmatch(tag)]


def in_parallel(work: Callable[[Given], Made], over: Iterable[Given]) -> list[Made]:
    """Return what `work` makes of each, in order; the first that fails ends those not begun."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        begun = [threads.submit(work, one) for one in over]
        try:
            return [one.result() for one in begun]
        finally:
            threads.shutdown(cancel_futures=True)
