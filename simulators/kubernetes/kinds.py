"""The kinds of object that the simulated server knows, and their names on the wire."""

from dataclasses import dataclass, field

APPS, BATCH, SCALING = "apps", "batch", "autoscaling"
NETWORKING, RBAC, POLICY = "networking.k8s.io", "rbac.authorization.k8s.io", "policy"
AUTHORIZATION, COORDINATION = "authorization.k8s.io", "coordination.k8s.io"
STORAGE = "storage.k8s.io"

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Kind:
    """One kind of object in one version of its group."""

    group: str
    version: str
    plural: str
    kind: str
    short: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    namespaced: bool = True
    counted: bool = False
    """Whether `metadata.generation` counts the changes of its spec."""
    verbs: tuple[str, ...] = field(default=_VERBS)

    @property
    def api_version(self) -> str:
        """The group and version as an object names them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The resource as messages name it, such as `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """The kind as messages name it, such as `Deployment.apps`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def has_status(self) -> bool:
        """Whether its status is written by a subresource of its own."""
        return "status" in self.subresources


_BOTH = ("status", "scale")
_STATUS = ("status",)
_ACTS = ("create",)

DEPLOYMENT = Kind(APPS, "v1", "deployments", "Deployment", ("deploy",), _BOTH, counted=True)
REPLICA_SET = Kind(APPS, "v1", "replicasets", "ReplicaSet", ("rs",), _BOTH, counted=True)
STATEFUL_SET = Kind(APPS, "v1", "statefulsets", "StatefulSet", ("sts",), _BOTH, counted=True)
DAEMON_SET = Kind(APPS, "v1", "daemonsets", "DaemonSet", ("ds",), _STATUS, counted=True)
REVISION = Kind(APPS, "v1", "controllerrevisions", "ControllerRevision")
POD = Kind("", "v1", "pods", "Pod", ("po",), ("status", "log"), counted=True)
NAMESPACE = Kind(
    "", "v1", "namespaces", "Namespace", ("ns",), ("status", "finalize"), namespaced=False
)
NODE = Kind("", "v1", "nodes", "Node", ("no",), _STATUS, namespaced=False)
EVENT = Kind("", "v1", "events", "Event", ("ev",))
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap", ("cm",))
SECRET = Kind("", "v1", "secrets", "Secret")
SERVICE = Kind("", "v1", "services", "Service", ("svc",), _STATUS)
SERVICE_ACCOUNT = Kind("", "v1", "serviceaccounts", "ServiceAccount", ("sa",))
CLAIM = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", ("pvc",), _STATUS)
SCALER = Kind(
    SCALING, "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("hpa",), _STATUS
)
ACCESS_REVIEW = Kind(
    AUTHORIZATION,
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    namespaced=False,
    verbs=_ACTS,
)

KINDS = (
    POD,
    NAMESPACE,
    NODE,
    EVENT,
    CONFIG_MAP,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    CLAIM,
    Kind("", "v1", "persistentvolumes", "PersistentVolume", ("pv",), _STATUS, namespaced=False),
    Kind("", "v1", "endpoints", "Endpoints", ("ep",)),
    Kind("", "v1", "limitranges", "LimitRange", ("limits",)),
    Kind("", "v1", "resourcequotas", "ResourceQuota", ("quota",), _STATUS),
    DEPLOYMENT,
    REPLICA_SET,
    STATEFUL_SET,
    DAEMON_SET,
    REVISION,
    Kind(BATCH, "v1", "jobs", "Job", (), _STATUS, counted=True),
    Kind(BATCH, "v1", "cronjobs", "CronJob", ("cj",), _STATUS, counted=True),
    SCALER,
    Kind(NETWORKING, "v1", "ingresses", "Ingress", ("ing",), _STATUS, counted=True),
    Kind(NETWORKING, "v1", "ingressclasses", "IngressClass", namespaced=False, counted=True),
    Kind(NETWORKING, "v1", "networkpolicies", "NetworkPolicy", ("netpol",), counted=True),
    Kind(RBAC, "v1", "roles", "Role"),
    Kind(RBAC, "v1", "rolebindings", "RoleBinding"),
    Kind(RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
    Kind(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Kind(
        POLICY, "v1", "poddisruptionbudgets", "PodDisruptionBudget", ("pdb",), _STATUS, counted=True
    ),
    Kind(COORDINATION, "v1", "leases", "Lease"),
    Kind(STORAGE, "v1", "storageclasses", "StorageClass", ("sc",), namespaced=False),
    ACCESS_REVIEW,
)

_BY_PLURAL = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
_BY_KIND = {(kind.api_version, kind.kind): kind for kind in KINDS}


def by_plural(group: str, version: str, plural: str) -> Kind | None:
    """Return the kind at an address."""
    return _BY_PLURAL.get((group, version, plural))


def by_kind(api_version: str, kind: str) -> Kind | None:
    """Return the kind that an object or a reference names."""
    return _BY_KIND.get((api_version, kind))
