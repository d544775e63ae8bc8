"""Image references and the registry behind them: what a tag means, and how its image behaves."""

import hashlib
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Runs:
    """The image starts and serves."""

    logs: str = "started\n"
    start_seconds: float | None = None
    """How long it takes to become ready; as long as everything else takes, without one."""


@dataclass(frozen=True)
class CannotBePulled:
    """No node can pull the image, whether it held it before or not."""

    message: str = ""
    """What the registry says; that the image is not found, without one."""


@dataclass(frozen=True)
class Crashes:
    """The image's program ends soon after each start."""

    exit_code: int = 1
    logs: str = "fatal: cannot start\n"
    after_seconds: float = 0.05
    reason: str = "Error"
    """`OOMKilled` with exit code 137 is another that nodes tell."""
    ready: bool = False
    """Whether it counts as ready while it runs, as one without a readiness probe soon does."""


@dataclass(frozen=True)
class NeverReady:
    """The image runs, and its readiness probe fails for ever."""

    message: str = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    logs: str = "started\n"


@dataclass(frozen=True)
class HasNoRoom:
    """No node has room for a pod of the image."""

    message: str = "0/3 nodes are available: 3 Insufficient cpu."


@dataclass(frozen=True)
class Refused:
    """Admission refuses the image's pods, or whatever holds it, down from the workload."""

    message: str = "exceeded quota: compute, requested: pods=1, used: pods=10, limited: pods=10"
    workloads: bool = False
    """Whether a workload is refused (403), and not only the pods that its controller makes."""


Behaviour: TypeAlias = Runs | CannotBePulled | Crashes | NeverReady | HasNoRoom | Refused
RUNS = Runs()


def repository_of(reference: str) -> str:
    """Return a reference without its tag and digest, in the full form that a node tells."""
    named = reference.partition("@")[0]
    tag = named.rpartition("/")[2].partition(":")[2]
    if tag:
        named = named[: -len(tag) - 1]
    first, slash, _ = named.partition("/")
    if not slash:
        return f"docker.io/library/{named}"
    hosted = "." in first or ":" in first or first == "localhost"
    return named if hosted else f"docker.io/{named}"


def tag_of(reference: str) -> str:
    """Return a reference's tag, `latest` where it names neither tag nor digest."""
    named, at_sign, _ = reference.partition("@")
    tag = named.rpartition("/")[2].partition(":")[2]
    return tag or ("" if at_sign else "latest")


def full_form(reference: str) -> str:
    """Return a reference as a node tells it back in `containerStatuses`."""
    named, at_sign, digest = reference.partition("@")
    if at_sign:
        return f"{repository_of(named)}@{digest}"
    return f"{repository_of(named)}:{tag_of(named)}"


@dataclass
class Registry:
    """What every image reference leads to. Callers hold the store's lock."""

    _digests: dict[str, str] = field(default_factory=dict)
    _behaviours: dict[str, Behaviour] = field(default_factory=dict)
    _held: dict[tuple[str, str], str] = field(default_factory=dict)

    def tag(self, reference: str, digest: str) -> None:
        """Let a tag lead to a digest from now on."""
        self._digests[full_form(reference)] = digest

    def behave(self, reference: str, behaviour: Behaviour) -> None:
        """Let whatever runs under a reference behave so from now on."""
        self._behaviours[full_form(reference)] = behaviour

    def digest_of(self, reference: str) -> str:
        """Return the digest that a reference leads to; a tag that nobody set has one of its own."""
        _, at_sign, digest = reference.partition("@")
        if at_sign:
            return digest
        full = full_form(reference)
        made = f"sha256:{hashlib.sha256(full.encode()).hexdigest()}"
        return self._digests.get(full, made)

    def behaviour_of(self, reference: str) -> Behaviour:
        """Return how an image behaves: as its reference, else its digest, else a tag of it, does."""
        full = full_form(reference)
        if full in self._behaviours:
            return self._behaviours[full]
        repository, digest = repository_of(reference), self.digest_of(reference)
        pinned = f"{repository}@{digest}"
        if pinned in self._behaviours:
            return self._behaviours[pinned]
        for other, behaviour in self._behaviours.items():
            if repository_of(other) == repository and self.digest_of(other) == digest:
                return behaviour
        return RUNS

    def pull(self, node: str, reference: str, policy: str) -> tuple[str, bool]:
        """Return the `imageID` that a node runs a reference with, and whether it held it already.

        A node that holds a tag does not ask again what it means, unless the policy is `Always`.
        """
        held = self._held.get((node, full_form(reference)))
        if held is not None and policy != "Always":
            return held, True
        found = f"{repository_of(reference)}@{self.digest_of(reference)}"
        self._held[node, full_form(reference)] = found
        return found, False
