"""References to secrets: `env:NAME` and `file:PATH`."""

import base64
import binascii
import os
from pathlib import Path

from domain.errors import SecretUnavailableError

AES_256_BYTES = 32


class Secrets:
    """Reads secrets by reference; relative paths count from the catalog's folder."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def read(self, reference: str) -> str:
        """Return the secret behind `reference`, without the line end of its file.

        Raises:
            SecretUnavailableError: naming the reference, never the value.
        """
        scheme, _, rest = reference.partition(":")
        if scheme == "env" and rest:
            if rest not in os.environ:
                raise SecretUnavailableError(
                    f"secret {reference}: the variable is not set where the worker runs; set it there"
                )
            return os.environ[rest]
        if scheme == "file" and rest:
            return self._from_file(reference, rest)
        raise SecretUnavailableError(
            "a secret in the catalog must be a reference; write env:NAME or file:PATH"
        )

    def key(self, reference: str) -> bytes:
        """Return the 32 bytes of the base64 key behind `reference`.

        Raises:
            SecretUnavailableError: the reference leads nowhere or not to 32 bytes.
        """
        try:
            key = base64.b64decode(self.read(reference), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != AES_256_BYTES:
            raise SecretUnavailableError(
                f"key {reference}: not the base64 of 32 bytes; make one with `openssl rand -base64 32`"
            )
        return key

    def _from_file(self, reference: str, path: str) -> str:
        try:
            return (self._base / Path(path).expanduser()).read_text(encoding="utf-8").rstrip("\n")
        except OSError as error:
            raise SecretUnavailableError(
                f"secret {reference}: {error.strerror} where the worker runs"
            ) from None
