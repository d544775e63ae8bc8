"""Errors of the recovery domain.

RecoveryError
├── TransientError                        Temporal retries
│   ├── ProviderUnavailableError
│   ├── WorkerStoppingError
│   └── NotYetError
└── PermanentError                        Temporal gives up, a person decides
    ├── RefusedError                      nothing was created; the sentence says what can work
    │   ├── RecoveryPointUnreachableError
    │   ├── PreflightRefusedError
    │   ├── ApprovalDeniedError
    │   ├── ConfirmationRequiredError
    │   ├── NothingToReleaseError
    │   └── UnsupportedResourceError
    ├── CatalogError
    ├── AccessDeniedError
    ├── SecretUnavailableError
    ├── NotOursError
    ├── BackupDamagedError
    ├── WalMissingError
    ├── WalDamagedError
    ├── ArchiverStalledError
    ├── DiskFullError
    ├── PortTakenError
    ├── VersionMismatchError
    ├── PointNotReachedError
    ├── ServerFailedError
    ├── VerificationFailedError
    ├── ConsumerUnhealthyError
    └── StoppedError
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta


class RecoveryError(Exception):
    """Anything that Refloat knows how to name."""


class TransientError(RecoveryError):
    """May go away by itself: Temporal asks again."""


class ProviderUnavailableError(TransientError):
    """The outside system did not answer."""


class WorkerStoppingError(TransientError):
    """The worker is shutting down, or lost the step to another: somebody else goes on with it."""


class NotYetError(TransientError):
    """What is waited for has not happened; ask again after `pace`."""

    def __init__(self, what: str, pace: timedelta = timedelta(seconds=1)) -> None:
        """Name what is awaited and how long to leave before asking again."""
        super().__init__(f"not yet: {what}")
        self.pace = pace


class PermanentError(RecoveryError):
    """Asking again gives the same answer: a person decides."""


class RefusedError(PermanentError):
    """Said no before anything was created."""


class RecoveryPointUnreachableError(RefusedError):
    """No kept backup and log reach the point that was asked for."""

    def __init__(self, path: str, reason: str, offers: Sequence[str] = ()) -> None:
        """Build the sentence from the reason and the nearest points that exist."""
        nearest = f" Instead: {'; '.join(offers)}." if offers else ""
        super().__init__(f"{path}: {reason}.{nearest}")
        self.offers = tuple(offers)


class PreflightRefusedError(RefusedError):
    """Something that the restore needs is missing now."""


class ApprovalDeniedError(RefusedError):
    """The catalog asks for another person's approval."""


class ConfirmationRequiredError(RefusedError):
    """Nobody confirmed the plan."""


class NothingToReleaseError(RefusedError):
    """No superseded server waits for its release."""


class UnsupportedResourceError(RefusedError):
    """The provider cannot do this for this resource."""


class CatalogError(PermanentError):
    """The catalog, or a name looked up in it, is wrong."""


class AccessDeniedError(PermanentError):
    """The credentials do not allow it."""


class SecretUnavailableError(PermanentError):
    """A secret's reference leads nowhere."""


class NotOursError(PermanentError):
    """A thing of the wanted name exists and was not made by this run."""


class BackupDamagedError(PermanentError):
    """A stored backup or log file does not decrypt or match its manifest."""


class WalMissingError(PermanentError):
    """The archive lacks a log segment that the point needs."""


class WalDamagedError(PermanentError):
    """An archived log segment holds a record whose checksum is wrong."""


class ArchiverStalledError(PermanentError):
    """The archive no longer follows the server."""


class DiskFullError(PermanentError):
    """The file system has no room."""


class PortTakenError(PermanentError):
    """Another process listens where the new server should."""


class VersionMismatchError(PermanentError):
    """The programs found are of another major version than the data."""


class PointNotReachedError(PermanentError):
    """Recovery ended somewhere else than at the point that was asked for."""


class ServerFailedError(PermanentError):
    """The database server stopped; its own last words are quoted."""


class VerificationFailedError(PermanentError):
    """What was restored is not what was promised, so it is not cut over."""


class ConsumerUnhealthyError(PermanentError):
    """A consumer did not come back on the new server."""


class StoppedError(PermanentError):
    """Work inside an activity ended because the run was cancelled."""


def concrete_errors() -> Iterator[type[RecoveryError]]:
    """Yield every class below `RecoveryError`, depth first."""
    pending: list[type[RecoveryError]] = [RecoveryError]
    while pending:
        found = pending.pop()
        pending.extend(found.__subclasses__())
        if found is not RecoveryError:
            yield found
