"""One server of a simulated cloud that runs: kept alive, its log received."""

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from domain.errors import NotYetError, ProviderUnavailableError, RecoveryError, ServerFailedError
from domain.resources import ProtectedResource
from providers.local.archive import Archive
from providers.local.binaries import locate
from providers.local.keeper import ServerKeeper, postmaster_of
from providers.local.receiver import Following, Receiver
from providers.local.records import Desired, ServerRecord
from providers.local.server_log import recent_log
from providers.local.servers import Servers, port_in_use
from providers.secrets.references import Secrets
from simulators.clusters import new_port
from simulators.reach import Reach
from simulators.safekeeping import Safekeeping

_PACE = 0.05
_STARTS = 60.0  # seconds that a server may take to answer
_LEAVES = 5.0  # seconds that a receiver may take to connect before its server is stopped
_ARRIVES = 60.0  # seconds that the log may take to arrive, with a hundred restores beside


class Live:
    """Keeps one server as its record says, and its archive up with it.

    Calls come one at a time, but for those to `safe`; the lock of the unit sees to it.
    """

    def __init__(
        self, servers: Servers, record: ServerRecord, resource: ProtectedResource, secrets: Secrets
    ) -> None:
        self.record, self.archive = record, Archive(servers.layout, record.name)
        self.reach = Reach(self.archive, resource, secrets)
        self._servers, self._resource, self._secrets = servers, resource, secrets
        self._keeper = ServerKeeper(servers, record.name)
        self._follow()

    def _follow(self) -> None:
        following = Following(
            server=self.record,
            resource=self._resource,
            archive=self.archive,
            binaries=locate(self._servers.layout.config, self.record.major),
            secrets=self._secrets,
        )
        self._receiver, self.safe = Receiver(following), Safekeeping(following)

    @property
    def runs(self) -> bool:
        """Whether the server's process is there."""
        data = self._servers.data(self.record.name)
        return (self._keeper.daemon.pid or postmaster_of(data)) is not None

    def write(self, **changes: object) -> None:
        """Change the server's record."""
        self.record = self._servers.write(self.record.model_copy(update=changes))

    def tick(self) -> None:
        """Bring the server and the receiver of its log a step nearer to what they should be."""
        self._keep()
        if self.record.desired is Desired.RUNNING and self.record.receiving and self.runs:
            self._receiver.tick()

    def begin(self) -> None:
        """Start the server, on another port when somebody took its own meanwhile."""
        self.write(desired=Desired.RUNNING)
        if not self.runs and port_in_use(self.record.port):
            self.write(port=new_port())
        self._follow()
        self._keep()

    def await_service(self) -> None:
        """Return when the server lets us in and its log is received.

        Raises:
            ServerFailedError: it does not in time; with the end of its log.
        """
        self._await("its first answer", self._answers, _STARTS, tick=self._keep)
        self._await("its log to be received", lambda: self.reach.measure(self.record))

    def _keep(self) -> None:
        """Keep the server alone: a receiver that cannot log in yet would pause for a second."""
        self._keeper.tick(self.record)

    def _answers(self) -> bool:
        try:
            self.reach.ask(self.record, "select 1")
        except RecoveryError:
            return False
        return True

    def _await(
        self,
        what: str,
        true: Callable[[], object],
        within: float = _ARRIVES,
        tick: Callable[[], None] | None = None,
    ) -> None:
        deadline = time.monotonic() + within
        while True:
            (tick or self.tick)()
            if true():
                return
            if time.monotonic() > deadline:
                log = recent_log(self._servers.layout.server(self.record.name), 2000)
                raise ServerFailedError(f"waited {within:.0f} s for {what}; its log ends\n{log}")
            time.sleep(_PACE)

    def recover(self, poll: Callable[[], object]) -> None:
        """Keep the server until `poll` finds it restored, then bring it into service."""
        while True:
            self.tick()
            try:
                poll()
            except (NotYetError, ProviderUnavailableError):
                time.sleep(_PACE)
            else:
                break
        self.write(aim=None, receiving=True, generation=self.record.generation + 1)
        self._follow()
        self.await_service()

    def protect(self) -> datetime:
        """Follow the log into the archive and take the base backup; return when its window opens."""
        opens = self.safe.back_up()
        self._await("the log of its base backup to arrive", self.archive.stretches)
        return opens

    def catch_up(self, moment: datetime) -> None:
        """Wait for the archive to hold every commit up to a moment; give up after a while."""
        with contextlib.suppress(ServerFailedError):
            self._await("the log to arrive", lambda: self.reach.holds(self.record, moment))
        self.reach.note()

    def mark(self, name: str) -> datetime:
        """Write a named point into the log; return its moment once the archive holds it.

        A server that was stopped runs for as long as this takes.

        Raises:
            RecoveryError: the server does not answer, or its log does not arrive.
        """
        if self.record.desired is Desired.STOPPED:
            self.begin()
            self.await_service()
            moment = self.mark(name)
            self.stop()
            return moment
        moment, lsn = self.reach.mark(self.record, name)
        self._await("the log to arrive", lambda: self.reach.has(self.record, lsn))
        return moment

    def stop(self) -> None:
        """Stop the server until somebody begins it again."""
        self.end()
        self.write(desired=Desired.STOPPED)

    def end(self) -> None:
        """Stop the server, then its receiver, which has all of the log by then.

        The record stays as it is, so that the next process begins the server again.
        """
        received = False
        if self.runs and self.record.desired is Desired.RUNNING:
            with contextlib.suppress(ServerFailedError):  # it was begun a moment ago, or is broken
                self._await("its log", lambda: self.reach.measure(self.record), _LEAVES)
                received = True
        self.reach.let_go()
        self._keeper.tick(self.record.model_copy(update={"desired": Desired.STOPPED}))
        if received:  # a server that stops first sends all that it has
            self.reach.note(complete_to=datetime.now(UTC))
        self._receiver.stop()
