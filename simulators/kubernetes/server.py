"""The simulated cluster as tests hold it: where it is, who gets in, and what goes wrong in it."""

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from simulators.certificates import Certificates
from simulators.kubernetes.cluster import Cluster, Pace
from simulators.kubernetes.controllers.loop import Loop
from simulators.kubernetes.images import Behaviour
from simulators.kubernetes.kinds import NAMESPACE, NODE
from simulators.kubernetes.plane import ApiServer
from simulators.kubernetes.planted import Fault
from simulators.kubernetes.rights import Access
from simulators.kubernetes.wire import Wire
from simulators.kubernetes.writing import Asked

CONTEXT = "simulated"
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_NODES = ("node-1", "node-2", "node-3")


class KubernetesSimulator:
    """A cluster of three nodes on 127.0.0.1, from its making until `close`.

    `cluster` holds its state, for tests that look where no client can.
    """

    def __init__(self, pace: Pace | None = None, *, tls: bool = True) -> None:
        self.cluster = Cluster(pace or Pace())
        self._folder = Path(tempfile.mkdtemp(prefix="refloat-kubernetes-"))
        self._certificates = Certificates(self._folder) if tls else None
        held = self._certificates
        files = (held.certificate, held.key) if held else None
        self._found()
        self._plane = ApiServer(self.cluster, secrets.token_urlsafe(24))
        self._wire = Wire(self._plane, files)
        self._loop = Loop(self.cluster)
        self._loop.start()

    def __enter__(self) -> Self:
        """Return the cluster."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the cluster."""
        self.close()

    @property
    def url(self) -> str:
        """Where the API is, such as `https://127.0.0.1:4711`."""
        return self._wire.url

    @property
    def token(self) -> str:
        """The bearer token that the API lets in; another one set here locks the old one out."""
        return self._plane.token

    @token.setter
    def token(self, token: str) -> None:
        self._plane.token = token

    @property
    def authority(self) -> Path | None:
        """File with the certificate that signed the server's, if it speaks TLS."""
        return self._certificates.authority if self._certificates else None

    @property
    def requests(self) -> list[str]:
        """Every call so far, as `GET /api/v1/namespaces/shop/pods?limit=5`."""
        return self._wire.requests

    def write_kubeconfig(self, path: Path, namespace: str = "default") -> Path:
        """Write a kubeconfig with the context `simulated`, readable by its owner only."""
        cluster = {"server": self.url}
        if self.authority is not None:
            cluster["certificate-authority"] = str(self.authority)
        context = {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": CONTEXT,
            "clusters": [{"name": CONTEXT, "cluster": cluster}],
            "users": [{"name": CONTEXT, "user": {"token": self.token}}],
            "contexts": [{"name": CONTEXT, "context": context}],
        }
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as sink:
            yaml.safe_dump(content, sink)
        return path

    def behave(self, reference: str, behaviour: Behaviour) -> None:
        """Let whatever runs under an image reference behave so, what runs already included."""
        with self.cluster.store.lock:
            self.cluster.registry.behave(reference, behaviour)
            self.cluster.store.stir()

    def image(self, reference: str, digest: str) -> None:
        """Let a tag lead to a digest from now on.

        As on a real node, one that holds the tag already goes on with what it holds, unless the
        container's `imagePullPolicy` is `Always`.
        """
        with self.cluster.store.lock:
            self.cluster.registry.tag(reference, digest)

    def deny(self, verb: str, group: str, resource: str, namespace: str = "") -> None:
        """Refuse calls that need a right; a subresource is `deployments/scale`, all of one is `*`."""
        self.cluster.rights.deny(Access(verb, group, resource, namespace))

    def allow(self, verb: str, group: str, resource: str, namespace: str = "") -> None:
        """Take a denial back."""
        self.cluster.rights.allow(Access(verb, group, resource, namespace))

    def fault(self, fault: Fault) -> None:
        """Let something happen to the next calls that a fault is about."""
        self._wire.planted.plant(fault)

    def compact(self) -> None:
        """Forget the history: watches and continue tokens from before are `410 Gone`."""
        self.cluster.store.compact()

    def hold(self, *, held: bool = True) -> None:
        """Stop the controllers and the nodes, or let them go on; the API answers all the same."""
        self._loop.hold(held=held)

    def close(self) -> None:
        """End the cluster; nothing is left of it."""
        self._loop.close()
        self._wire.close()
        shutil.rmtree(self._folder)

    def _found(self) -> None:
        """Make what every cluster has from its beginning."""
        founder = Asked("kube-apiserver")
        for name in _NAMESPACES:
            self.cluster.writer.create(NAMESPACE, "", {"metadata": {"name": name}}, founder)
        for name in _NODES:
            labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
            node = {"metadata": {"name": name, "labels": labels}, "spec": {}}
            self.cluster.writer.create(NODE, "", node, founder)
