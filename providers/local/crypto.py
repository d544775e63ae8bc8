"""Encryption at rest: AES-256-GCM in chunks, each authenticated, their order and end included.

Format: magic | chunk size (u32) | 16-byte salt | 7-byte nonce prefix | 8-byte key id, then chunks of
ciphertext with a 16-byte tag. The file key is HKDF-SHA256(master, salt); the nonce of chunk i is
prefix | i (u32) | last-flag (u8), as in the STREAM construction, so that a cut, a swap or an
appended byte is detected; the header is authenticated with chunk 0.
"""

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.errors import BackupDamagedError

MAGIC = b"RFLT\0\0\0\1"
CHUNK = 1 << 20
_TAG = 16
_HEADER = struct.Struct(">8sI16s7s8s")


@dataclass(frozen=True)
class Sealed:
    """What was written: bytes of plain text and of ciphertext, and the ciphertext's SHA-256."""

    plain_bytes: int
    stored_bytes: int
    sha256: str


class Sink(Protocol):
    """What takes bytes, all that it is given."""

    def write(self, content: bytes, /) -> int:
        """Write all of `content`."""


def key_id(master: bytes) -> str:
    """Return a short public name for a key, from which nothing of the key can be learnt."""
    derived = HKDF(hashes.SHA256(), 8, None, b"refloat-key-id").derive(master)
    return derived.hex()


def _file_key(master: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), 32, salt, b"refloat-backup-v1").derive(master))


def _even(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the bytes of `parts` in pieces of exactly `size`; the last may be shorter."""
    pending = bytearray()
    for part in parts:
        pending += part
        while len(pending) > size:
            yield bytes(pending[:size])
            del pending[:size]
    yield bytes(pending)


def seal(parts: Iterable[bytes], target: Sink, master: bytes) -> Sealed:
    """Write `parts` encrypted to `target` and return the sizes and the ciphertext's digest."""
    salt, prefix = os.urandom(16), os.urandom(7)
    header = _HEADER.pack(MAGIC, CHUNK, salt, prefix, bytes.fromhex(key_id(master)))
    cipher, digest = _file_key(master, salt), hashlib.sha256(header)
    target.write(header)
    stored, plain, held = len(header), 0, None
    index = 0
    for piece in _even(parts, CHUNK):
        if held is not None:
            stored += _write_chunk(target, digest, cipher, prefix, index, held, header, last=False)
            index += 1
        held = piece
        plain += len(piece)
    stored += _write_chunk(target, digest, cipher, prefix, index, held or b"", header, last=True)
    return Sealed(plain_bytes=plain, stored_bytes=stored, sha256=digest.hexdigest())


def _write_chunk(  # noqa: PLR0913, PLR0917 - the parts of one chunk of the format
    target: Sink,
    digest: "hashlib._Hash",
    cipher: AESGCM,
    prefix: bytes,
    index: int,
    piece: bytes,
    header: bytes,
    *,
    last: bool,
) -> int:
    nonce = prefix + struct.pack(">IB", index, last)
    sealed = cipher.encrypt(nonce, piece, header if index == 0 else None)
    digest.update(sealed)
    target.write(sealed)
    return len(sealed)


def unseal(source: BinaryIO, master: bytes, name: str) -> Iterator[bytes]:
    """Yield the plain chunks of `source`, each only after its tag was checked.

    Raises:
        BackupDamagedError: naming the file and the chunk, or the key that would be needed.
    """
    header = source.read(_HEADER.size)
    if len(header) != _HEADER.size or not header.startswith(MAGIC):
        raise BackupDamagedError(f"{name}: damaged: the header is not that of a sealed file")
    _, size, salt, prefix, wanted = _HEADER.unpack(header)
    if wanted.hex() != key_id(master):
        raise BackupDamagedError(
            f"{name}: sealed with key {wanted.hex()} but the catalog's key is {key_id(master)}; "
            "point the reference at the key that was in use then"
        )
    cipher, index = _file_key(master, salt), 0
    current = source.read(size + _TAG)
    while True:
        following = source.read(size + _TAG)
        nonce = prefix + struct.pack(">IB", index, not following)
        try:
            yield cipher.decrypt(nonce, current, header if index == 0 else None)
        except InvalidTag:
            raise BackupDamagedError(
                f"{name}: damaged in or at the end of chunk {index} (byte {index * size} on): the "
                "authentication tag is wrong; restore from another backup or copy"
            ) from None
        if not following:
            return
        current, index = following, index + 1
