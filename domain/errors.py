"""Errors of the recovery domain.

RecoveryError
├── TransientError                        Temporal retries
│   ├── ProviderUnavailableError
│   ├── ThrottledError
│   ├── BusyError
│   ├── UnknownProviderError
│   ├── WorkerStoppingError
│   └── NotYetError
└── PermanentError                        Temporal gives up, a person decides
    ├── RefusedError                      nothing was created; the sentence says what can work
    │   ├── RecoveryPointUnreachableError
    │   │   └── AlreadyThereError
    │   ├── PointRefusedError
    │   ├── PreflightRefusedError
    │   ├── ApprovalDeniedError
    │   ├── ConfirmationRequiredError
    │   ├── NothingToReleaseError
    │   └── UnsupportedResourceError
    ├── CatalogError
    ├── AccessDeniedError
    │   └── UntrustedServerError
    ├── CredentialsRefusedError
    ├── QuotaReachedError
    ├── CapacityMissingError
    ├── KeyUnavailableError
    ├── ResourceMissingError
    ├── NameTakenError
    ├── ConfigurationRefusedError
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
    ├── ImageMissingError
    ├── RolloutFailedError
    ├── ConflictError
    └── StoppedError
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta


class RecoveryError(Exception):
    """Anything that Refloat knows how to name."""


class TransientError(RecoveryError):
    """May go away by itself: Temporal asks again, after `pace` where one is given."""

    pace: timedelta | None = None


class ProviderUnavailableError(TransientError):
    """The outside system did not answer."""


class ThrottledError(TransientError):
    """The provider refuses, because the account made too many calls."""

    def __init__(self, sentence: str, pace: timedelta | None = None) -> None:
        """Keep how long the provider asked to wait, where it did."""
        super().__init__(sentence)
        self.pace = pace


class BusyError(TransientError):
    """The resource is in the middle of another operation of the provider: ask when that is over."""


class UnknownProviderError(TransientError):
    """The provider answered with an error that no table knows; its code is in the sentence."""


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


class AlreadyThereError(RecoveryPointUnreachableError):
    """What was asked for is what there is now."""


class PointRefusedError(RefusedError):
    """The provider itself refused the moment or the snapshot that was asked of it."""


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


class UntrustedServerError(AccessDeniedError):
    """The server does not prove who it is by a certificate that we were told to trust."""


class CredentialsRefusedError(PermanentError):
    """The provider does not accept the worker's credentials at all: wrong, expired or missing."""


class QuotaReachedError(PermanentError):
    """The account may not have more of it; a person asks the provider for more."""


class CapacityMissingError(PermanentError):
    """The provider has no room for this class in this place now."""


class KeyUnavailableError(PermanentError):
    """The encryption key is disabled, deleted or out of reach."""


class ResourceMissingError(PermanentError):
    """The provider knows no such thing."""


class NameTakenError(PermanentError):
    """A thing of the name exists already: made by an earlier try of ours, or by somebody else."""


class ConfigurationRefusedError(PermanentError):
    """The provider refuses a setting or a combination of settings."""


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


class ImageMissingError(PermanentError):
    """The registry has no such image, or not all of its parts."""


class RolloutFailedError(PermanentError):
    """What was applied does not come up; why, with its own last words, is in the sentence."""


class ConflictError(PermanentError):
    """Somebody else changed it, or owns it, since it was looked at; nothing was overwritten."""


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
