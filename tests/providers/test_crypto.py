"""One flipped, lost, swapped or added byte of a sealed file is detected and named."""

import io
import os

import pytest

from domain.errors import BackupDamagedError
from providers.local.crypto import CHUNK, seal, unseal

KEY = os.urandom(32)
PLAIN = os.urandom(3 * CHUNK + 17)


def _sealed(plain: bytes = PLAIN) -> bytes:
    sink = io.BytesIO()
    seal([plain[:5], plain[5:]], sink, KEY)
    return sink.getvalue()


def _open(sealed: bytes, key: bytes = KEY) -> bytes:
    return b"".join(unseal(io.BytesIO(sealed), key, "base.tar"))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_what_is_sealed_comes_back(size: int) -> None:
    assert _open(_sealed(PLAIN[:size])) == PLAIN[:size]


def _flip(sealed: bytes, at: int) -> bytes:
    return sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]


def test_every_kind_of_damage_is_detected_and_names_the_file() -> None:
    sealed = _sealed()
    size = CHUNK + 16
    header = len(sealed) - 3 * size - 17 - 16
    swapped = (
        sealed[:header]
        + sealed[header + size : header + 2 * size]
        + sealed[header : header + size]
        + sealed[header + 2 * size :]
    )
    damaged = [
        _flip(sealed, 3),
        _flip(sealed, 20),
        _flip(sealed, header + 5),
        _flip(sealed, len(sealed) - 1),
        sealed[:-1],
        sealed[: header + size],
        sealed + b"x",
        swapped,
        b"",
    ]

    for bad in damaged:
        with pytest.raises(BackupDamagedError, match=r"base\.tar"):
            _open(bad)


def test_another_key_is_told_by_its_id_and_never_by_its_value() -> None:
    with pytest.raises(BackupDamagedError, match="sealed with key") as told:
        _open(_sealed(), os.urandom(32))

    assert KEY.hex() not in str(told.value)
