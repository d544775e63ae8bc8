"""One region of the account: moto's records together with the facade's own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from simulators.aws.calls import Fields
from simulators.aws.records import InstanceRecord, Limits, RetainedBackup, SnapshotRecord
from simulators.aws.refusals import instance_missing, snapshot_missing
from simulators.aws.store import Moto
from simulators.backends import Backends
from simulators.estate import Estate

_ARN = re.compile(r"arn:aws:rds:([^:]+):\d+:snapshot:(.+)")
_LOSING = frozenset({"DisableKey", "ScheduleKeyDeletion"})
RESTING = frozenset({"available", "storage-optimization"})


@dataclass
class Region:
    """What every action works on. Identifiers are in small letters, as RDS stores them."""

    name: str
    estate: Estate
    moto: Moto
    limits: Limits
    elsewhere: "Mapping[str, Region]"
    """Every region of the account by name, this one included."""
    instances: dict[str, InstanceRecord] = field(default_factory=dict)
    snapshots: dict[str, SnapshotRecord] = field(default_factory=dict)
    retained: dict[str, RetainedBackup] = field(default_factory=dict)
    forced: dict[str, str] = field(default_factory=dict)
    lasting: set[str] = field(default_factory=set)
    """Names whose endpoint keeps its port when the instance is gone, as DNS names do."""
    rotations: dict[str, int] = field(default_factory=dict)

    keys_doubtful: bool = False
    """Whether a key was ever taken away here, so that every instance's is looked at."""

    def call(self, operation: str, /, **asked: Any) -> Fields:  # noqa: ANN401 - the SDK's own types
        """Return moto's answer to a call of RDS."""
        return self.moto.call("rds", self.name, operation, **asked)

    def ask(self, service: str, operation: str, /, **asked: Any) -> Fields:  # noqa: ANN401 - as above
        """Return moto's answer to a call of another service."""
        self.keys_doubtful = self.keys_doubtful or operation in _LOSING
        return self.moto.call(service, self.name, operation, **asked)

    def arn(self, kind: str, identifier: str) -> str:
        """Return the name by which all of AWS knows a thing of RDS."""
        return f"arn:aws:rds:{self.name}:{self.moto.account}:{kind}:{identifier}"

    def instance(self, identifier: str) -> InstanceRecord:
        """Return the instance of an identifier or ARN.

        Raises:
            ApiError: there is none.
        """
        found = self.instances.get(identifier.rpartition(":")[2].lower())
        if found is None:
            raise instance_missing(identifier)
        return found

    def instance_by_id(self, resource_id: str) -> InstanceRecord | None:
        """Return the instance of a `DbiResourceId`, whatever it is called now."""
        return next((one for one in self.instances.values() if one.id == resource_id), None)

    def snapshot(self, identifier: str) -> SnapshotRecord:
        """Return the snapshot of an identifier, or of an ARN, whose region answers.

        Raises:
            ApiError: there is none.
        """
        match = _ARN.fullmatch(identifier)
        place, name = match.groups() if match else (self.name, identifier)
        region = self.elsewhere.get(place)
        found = region.snapshots.get(name.lower()) if region else None
        if found is None:
            raise snapshot_missing(identifier)
        return found

    def status(self, record: InstanceRecord) -> str:
        """Return the state that an instance is in, or is held in."""
        return self.forced.get(record.identifier) or record.course.status

    def backends(self, engine: str) -> Backends:
        """Return the real servers of an engine."""
        return self.estate.backends[engine]

    def lags(self, born: timedelta) -> bool:
        """Return whether what was made at a time has not got around to the lists."""
        return self.estate.clock.elapsed() - born < self.estate.faults.lag
