"""Signs a commit with an SSH key or with GnuPG; it asks nobody for a passphrase."""

import shutil
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path

from domain.configuration import Signing
from domain.errors import ConfigurationRefusedError, KeyUnavailableError
from providers.git.config import key_file
from providers.git.programs import surroundings

_LONG_ENOUGH = timedelta(seconds=30)
_SHOWN = 300


class Signer:
    """Signs as the catalog says."""

    def __init__(self, signing: Signing, base: Path) -> None:
        self._signing, self._base = signing, base

    def sign(self, data: bytes) -> bytes:
        """Return the armoured signature of `data`.

        Raises:
            ConfigurationRefusedError: the program that signs is missing.
            KeyUnavailableError: the key is not there, or wants a passphrase.
            SecretUnavailableError: the reference of the key leads nowhere.
        """
        if self._signing.format == "openpgp":
            return self._openpgp(data)
        return self._ssh(data)

    def _ssh(self, data: bytes) -> bytes:
        key = key_file(self._signing.key, self._base)
        with tempfile.TemporaryDirectory(prefix="refloat-signing-") as folder:
            unsigned = Path(folder) / "commit"
            unsigned.write_bytes(data)
            self._run("ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "git", str(unsigned))
            return unsigned.with_suffix(".sig").read_bytes()

    def _openpgp(self, data: bytes) -> bytes:
        return self._run(
            "gpg", "--batch", "--no-tty", "--pinentry-mode", "error", "--detach-sign", "--armor",
            "--local-user", self._signing.key, data=data,
        )  # fmt: skip

    def _run(self, program: str, *arguments: str, data: bytes = b"") -> bytes:
        if shutil.which(program) is None:
            raise ConfigurationRefusedError(
                f"commits of this configuration are signed, and there is no {program} where the "
                "worker runs; install it"
            )
        try:
            done = subprocess.run(
                [program, *arguments],
                input=data,
                capture_output=True,
                check=False,
                timeout=_LONG_ENOUGH.total_seconds(),
                env=surroundings(),
                start_new_session=True,  # no terminal to ask for a passphrase at
            )
        except subprocess.TimeoutExpired:
            raise KeyUnavailableError(
                f"signing key {self._signing.key}: {program} did not end, perhaps it waits for a "
                "passphrase; use a key without one"
            ) from None
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())[-_SHOWN:]
            raise KeyUnavailableError(
                f"signing key {self._signing.key}: {program} does not sign with it; check the key, "
                f"and use one without a passphrase ({said})"
            )
        return done.stdout
