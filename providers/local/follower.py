"""Everything that follows one server: the receiver of its log, the monitor and the sealer."""

import contextlib

from providers.local.monitor import Monitor
from providers.local.receiver import Following, Receiver, Sealer


class Follower:
    """One followed server: receiver, monitor and sealer together."""

    def __init__(self, following: Following) -> None:
        self.following = following
        self.receiver = Receiver(following)
        self.threads = (Monitor(following, self.receiver), Sealer(following))
        for thread in self.threads:
            thread.start()

    def tick(self, *, current: bool, fenced: bool) -> None:
        """Keep the receiver alive; `current` says whether this server is the one its path means."""
        of = self.following
        of.current, of.fenced = current, fenced
        self.receiver.tick()

    def close(self, *, receiver_too: bool) -> None:
        """End the threads, and the receiver when the server is to be left alone."""
        self.following.stop.set()
        for thread in self.threads:
            thread.join(timeout=10)
        if receiver_too:
            self.receiver.stop()
            with contextlib.suppress(FileNotFoundError):
                (
                    self.following.archive.log.spool
                    / f"pass-{self.following.resource.connection.user}"
                ).unlink()
