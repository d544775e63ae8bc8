"""What the server's schema says of lists and maps: which merge by keys, which are one value.

Taken from the markers `listType`, `listMapKey`, `mapType` and `patchStrategy` of the API's types.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulators.kubernetes.kinds import (
    DAEMON_SET,
    DEPLOYMENT,
    POD,
    REPLICA_SET,
    SCALER,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    Kind,
)
from simulators.kubernetes.values import Json, Value


@dataclass(frozen=True)
class Node:
    """The schema of one field; one that nothing is known about merges maps and replaces lists."""

    fields: Mapping[str, "Node"] = field(default_factory=dict)
    """Of a structure: those of its fields that are special, or lead to such."""
    item: "Node | None" = None
    """Of a list: the schema of its items."""
    keys: tuple[str, ...] = ()
    """Of a list of structures that merges: the fields that tell its items apart."""
    unique: bool = False
    """Of a list of plain values: whether it is a set."""
    atomic: bool = False
    """Whether the whole is owned as one value."""

    def of(self, name: str) -> "Node":
        """Return the schema of a field."""
        return self.fields.get(name, PLAIN)

    def each(self) -> "Node":
        """Return the schema of an item."""
        return self.item or PLAIN

    def merges(self, value: Value) -> bool:
        """Return whether a list is merged item by item."""
        return isinstance(value, list) and bool(self.keys or self.unique)

    def key_of(self, item: Json) -> Json:
        """Return the members that tell an item from the others; an absent protocol is TCP."""
        found = {}
        for name in sorted(self.keys):
            if name in item:
                found[name] = item[name]
            elif name == "protocol":
                found[name] = "TCP"
        return found


PLAIN = Node()
ATOMIC = Node(atomic=True)
_SET = Node(unique=True)


def _struct(**fields: Node) -> Node:
    return Node(fields=fields)


def _keyed(*keys: str, item: Node = PLAIN) -> Node:
    return Node(keys=keys, item=item)


_CONDITIONS = _keyed("type")
_META = _struct(ownerReferences=_keyed("uid"), finalizers=_SET)
_SOURCE = _struct(
    configMapKeyRef=ATOMIC, secretKeyRef=ATOMIC, fieldRef=ATOMIC, resourceFieldRef=ATOMIC
)
_CONTAINER = _struct(
    env=_keyed("name", item=_struct(valueFrom=_SOURCE)),
    ports=_keyed("containerPort", "protocol"),
    volumeMounts=_keyed("mountPath"),
    volumeDevices=_keyed("devicePath"),
    resources=_struct(claims=_keyed("name")),
)
_POD_SPEC = _struct(
    containers=_keyed("name", item=_CONTAINER),
    initContainers=_keyed("name", item=_CONTAINER),
    ephemeralContainers=_keyed("name", item=_CONTAINER),
    volumes=_keyed("name"),
    imagePullSecrets=_keyed("name"),
    hostAliases=_keyed("ip"),
    topologySpreadConstraints=_keyed(
        "topologyKey", "whenUnsatisfiable", item=_struct(labelSelector=ATOMIC)
    ),
    schedulingGates=_keyed("name"),
    resourceClaims=_keyed("name"),
    nodeSelector=ATOMIC,
)
_TEMPLATE = _struct(metadata=_META, spec=_POD_SPEC)
_WORKLOAD = _struct(
    metadata=_META,
    spec=_struct(selector=ATOMIC, template=_TEMPLATE),
    status=_struct(conditions=_CONDITIONS),
)
_ROOTS: dict[Kind, Node] = {
    DEPLOYMENT: _WORKLOAD,
    REPLICA_SET: _WORKLOAD,
    STATEFUL_SET: _WORKLOAD,
    DAEMON_SET: _WORKLOAD,
    POD: _struct(
        metadata=_META,
        spec=_POD_SPEC,
        status=_struct(conditions=_CONDITIONS, podIPs=_keyed("ip")),
    ),
    SERVICE: _struct(
        metadata=_META,
        spec=_struct(ports=_keyed("port", "protocol"), selector=ATOMIC),
        status=_struct(conditions=_CONDITIONS),
    ),
    SERVICE_ACCOUNT: _struct(metadata=_META, secrets=_keyed("name")),
    SCALER: _struct(
        metadata=_META,
        spec=_struct(scaleTargetRef=ATOMIC),
        status=_struct(conditions=_CONDITIONS),
    ),
}
_OTHERS: dict[str, Node] = {
    "jobs": _WORKLOAD,
    "cronjobs": _struct(
        metadata=_META,
        spec=_struct(jobTemplate=_struct(metadata=_META, spec=_struct(template=_TEMPLATE))),
    ),
    "networkpolicies": _struct(metadata=_META, spec=_struct(podSelector=ATOMIC)),
    "poddisruptionbudgets": _struct(
        metadata=_META, spec=_struct(selector=ATOMIC), status=_struct(conditions=_CONDITIONS)
    ),
    "rolebindings": _struct(metadata=_META, roleRef=ATOMIC),
    "clusterrolebindings": _struct(metadata=_META, roleRef=ATOMIC),
}
_ANY = _struct(metadata=_META, status=_struct(conditions=_CONDITIONS))


def root_of(kind: Kind) -> Node:
    """Return the schema of a kind of object."""
    return _ROOTS.get(kind) or _OTHERS.get(kind.plural, _ANY)
