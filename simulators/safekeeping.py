"""Seals one server's log in its archive, and takes base backups so that a restore replays little."""

from datetime import datetime

from domain.recovery import Progress
from providers.local.backup import BackupTaker
from providers.local.receiver import Following, Sealer

_AT_ONCE = 8  # segments; then it is another server's turn
_LITTLE = 256 << 20  # bytes of log that are replayed in a few seconds


def tell_nobody(_progress: Progress) -> None:
    """Take progress and tell nobody."""


class _Sealing(Sealer):
    """Seals when told to, in no thread of its own."""

    def seal(self) -> None:
        """Seal a few finished segments."""
        for _ in range(_AT_ONCE):
            if not self._seal_one():
                return


class Safekeeping:
    """The archive's side of one followed server."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._sealing = _Sealing(following)

    def seal(self) -> None:
        """Seal a few finished segments of the log.

        Raises:
            RecoveryError: they cannot be read, or not yet.
        """
        self._sealing.seal()

    @property
    def outgrown(self) -> bool:
        """Whether the sealed log since the newest base backup is long, and longer than that is.

        So all base backups together never take more than the log does.
        """
        archive = self._following.archive
        sealed, backups = archive.log.sealed_numbers(), archive.backups.all()
        if not sealed or not backups:
            return False
        newest, segments = backups[-1], archive.segments
        grown = (sealed[-1] - segments.number(newest.start_lsn)) * segments.size
        return grown > max(_LITTLE, newest.plain_bytes)

    def back_up(self) -> datetime:
        """Take one more base backup; return when it was complete.

        Raises:
            RecoveryError: the server went away meanwhile, or another one is being taken.
        """
        of = self._following
        taker = BackupTaker(
            server=of.server,
            archive=of.archive,
            connection=of.resource.connection,
            secrets=of.secrets,
            master=of.master,
        )
        number = len(of.archive.backups.all())
        return taker.take(f"base-{number}", tell_nobody).completed_at
