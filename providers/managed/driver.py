"""What a cloud must do for the common parts: the contents of a driver, on one page.

Each call goes once to the provider, at the account's pace, and raises only errors of
`domain.errors`. Nothing here waits: what is not over raises `NotYetError` or `BusyError`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from domain.checks import Finding
from domain.errors import RecoveryError
from domain.recovery import RecoveryPoint
from domain.resources import Mode, ProtectedResource
from providers.managed.model import Encryption, Instance, KeptBackup, Moved, Order, Setting, Window


class Instances(Protocol):
    """Finds, makes, marks and deletes instances."""

    def find(self, name: str, id: str = "") -> Instance | None:  # noqa: A002 - the provider's word
        """Return the instance of exactly this name, or of this id where one is known."""
        ...

    def all(self) -> Sequence[Instance]:
        """Return every instance of the account in the region; it may lag behind `find`."""
        ...

    def restore(self, order: Order) -> Instance | None:
        """Begin a new instance; return it where the answer tells.

        Raises `NameTakenError` where something of the name exists.
        """
        ...

    def failure(self, name: str, id: str = "") -> RecoveryError | None:  # noqa: A002 - as above
        """Return why an instance was not made or is broken, where the provider tells."""
        ...

    def tag(self, instance: Instance, tags: Mapping[str, str]) -> None:
        """Set tags and keep the others; an empty value removes one."""
        ...

    def delete(self, instance: Instance, final_backup: str) -> None:
        """Begin the deletion, protection lifted first; with a last backup where a name is given.

        Raises `NotYetError` while protection is being lifted.
        """
        ...

    def drop_doubles(self, instance: Instance) -> None:
        """Delete what an answer that was lost made twice, where names are not unique."""
        ...


class Backups(Protocol):
    """Reads and takes backups."""

    def window(self, name: str, instance: Instance | None) -> Window | None:
        """Return the window of an instance, also of a deleted one; None where there is none."""
        ...

    def all(self, name: str, instance: Instance | None) -> Sequence[KeptBackup]:
        """Return every backup, newest first, those of a deleted instance included."""
        ...

    def take(self, instance: Instance, name: str) -> None:
        """Begin a backup called `name`; fine where it exists and is ours."""
        ...

    def copy(self, backup: KeptBackup, region: str) -> str:
        """Begin a copy in another region and return its name; the same one for a second call.

        Raises `UnsupportedResourceError` where the provider has no such thing.
        """
        ...

    def delete(self, backup: KeptBackup) -> None:
        """Delete a backup; fine where it is gone."""
        ...


class CarryOver(Protocol):
    """The settings that a restore may not carry."""

    @property
    def table(self) -> Sequence[Setting]:
        """Every setting that is compared, in the order of repair."""
        ...

    def left(self, name: str, source: Instance, copy: Instance) -> str:
        """Return why this difference is not repaired, where that depends on its direction."""
        del name, source, copy
        return ""

    def change(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> None:
        """Begin to change settings of an instance to the given values, as one change where it can.

        `like` is the source, with whatever else the change must know. A second call is fine.
        """
        ...


class Traffic(Protocol):
    """Moves what a path means from one instance to another by what the provider does best."""

    def move(self, resource: ProtectedResource, old: Instance | None, new: Instance) -> Moved:
        """Move the address, or raise `NotYetError` while that goes on; a second call goes on."""
        ...

    def move_back(self, resource: ProtectedResource, run_id: str) -> None:
        """Undo `move`, from wherever it got to."""
        ...

    def current(self, resource: ProtectedResource) -> Instance | None:
        """Return the instance that a path means now, or None where it is deleted."""
        ...


class Access(Protocol):
    """Asks the provider itself what would stand in the way."""

    def examine(
        self, resource: ProtectedResource, point: RecoveryPoint, source: Instance | None, mode: Mode
    ) -> Iterator[Finding]:
        """Yield findings on credentials, permissions, quota and key."""
        ...

    def encryption(self, instance: Instance) -> Encryption:
        """Return the encryption with owner and rotation of its key, as far as we may know."""
        ...
