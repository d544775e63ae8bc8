"""What can go wrong between a person and a run; each carries the exit code it stands for."""

from domain.errors import CatalogError, RecoveryError, RefusedError, concrete_errors
from domain.report import RunReport

_REFUSALS = {
    error.__name__ for error in concrete_errors() if issubclass(error, RefusedError | CatalogError)
}


class ClientError(RecoveryError):
    """A sentence for the person at the terminal."""

    exit_code = 1


class TemporalUnreachableError(ClientError):
    """Temporal does not answer."""

    exit_code = 4


class NobodyPollsError(ClientError):
    """Temporal answers, but no worker takes the work."""

    exit_code = 4


class AlreadyRunningError(ClientError):
    """The resource is being recovered already."""

    exit_code = 2


class UnknownRunError(ClientError):
    """No run of that name."""

    exit_code = 2


class DeniedError(ClientError):
    """The run refused an approval."""

    exit_code = 2


class RunEndedError(ClientError):
    """A run ended otherwise than done; the report says all of it, where there is one."""

    def __init__(self, sentence: str, kind: str, report: RunReport | None = None) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.report = report
        self.exit_code = 2 if kind in _REFUSALS or kind == "RunRefused" else 1
