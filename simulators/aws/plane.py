"""The control plane: moto behind a facade that corrects what moto gets wrong about RDS."""

import threading
from collections.abc import Callable, Mapping
from typing import TypeAlias

from werkzeug.wrappers import Request, Response

from simulators.aws import (
    account,
    automated,
    changes,
    deleting,
    instances,
    keys,
    restores,
    running,
    seeding,
    snapshots,
    tagging,
)
from simulators.aws.access import Access
from simulators.aws.calls import Call, Fields, answered, operation_of, read, refused
from simulators.aws.endpoints import port_of
from simulators.aws.instances import new_id
from simulators.aws.records import Limits
from simulators.aws.refusals import ApiError, unknown_action
from simulators.aws.region import Region
from simulators.aws.settling import settle
from simulators.aws.store import Moto
from simulators.estate import Estate, Seed
from simulators.faults import Refusal
from simulators.wire import ControlPlane

ACCOUNT = "123456789012"
Action: TypeAlias = Callable[[Region, Fields], Fields]
CORRECTED: Mapping[str, Action] = {
    "rds:AddTagsToResource": tagging.add,
    "rds:CopyDBSnapshot": snapshots.copy,
    "rds:CreateDBInstance": restores.create,
    "rds:CreateDBSnapshot": snapshots.create,
    "rds:DeleteDBInstance": deleting.delete,
    "rds:DeleteDBSnapshot": snapshots.delete,
    "rds:DescribeAccountAttributes": account.attributes,
    "rds:DescribeDBInstanceAutomatedBackups": automated.describe,
    "rds:DescribeDBInstances": instances.describe,
    "rds:DescribeDBParameters": account.parameters,
    "rds:DescribeDBSnapshots": snapshots.describe,
    "rds:ListTagsForResource": tagging.list_tags,
    "rds:ModifyDBInstance": changes.modify,
    "rds:RebootDBInstance": running.reboot,
    "rds:RemoveTagsFromResource": tagging.remove,
    "rds:RestoreDBInstanceFromDBSnapshot": restores.from_snapshot,
    "rds:RestoreDBInstanceToPointInTime": restores.to_point_in_time,
    "rds:StartDBInstance": running.start,
    "rds:StopDBInstance": running.stop,
    **{
        f"kms:{call}": keys.by_id(call)
        for call in ("DisableKey", "EnableKey", "ScheduleKeyDeletion", "CancelKeyDeletion")
    },
    "kms:DescribeKey": keys.describe,
    "kms:EnableKeyRotation": keys.enable_rotation,
    "kms:GetKeyRotationStatus": keys.rotation,
    "sts:GetCallerIdentity": account.identity,
}
FAITHFUL = frozenset(
    f"{act}{thing}"
    for thing in ("DBParameterGroup", "DBSubnetGroup", "OptionGroup")
    for act in ("Create", "Copy", "Modify", "Delete", "Describe")
) | {
    "DescribeDBParameterGroups",
    "DescribeDBSubnetGroups",
    "DescribeOptionGroups",
    "DescribeOrderableDBInstanceOptions",
}
"""Calls of RDS that moto answers as they come."""


class Regions(dict[str, Region]):
    """Every region of the account, made when it is first asked for."""

    def __init__(self, estate: Estate, moto: Moto, limits: Limits) -> None:
        super().__init__()
        self._estate, self._moto, self._limits = estate, moto, limits
        self.forced: dict[str, str] = {}
        """States that instances are held in, by name."""

    def __missing__(self, name: str) -> Region:
        """Make a region, with the default subnet group that every one has."""
        region = Region(name, self._estate, self._moto, self._limits, self, forced=self.forced)
        self[name] = region
        seeding.subnet_group(region, "default", "default", 3)
        return region


class RdsPlane(ControlPlane):
    """One simulated AWS account with RDS, KMS and STS in every region.

    Whoever tests may set `limits`, deny actions through `access`, and look at `raw`.
    """

    def __init__(
        self, estate: Estate, *, region: str = "eu-west-1", account_id: str = ACCOUNT
    ) -> None:
        self.estate, self.region, self.limits = estate, region, Limits()
        self.access = Access(account_id)
        self._moto = Moto(account_id)
        self.regions = Regions(estate, self._moto, self.limits)
        self._lock = threading.RLock()

    def operation_of(self, request: Request) -> str:
        """Return the name of the call, such as `ModifyDBInstance`."""
        return operation_of(request)

    def answer(self, request: Request) -> Response:
        """Carry out a call and answer as AWS does, its errors included."""
        try:
            call = read(request)
            self.access.check(call)
            with self._lock:
                return self._carried_out(request, call)
        except ApiError as error:
            return refused(request, error)

    def _carried_out(self, request: Request, call: Call) -> Response:
        self.settle()
        action = CORRECTED.get(f"{call.service}:{call.operation}")
        if action is not None:
            return answered(call, action(self.regions[call.region], call.asked))
        if call.service == "rds" and call.operation not in FAITHFUL:
            raise unknown_action(call.operation)
        return self._moto.forward(request, call.operation)

    def render(self, request: Request, refusal: Refusal) -> Response:
        """Return an error in the form of the service that was asked."""
        return refused(request, ApiError(refusal.code, refusal.message, refusal.status))

    def throttled(self) -> Refusal:
        """Return the error by which AWS refuses too many calls."""
        return Refusal(400, "Throttling", "Rate exceeded")

    def seed(self, seed: Seed) -> tuple[str, int]:
        """Make an instance that has existed for long; `Region` among its settings says where."""
        name = str(seed.settings.get("Region", self.region))
        resource_id = new_id()
        with self._lock:
            region = self.regions[name]
            settings = seeding.chosen(region, seed)
        seeding.made(region, seed, settings, resource_id)
        with self._lock:
            record = seeding.seeded(region, seed, settings, resource_id)
            return "127.0.0.1", port_of(region, record)

    def allow(self, instances: int) -> None:
        """Set how many instances the account may have, as its provider does on request."""
        self.limits.instances = instances

    def force(self, name: str, state: str) -> None:
        """Hold the instance of a name in a state, also one that is still to come."""
        with self._lock:
            self.regions.forced[name.lower()] = state

    def deny(self, action: str) -> None:
        """Deny an action, such as `rds:ModifyDBInstance`, to keys that begin with `AKIADENIED`."""
        self.access.deny(action if ":" in action else f"rds:{action}")

    def settle(self) -> None:
        """Let everything come to where it is by now, as each call does."""
        with self._lock:
            for region in list(self.regions.values()):
                settle(region)

    def raw(self, name: str, region: str = "") -> Fields:
        """Return an instance as RDS shows it now, by its own member names.

        Raises:
            ApiError: there is none.
        """
        with self._lock:
            place = self.regions[region or self.region]
            settle(place)
            return instances.view(place, place.instance(name))
