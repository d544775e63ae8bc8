"""The simulated clouds as the contract sees them: the real SDK in front, one table of differences."""

import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from domain.errors import BusyError, NotYetError, ProviderUnavailableError, ThrottledError
from domain.parsing import parse_catalog
from domain.recovery import RecoveryPoint, RestoredResource, RestoreHandle, Target
from domain.resources import Mode, ProtectedResource
from providers import registry
from providers.managed.account import Account
from providers.managed.model import Instance
from providers.managed.recovery import ManagedRecovery
from providers.secrets.references import Secrets
from simulators.__main__ import CLOUDS
from simulators.estate import Estate, Seed
from simulators.ground import make_estate
from simulators.reached import PROJECT, reached_at
from simulators.wire import ControlPlane, Wire
from tests.station import Notes, free_ports, no_progress

PATH = "shop/production/orders"
PASSWORD = "marker-of-the-contract"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Cloud:
    """What differs between the simulated clouds."""

    kind: str
    entry: Mapping[str, object]
    restore_call: str
    clone_call: str
    terminal: tuple[str, ...]
    """States from which a copy never becomes ready by itself, as its provider calls them."""
    disable_key: Callable[[Any], None]
    quota: tuple[int, str]
    """Status and code by which the provider refuses one instance too many."""
    denied: tuple[int, str]
    """Status and code by which the provider refuses who may not do it."""
    point_in_time: bool = True
    without_log: Mapping[str, object] | None = None
    """Seed settings of an instance that keeps no log, where the provider has such a thing."""
    revives_to_a_time: bool = True
    """Whether a deleted instance can be had as of any time, or only as it was last."""


class Stand:
    """One simulated account with the provider over it, the clock in the test's hand."""

    def __init__(self, cloud: Cloud, estate: Estate, folder: Path, engine: str) -> None:
        self.cloud, self.estate, self.folder, self.engine = cloud, estate, folder, engine
        self.pause = 0.0
        """Real seconds between two askings: what real servers need beside simulated time."""
        module = importlib.import_module(f"simulators.{cloud.kind}.plane")
        self.plane = cast("ControlPlane", getattr(module, CLOUDS[cloud.kind])(estate))
        self.wire = Wire(self.plane)
        (folder / "password").write_text(PASSWORD)
        self.resource = self.named("orders")
        self.connect()

    def named(
        self, instance: str, applications: Mapping[str, object] | None = None, **more: object
    ) -> ProtectedResource:
        """Return the resource of an instance, which the catalog then holds alone."""
        database = {
            "provider": "cloud",
            "engine": self.engine,
            "instance": instance,
            "backups": {"retention": "7d"},
            "connection": {"database": "shop", "user": "refloat", "password": "file:password"},
            **more,
        }
        self.catalog = parse_catalog(
            {
                "organization": "tests",
                "providers": {
                    "cloud": {
                        "kind": self.cloud.kind,
                        "reports": str(self.folder),
                        "ca": str(self.estate.front.authority),
                        "calls_per_second": 2000,
                        **self.cloud.entry,
                    }
                },
                "projects": {
                    "shop": {
                        "environments": {
                            "production": {
                                "databases": {"orders": database},
                                "applications": dict(applications or {}),
                            }
                        }
                    }
                },
            },
            "test",
        )
        return self.catalog.resource(PATH)

    def connect(self) -> None:
        """Make the provider anew, as another worker would; it remembers nothing."""
        self.provider = registry.databases(
            "cloud",
            self.catalog.providers["cloud"],
            self.folder,
            Secrets(self.folder),
            self.estate.clock.scale,
        )
        self.account: Account = cast("ManagedRecovery", self.provider.recovery).account

    def seed(self, name: str = "orders", **settings: object) -> None:
        """Make an instance that has existed for long."""
        self.plane.seed(
            Seed(name=name, engine=self.engine, password=PASSWORD, settings=dict(settings))
        )

    def settle(self, act: Callable[[], Answer], step: timedelta = timedelta(seconds=30)) -> Answer:
        """Do what says "not yet" again and again while time passes, as Temporal would."""
        for _ in range(400):
            try:
                return act()
            except (NotYetError, BusyError, ThrottledError, ProviderUnavailableError):
                self.estate.clock.move(step)
                time.sleep(self.pause)
        return act()

    def point(self, **target: Any) -> RecoveryPoint:
        """Return the point of a target."""
        return self.provider.points.resolve(self.resource, Target(**target))

    def begin(self, point: RecoveryPoint, run_id: str, mode: Mode = Mode.INCIDENT) -> RestoreHandle:
        """Start a restore once."""
        handle = self.provider.recovery.start_restore(
            self.resource, point, run_id=run_id, mode=mode
        )
        return handle.model_copy(update={"requested_at": point.resolved_at})

    def restore(
        self, point: RecoveryPoint, run_id: str, mode: Mode = Mode.INCIDENT
    ) -> RestoredResource:
        """Restore by the protocol's steps."""
        handle = self.settle(lambda: self.begin(point, run_id, mode))
        self.provider.recovery.transfer(self.resource, point, handle, no_progress)
        return self.poll(handle)

    def poll(self, handle: RestoreHandle) -> RestoredResource:
        """Poll a restore until it is there, or never will be."""
        return self.settle(lambda: self.provider.recovery.poll_restore(self.resource, handle))

    def carry_over(self, restored: RestoredResource, mode: Mode = Mode.INCIDENT) -> dict[str, str]:
        """Carry the settings over; return the outcome of each that differed."""
        memory = Notes()
        found = self.settle(
            lambda: self.provider.settings.carry_over(self.resource, restored, mode, memory)
        )
        return {one.name: one.outcome for one in found}

    def instances(self) -> dict[str, Instance]:
        """Return what the account holds now, by name."""
        return {one.name: one for one in self.account.instances.all()}

    def close(self) -> None:
        """End the control plane and what stands behind it."""
        self.wire.close()
        self.estate.close()


@contextmanager
def stand_of(
    cloud: Cloud, estate: Estate, folder: Path, engine: str = "postgresql"
) -> Iterator[Stand]:
    """Hold a stand, with the SDKs of this process led to it."""
    before = dict(os.environ)
    made = Stand(cloud, estate, folder, engine)
    os.environ.update(reached_at(made.wire.url))
    try:
        made.connect()
        yield made
    finally:
        made.close()
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def real_stand(kind: str, engine: str = "postgresql", scale: float = 1200.0) -> Iterator[Stand]:
    """Hold a simulated cloud with real servers behind it and one database, `orders`."""
    folder = Path(tempfile.mkdtemp(prefix="refloat-test-"))
    folder.chmod(0o755)
    first = free_ports(24)
    try:
        estate = make_estate(folder / "cloud", scale=scale, first_port=first, last_port=first + 23)
        with stand_of(CLOUD_TABLE[kind], estate, folder, engine) as made:
            os.environ["REFLOAT_TIME_SCALE"] = str(scale)
            made.pause = 0.05
            made.seed()
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _disable_aws_key(plane: Any) -> None:
    key = plane.raw("orders")["KmsKeyId"].rpartition("/")[2]
    plane.regions[plane.region].ask("kms", "DisableKey", KeyId=key)


def _disable_gcp_key(plane: Any) -> None:
    plane.disable_key()


def _disable_azure_key(plane: Any) -> None:
    plane.disable_key()


def _disable_scaleway_key(plane: Any) -> None:
    plane.account.key_enabled = False


AWS = Cloud(
    kind="aws",
    entry={"region": "eu-west-1", "account": "123456789012"},
    restore_call="RestoreDBInstanceFromDBSnapshot",
    clone_call="RestoreDBInstanceToPointInTime",
    terminal=(
        "failed",
        "incompatible-restore",
        "incompatible-network",
        "incompatible-parameters",
        "incompatible-option-group",
        "restore-error",
        "inaccessible-encryption-credentials",
        "insufficient-capacity",
        "storage-full",
        "stopped",
    ),
    disable_key=_disable_aws_key,
    quota=(400, "InstanceQuotaExceeded"),
    denied=(403, "AccessDenied"),
    without_log={"BackupRetentionPeriod": 0},
)
GCP = Cloud(
    kind="gcp",
    entry={"region": "europe-west9", "project": "sandbox"},
    restore_call="RestoreBackup",
    clone_call="Clone",
    terminal=("FAILED", "SUSPENDED"),
    disable_key=_disable_gcp_key,
    quota=(403, "quotaExceeded"),
    denied=(403, "forbidden"),
    without_log={"settings": {"backupConfiguration": {"pointInTimeRecoveryEnabled": False}}},
)
AZURE = Cloud(
    kind="azure",
    entry={
        "region": "francecentral",
        "subscription": "00000000-0000-0000-0000-000000000001",
        "resource_group": "sandbox",
    },
    restore_call="Servers_Create",
    clone_call="Servers_Create",
    terminal=("Disabled", "Inaccessible", "Stopped"),
    disable_key=_disable_azure_key,
    quota=(403, "QuotaExceeded"),
    denied=(403, "AuthorizationFailed"),
    revives_to_a_time=False,
)
SCALEWAY = Cloud(
    kind="scaleway",
    entry={"region": "fr-par", "project": PROJECT},
    restore_call="CreateInstanceFromSnapshot",
    clone_call="CreateInstanceFromSnapshot",
    terminal=("error", "locked", "disk_full"),
    disable_key=_disable_scaleway_key,
    quota=(403, "quotas_exceeded"),
    denied=(403, "permissions_denied"),
    point_in_time=False,
)
CLOUD_TABLE = {one.kind: one for one in (AWS, GCP, AZURE, SCALEWAY)}
