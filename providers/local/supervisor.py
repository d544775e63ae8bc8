"""The supervisor: keeps servers, log receivers, heartbeats, backups and local applications alive.

It is a process of its own, so that a dead worker takes nothing down. SIGTERM ends only itself and
leaves everything running, for the next supervisor to adopt; SIGINT stops what it keeps, then itself.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import yaml

from domain.catalog import Catalog
from domain.errors import CatalogError, NotYetError, RecoveryError
from domain.parsing import parse_catalog
from domain.resources import LocalPlatform, ProtectedResource
from providers.local.archive import Archive
from providers.local.backup import UNFINISHED, BackupTaker
from providers.local.binaries import locate
from providers.local.config import LocalConfig
from providers.local.follower import Follower
from providers.local.keeper import ServerKeeper
from providers.local.keys import backup_key
from providers.local.layout import GONE, Layout, held, read_record, remove_tree, write_record
from providers.local.processes import PidRecord, identity_of, is_running, sweep
from providers.local.reader import READING
from providers.local.receiver import Following
from providers.local.records import Desired, ServerRecord
from providers.local.retention import apply_retention, backup_due, forget_released
from providers.local.running import ApplicationKeeper, Kept
from providers.local.servers import Servers
from providers.secrets.references import Secrets

_TICK = 0.05
_RETENTION_EVERY = 60.0
_LOG = logging.getLogger("refloat.supervisor")


def supervisor_alive(root: Path) -> bool:
    """Return whether a supervisor keeps this root now."""
    return is_running(read_record(root / "supervisor.json", PidRecord))


class InstanceSupervisor:
    """Everything that is kept for one protected database."""

    def __init__(self, config: LocalConfig, resource: ProtectedResource, secrets: Secrets) -> None:
        self.resource, self.secrets, self.config = resource, secrets, config
        self.layout = Layout(config, resource.instance)
        self.servers = Servers(self.layout)
        self.keepers: dict[str, ServerKeeper] = {}
        self.followers: dict[str, Follower] = {}
        self._told = ""

    def tick(self) -> None:
        """Bring every server a step nearer to what its record asks for."""
        records = {record.name: record for record in self._records()}
        tenures = self.servers.tenures()
        current = tenures.server if tenures else None
        for name in [name for name in self.followers if not self._followed(records.get(name))]:
            self.followers.pop(name).close(receiver_too=True)
        for name, record in records.items():
            if record.managed:
                self.keepers.setdefault(name, ServerKeeper(self.servers, name)).tick(record)
            if self._followed(record):
                self._follow(record, current=name == current)
        for name in [name for name in self.keepers if name not in records]:
            del self.keepers[name]

    def _records(self) -> list[ServerRecord]:
        if self.resource.server is not None and self.servers.tenures() is None:
            self.servers.adopt(self.resource, self._major_of_own())
        return self.servers.all()

    def _major_of_own(self) -> int:
        from providers.local.sql import connect, one  # noqa: PLC0415

        assert self.resource.server is not None
        probe = ServerRecord(
            name=f"{self.resource.instance}-origin",
            instance=self.resource.instance,
            host=self.resource.server.host,
            port=self.resource.server.port,
            managed=False,
            major=0,
            made_at=datetime.now(UTC),
        )
        with connect(probe, self.resource.connection, self.secrets) as session:
            return int(
                str(one(session, "select current_setting('server_version_num')::int / 10000")[0])
            )

    def _followed(self, record: ServerRecord | None) -> bool:
        if record is None or not record.receiving or record.desired is not Desired.RUNNING:
            return False
        if not record.managed:
            return True
        status = self.servers.status(record.name)
        return status is not None and status.state == "running"

    def _follow(self, record: ServerRecord, *, current: bool) -> None:
        if record.name not in self.followers:
            following = Following(
                server=record,
                resource=self.resource,
                archive=Archive(self.layout, record.name),
                binaries=locate(self.config, record.major),
                secrets=self.secrets,
                current=current,
                fenced=record.fenced,
            )
            self.followers[record.name] = Follower(following)
        self.followers[record.name].tick(current=current, fenced=record.fenced)

    def safely(self) -> None:
        """Tick; a named error is told once and tried again, never the end of the supervisor."""
        try:
            self.tick()
        except (RecoveryError, OSError) as error:  # a folder may be removed while it is looked at
            if str(error) != self._told:
                _LOG.warning("%s: %s", self.resource.path, error)
            self._told = str(error)
        except Exception:  # noqa: BLE001 - one database must never take the others' keeper down
            _LOG.exception("keeping %s", self.resource.path)

    def keep_backups(self) -> None:
        """Take a base backup of the current server when one is due, and forget what may go."""
        current = self.servers.current()
        archive = Archive(self.layout, current.name)
        status = archive.status()
        if status is None or status.received_lsn is None:
            return
        broken = archive.record is not None and not any(
            stretch.reaches_end for stretch in archive.stretches()
        )
        if broken or backup_due(archive.backups.all(), self.resource.backups, datetime.now(UTC)):
            taker = BackupTaker(
                server=current,
                archive=archive,
                connection=self.resource.connection,
                secrets=self.secrets,
                master=backup_key(self.resource, self.secrets),
            )
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            taker.take(f"base-{stamp}", lambda _progress: None)

    def forget(self) -> None:
        """Apply the retention to every archive of the instance."""
        tenures, now = self.servers.tenures(), datetime.now(UTC)
        known = {tenure.server: tenure for tenure in (tenures.tenures if tenures else ())}
        for folder in (self.layout.stored / "archive").glob("[!.]*"):
            archive = Archive(self.layout, folder.name)
            tenure = known.get(folder.name)
            if tenure and forget_released(archive, tenure, self.resource.backups, now):
                _LOG.info("%s: retention removed the whole archive", folder.name)
                continue
            gone = apply_retention(archive, self.resource.backups, now)
            if gone:
                _LOG.info("%s: retention removed %d objects", folder.name, len(gone))

    def close(self, *, stop_servers: bool) -> None:
        """End the threads; with `stop_servers` also everything that runs for this instance."""
        for follower in self.followers.values():
            follower.close(receiver_too=stop_servers)
        if stop_servers:
            for record in self.servers.all():
                if record.managed and record.desired is not Desired.PREPARING:
                    keeper = self.keepers.setdefault(
                        record.name, ServerKeeper(self.servers, record.name)
                    )
                    keeper.tick(record.model_copy(update={"desired": Desired.STOPPED}))


class BackupClock(threading.Thread):
    """Takes due backups and applies retention, beside the main loop."""

    def __init__(self, instance: InstanceSupervisor, stop: threading.Event) -> None:
        super().__init__(daemon=True, name=f"backups-{instance.resource.instance}")
        self.instance, self.stop_asked = instance, stop
        self._told = ""

    def run(self) -> None:
        """Look once a second until told to stop."""
        last = time.monotonic()
        while not self.stop_asked.wait(0.5):
            try:
                self.instance.keep_backups()
                if time.monotonic() - last > _RETENTION_EVERY:
                    last = time.monotonic()
                    self.instance.forget()
                self._tell("")
            except NotYetError:
                continue  # a worker takes a base backup at this moment
            except (RecoveryError, OSError) as error:
                self._tell(str(error))
            except Exception as error:  # noqa: BLE001 - a thread that ended would end the backups without a word
                _LOG.exception("backups of %s", self.instance.resource.path)
                self._tell(str(error))

    def _tell(self, problem: str) -> None:
        for follower in list(self.instance.followers.values()):
            follower.following.backup_problem = problem
        if problem and problem != self._told:
            _LOG.warning("%s: %s", self.instance.resource.path, problem)
        self._told = problem
        if problem:
            self.stop_asked.wait(5.0)


class Supervisor:
    """Keeps one local provider of a catalog."""

    def __init__(self, catalog: Catalog, base: Path, provider: str) -> None:
        entry = catalog.providers.get(provider)
        if entry is None or entry.kind != "local":
            known = ", ".join(catalog.providers)
            raise CatalogError(f"no local provider {provider!r} in the catalog; there is {known}")
        self.config = LocalConfig.from_entry(provider, entry, base)
        self.stop = threading.Event()
        self.stop_servers = False
        secrets = Secrets(base)
        mine = [one for one in catalog.resources() if one.provider == provider]
        self.instances = [InstanceSupervisor(self.config, one, secrets) for one in mine]
        applications = {
            consumer.name: Kept(consumer.name, consumer.platform, consumer.health)
            for one in mine
            for consumer in one.consumers
            if isinstance(consumer.platform, LocalPlatform)
        } | {
            one.name: Kept(one.name, one.platform, one.health)
            for one in catalog.applications()
            if one.provider == provider and isinstance(one.platform, LocalPlatform)
        }
        self.applications = [
            ApplicationKeeper(self.config.root, base, one)
            for one in applications.values()
            if one.platform.kept
        ]

    def run(self) -> None:
        """Keep everything until told to stop."""
        self.config.root.mkdir(parents=True, exist_ok=True)
        with held(self.config.root / "supervisor.lock", f"the keeping of {self.config.root}"):
            self._keep()

    def _sweep(self) -> None:
        """Remove what a process that was killed left: half removed servers, plain copies of log."""
        for folder in self.config.root.glob(f"databases/*/servers/{GONE}*"):
            remove_tree(folder)
        for spool in self.config.archive.glob("databases/*/spool/*"):
            sweep(spool, READING)
        for backups in self.config.archive.glob("databases/*/archive/*/backups"):
            sweep(backups, UNFINISHED)

    def _keep(self) -> None:
        self._sweep()
        write_record(
            self.config.root / "supervisor.json",
            PidRecord(pid=os.getpid(), identity=identity_of(os.getpid()) or ""),
        )
        clocks = [BackupClock(instance, self.stop) for instance in self.instances]
        for clock in clocks:
            clock.start()
        while True:  # at least once, so that what an earlier one left is known when this one stops
            for instance in self.instances:
                instance.safely()
            for application in self.applications:
                application.safely()
            if self.stop.wait(_TICK):
                break
        self._leave_applications()
        for instance in self.instances:
            instance.close(stop_servers=self.stop_servers)
        for clock in clocks:
            clock.join(timeout=30)
        (self.config.root / "supervisor.json").unlink(missing_ok=True)

    def _leave_applications(self) -> None:
        for application in self.applications:
            if self.stop_servers:
                application.end()
            application.close()

    def ask_to_stop(self, how: int) -> None:
        """Take a signal: SIGINT stops what is kept too."""
        self.stop_servers = self.stop_servers or how == signal.SIGINT
        self.stop.set()


def _load(path: Path) -> Catalog:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise CatalogError(f"{path}: not YAML: {error}") from None
    return parse_catalog(content, str(path))


def main() -> None:
    """Run the supervisor of one provider until a signal comes."""
    parser = argparse.ArgumentParser(
        prog="refloat-supervisor",
        description="Keeps the servers, archives and backups of a local provider alive.",
    )
    parser.add_argument("--catalog", default=os.environ.get("REFLOAT_CATALOG", "refloat.yaml"))
    parser.add_argument("--provider", default="here", help="name of the provider in the catalog")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    path = Path(asked.catalog).resolve()
    try:
        supervisor = Supervisor(_load(path), path.parent, asked.provider)
        if supervisor_alive(supervisor.config.root):
            raise CatalogError(
                f"a supervisor keeps {supervisor.config.root} already; stop it first"
            )
    except RecoveryError as error:
        sys.exit(f"refloat-supervisor: {error}")
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda how, _frame: supervisor.ask_to_stop(how))
    os.umask(0o022)  # servers' accounts pass through our folders; secrets are written 0600 anyway
    try:
        supervisor.run()
    except RecoveryError as error:
        sys.exit(f"refloat-supervisor: {error}")


if __name__ == "__main__":
    main()
