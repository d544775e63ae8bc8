"""Which settings a restore from a snapshot does not carry, and how each is changed.

The engine's own settings come with the snapshot where the node has as much memory; endpoints,
who may connect, schedule, logs policy and tags do not, and a public endpoint appears by itself.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from scaleway.rdb.v1.types import (
    ACLRuleRequest,
    EndpointSpec,
    EndpointSpecLoadBalancer,
    EndpointSpecPrivateNetwork,
    EndpointSpecPrivateNetworkIpamConfig,
    HighAvailabilityMode,
    InstanceSetting,
    LogsPolicy,
)
from scaleway.rdb.v1.types import Instance as Told

from domain.errors import ConfigurationRefusedError, ResourceMissingError
from providers.managed.driver import CarryOver
from providers.managed.model import Instance, Setting
from providers.scaleway.client import ScalewayClient
from providers.scaleway.databases import ScalewayInstances
from providers.scaleway.describing import (
    ACCESS,
    PRIVATE,
    PUBLIC,
    kind_of,
    networks_of,
    own_of,
    tags_of,
)

TABLE = (
    Setting("public endpoint", essential=True, first=True),
    Setting("private networks", essential=True),
    Setting(ACCESS, essential=True),
    Setting("node type"),
    Setting("high availability"),
    Setting("volume type"),
    Setting("volume size"),
    Setting("engine settings"),
    Setting("initial engine settings", left="they are fixed when an instance is made"),
    Setting("backup schedule"),
    Setting("backups in the same region"),
    Setting("logs policy"),
    Setting("tags"),
    Setting(
        "read replicas",
        left="make them with `scw rdb read-replica create`; each has an address of its own",
    ),
    Setting("encryption"),
)
PUBLICLY = EndpointSpec(load_balancer=EndpointSpecLoadBalancer())
Act: TypeAlias = Callable[[Told, Mapping[str, str], Instance], None]


def privately(network: str) -> EndpointSpec:
    """Return the wish for an endpoint in a private network, with whichever address is free there."""
    return EndpointSpec(
        private_network=EndpointSpecPrivateNetwork(
            private_network_id=network, ipam_config=EndpointSpecPrivateNetworkIpamConfig()
        )
    )


class ScalewayCarryOver(CarryOver):
    """One change at a time: each makes the instance busy, and only some go together."""

    def __init__(self, client: ScalewayClient, instances: ScalewayInstances) -> None:
        self._client, self._instances = client, instances
        self._acts: Mapping[str, Act] = {
            "public endpoint": self._public,
            "private networks": self._private,
            ACCESS: self._access,
            "node type": self._upgrade,
            "high availability": self._upgrade,
            "volume type": self._upgrade,
            "volume size": self._upgrade,
            "engine settings": self._engine,
            "backup schedule": self._update,
            "backups in the same region": self._update,
            "logs policy": self._update,
            "tags": self._update,
            "encryption": self._upgrade,
        }

    @property
    def table(self) -> Sequence[Setting]:
        """Every setting that is compared."""
        return TABLE

    def left(self, name: str, source: Instance, copy: Instance) -> str:
        """Leave a copy encrypted: Scaleway cannot undo that, and nobody would want to."""
        del source
        encrypted = name == "encryption" and copy.settings.get(name) == "true"
        return "the copy is encrypted, and cannot be otherwise any more" if encrypted else ""

    def change(self, instance: Instance, wanted: Mapping[str, str], like: Instance) -> None:
        """Begin the first of the changes that are open.

        While anybody can reach the instance, who may connect comes before everything but closing
        it; else it comes after the private network, because rules are of an endpoint.
        """
        found = self._instances.told(instance.id)
        if found is None:
            raise ResourceMissingError(f"{instance.name}: it is gone")
        open_to_all = any(kind_of(endpoint) == PUBLIC for endpoint in found.endpoints)
        early = ("public endpoint", ACCESS) if open_to_all else ()
        first = next((name for name in (*early, *self._acts) if name in wanted), None)
        if first is not None:
            self._acts[first](found, wanted, like)

    def _public(self, found: Told, wanted: Mapping[str, str], like: Instance) -> None:
        """Close the public endpoint, or open one, but never before the rules are the source's."""
        if wanted["public endpoint"] != "true":
            self._close(found, PUBLIC)
        elif like.settings[ACCESS] != self._instances.described(found).settings[ACCESS]:
            self._access(found, {ACCESS: like.settings[ACCESS]}, like)
        else:
            self._open(found, PUBLICLY)

    def _private(self, found: Told, wanted: Mapping[str, str], like: Instance) -> None:
        del like
        after = json.loads(wanted["private networks"] or "[]")
        missing = [network for network in after if network not in networks_of(found)]
        if set(networks_of(found)) - set(after):
            self._close(found, PRIVATE)
        elif missing:
            self._open(found, privately(missing[0]))

    def _close(self, found: Told, kind: str) -> None:
        endpoint = next((one for one in found.endpoints if kind_of(one) == kind), None)
        if endpoint is None:
            return
        with self._client.call(f"delete the {kind} endpoint of {found.name}"):
            self._client.rdb.delete_endpoint(endpoint_id=endpoint.id)

    def _open(self, found: Told, spec: EndpointSpec) -> None:
        with self._client.call(f"make an endpoint of {found.name}"):
            self._client.rdb.create_endpoint(instance_id=found.id, endpoint_spec=spec)

    def _access(self, found: Told, wanted: Mapping[str, str], like: Instance) -> None:
        del like
        rules = [
            ACLRuleRequest(ip=ip, description=description)
            for ip, description in json.loads(wanted[ACCESS] or "[]")
        ]
        with self._client.call(f"set who may connect to {found.name}"):
            self._client.rdb.set_instance_acl_rules(instance_id=found.id, rules=rules)

    def _engine(self, found: Told, wanted: Mapping[str, str], like: Instance) -> None:
        """Set what differs; then put back to its default what the source does not set."""
        del like
        before = {setting.name: setting.value for setting in found.settings}
        after: dict[str, str] = json.loads(wanted["engine settings"] or "{}")
        differing = [
            InstanceSetting(name=name, value=value)
            for name, value in after.items()
            if before.get(name) != value
        ]
        if differing:
            with self._client.call(f"change the engine's settings of {found.name}"):
                self._client.rdb.add_instance_settings(instance_id=found.id, settings=differing)
            return
        with self._client.call(f"remove settings of the engine of {found.name}"):
            self._client.rdb.delete_instance_settings(
                instance_id=found.id, setting_names=[name for name in before if name not in after]
            )

    def _update(self, found: Told, wanted: Mapping[str, str], like: Instance) -> None:
        """Change everything that one update takes."""
        del like
        arguments: dict[str, Any] = {}
        if "backup schedule" in wanted:
            arguments |= _schedule(json.loads(wanted["backup schedule"]))
        if "backups in the same region" in wanted:
            arguments["backup_same_region"] = wanted["backups in the same region"] == "true"
        if "logs policy" in wanted:
            arguments["logs_policy"] = LogsPolicy(**json.loads(wanted["logs policy"]))
        if "tags" in wanted:
            arguments["tags"] = [*json.loads(wanted["tags"] or "[]"), *tags_of(own_of(found))]
        with self._client.call(f"update {found.name}"):
            self._client.rdb.update_instance(instance_id=found.id, **arguments)

    def _upgrade(self, found: Told, wanted: Mapping[str, str], like: Instance) -> None:
        """Change one thing: the call takes no second."""
        del like
        name = next(name for name in self._acts if name in wanted and name in _UPGRADES)
        argument = _UPGRADES[name](wanted[name])
        with self._client.call(f"upgrade {name} of {found.name}"):
            self._client.rdb.upgrade_instance(instance_id=found.id, **argument)


def _schedule(told: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "disabled": "is_backup_schedule_disabled",
        "frequency": "backup_schedule_frequency",
        "retention": "backup_schedule_retention",
    }
    # a schedule that is off may tell 0, which cannot be set
    return {names[name]: value for name, value in told.items() if name == "disabled" or value}


def _available(wanted: str) -> dict[str, Any]:
    if wanted in set(HighAvailabilityMode):
        return {"high_availability_mode": HighAvailabilityMode(wanted)}
    return {"enable_ha": True}


def _encrypted(wanted: str) -> dict[str, Any]:
    if wanted != "true":
        raise ConfigurationRefusedError(
            "the copy is encrypted at rest and the source is not: Scaleway cannot undo that; "
            "enable encryption at the source too, then start again"
        )
    return {"enable_encryption": True}


_UPGRADES: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "node type": lambda wanted: {"node_type": wanted},
    "high availability": _available,
    "volume type": lambda wanted: {"volume_type": wanted},
    "volume size": lambda wanted: {"volume_size": int(wanted)},
    "encryption": _encrypted,
}
