"""Where the local provider keeps things, and under which account servers run."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from domain.entries import LocalProviderEntry
from domain.errors import AccessDeniedError


@dataclass(frozen=True)
class Account:
    """The unprivileged account of the servers; None as uid means: this process's own."""

    uid: int | None
    gid: int | None
    name: str
    groups: list[int] | None = None

    @classmethod
    def choose(cls, wanted: str | None) -> "Account":
        """Return the account for servers: ours, or for root `wanted`, `postgres` or `nobody`.

        Raises:
            AccessDeniedError: the account that the catalog names does not exist.
        """
        if os.geteuid() != 0:
            return cls(uid=None, gid=None, name=str(os.geteuid()))
        for name in (wanted,) if wanted else ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            # its own groups too: Debian's TLS key is readable by the group ssl-cert
            groups = os.getgrouplist(name, entry.pw_gid)
            return cls(uid=entry.pw_uid, gid=entry.pw_gid, name=name, groups=groups)
        raise AccessDeniedError(
            f"no account {wanted or 'postgres or nobody'!r} on this machine; PostgreSQL refuses to "
            "run as root, so name an existing account as run_as in the catalog"
        )

    def own(self, *paths: Path) -> None:
        """Give `paths` to the account, when that is not who we are."""
        if self.uid is not None and self.gid is not None:
            for path in paths:
                os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def withhold(self, *paths: Path) -> None:
        """Take `paths` back from the account, so that nothing in them is moved under our hands."""
        if self.uid is not None:
            for path in paths:
                os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)


@dataclass(frozen=True)
class LocalConfig:
    """One local provider, with absolute paths."""

    name: str
    root: Path
    archive: Path
    listen: str
    first_port: int
    last_port: int
    account: Account
    binaries: Path | None

    @classmethod
    def from_entry(cls, name: str, entry: LocalProviderEntry, base: Path) -> "LocalConfig":
        """Return the settings of one catalog entry; relative paths count from `base`."""
        root = (base / Path(entry.root).expanduser()).resolve()
        return cls(
            name=name,
            root=root,
            archive=(base / Path(entry.archive).expanduser()).resolve() if entry.archive else root,
            listen=entry.listen,
            first_port=entry.first_port,
            last_port=entry.last_port,
            account=Account.choose(entry.run_as),
            binaries=Path(entry.binaries) if entry.binaries else None,
        )
