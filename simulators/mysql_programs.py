"""MariaDB's programs: where they are, under which account they run, and what they said on failure."""

import os
import secrets as randomness
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from domain.errors import AccessDeniedError, RecoveryError, ServerFailedError
from providers.local.binaries import reachable
from providers.local.config import Account

_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin"
_ENVIRONMENT = {"LC_ALL": "C", "PATH": _PATH}
ADMIN = "refloat_admin"


def program(name: str) -> str:
    """Return the path of a program.

    Raises:
        ServerFailedError: it is not installed.
    """
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise ServerFailedError(
            f"no {name} on this machine: simulated MySQL instances need the Debian packages "
            "mariadb-server and mariadb-backup; install them"
        )
    return found


def choose_account() -> Account:
    """Return the account of the servers: ours, or for root `mysql` or `nobody`."""
    try:
        return Account.choose("mysql")
    except AccessDeniedError:
        return Account.choose("nobody")


class Programs:
    """Runs MariaDB's programs under one account, with one administrator's login for all servers."""

    def __init__(self, root: Path) -> None:
        self.account = choose_account()
        self.login = root / "admin.cnf"
        self._root = root

    def prepare(self) -> None:
        """Make the login of the administrator, and see that the account reaches the root folder.

        Raises:
            AccessDeniedError: a folder above is closed to the account.
        """
        account = self.account
        if account.uid is not None and not reachable(self._root, account.uid):
            raise AccessDeniedError(
                f"the account {account.name}, which runs the servers, cannot reach {self._root}; "
                "choose a root all of whose folders others may pass through (chmod o+x)"
            )
        if not self.login.exists():
            self._write(f"[client]\nuser={ADMIN}\npassword={randomness.token_hex(16)}\n")

    def _write(self, text: str) -> None:
        made = self.login.with_suffix(".part")
        made.unlink(missing_ok=True)
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as sink:
            sink.write(text)
        self.account.own(made)
        made.replace(self.login)

    @property
    def password(self) -> str:
        """The administrator's password, the same on every server."""
        return self.login.read_text().rpartition("password=")[2].strip()

    def run(self, command: Sequence[str], folder: Path, *, said: str = "") -> str:
        """Run a program to its end under the servers' account; return what it printed.

        Raises:
            ServerFailedError: with its last words.
        """
        done = subprocess.run(
            [program(command[0]), *command[1:]],
            input=said,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=_ENVIRONMENT,
            user=self.account.uid,
            group=self.account.gid,
            extra_groups=self.account.groups,
        )
        if done.returncode != 0:
            raise failed(command[0], done.stderr or done.stdout)
        return done.stdout

    def replay(self, log: Sequence[str], client: Sequence[str], folder: Path) -> None:
        """Feed a part of a log to a server.

        Raises:
            ServerFailedError: the log could not be read or applied.
        """
        # both see the disk as root does: the account need not be let in to the source's folder
        with (
            subprocess.Popen(
                [program(log[0]), *log[1:]],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=_ENVIRONMENT,
            ) as reading,
            subprocess.Popen(
                [program(client[0]), *client[1:]],
                stdin=reading.stdout,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=_ENVIRONMENT,
            ) as applying,
        ):
            assert reading.stdout is not None
            reading.stdout.close()  # so that the reader ends when the client does
            told = applying.communicate()[1]
            unread = reading.communicate()[1]
        if applying.returncode != 0:
            raise failed(client[0], told.decode(errors="replace"))
        if reading.returncode != 0:
            raise failed(log[0], unread.decode(errors="replace"))

    def copy(self, source: Path, target: Path) -> None:
        """Copy a folder with owners and holes, sharing blocks where the file system can."""
        # as root, when that is who we are: the account owns nothing of the folders above
        done = subprocess.run(
            [program("cp"), "-a", "--reflink=auto", str(source), str(target)],
            capture_output=True,
            text=True,
            check=False,
            env=_ENVIRONMENT,
        )
        if done.returncode != 0:
            raise failed("cp", done.stderr)


def failed(what: str, told: str) -> RecoveryError:
    """Return the error with what a program said last."""
    lines = [line.strip() for line in told.strip().splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "Aborting" not in line]
    return ServerFailedError(f"{what}: {(errors or lines or ['no word'])[-1]}")
