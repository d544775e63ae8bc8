"""What images are called: references as written, digests as runtimes tell them, and the main container."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from domain.errors import ConfigurationRefusedError
from domain.rollback import ContainerImage, ProtectedApplication

Json = dict[str, Any]
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})$")
_HUB = "docker.io"


def digest_of(reference: str) -> str:
    """Return the digest that a reference, or a pod's `imageID`, names, or nothing.

    An `imageID` without a repository is that of the unpacked image and no manifest's: it could not
    be pulled, so it does not count.
    """
    found = _DIGEST.search(reference)
    return found[1] if found else ""


def repository_of(reference: str) -> str:
    """Return a reference without its tag and digest, as it was written."""
    bare = reference.partition("@")[0]
    head, slash, last = bare.rpartition("/")
    return head + slash + last.partition(":")[0]


def _whole(repository: str) -> str:
    """Return a repository with what Docker lets people leave out."""
    first, slash, rest = repository.partition("/")
    if not slash:
        return f"{_HUB}/library/{repository}"
    if "." not in first and ":" not in first and first != "localhost":
        return f"{_HUB}/{repository}"
    if first in (_HUB, "index.docker.io"):
        return f"{_HUB}/{rest if '/' in rest else f'library/{rest}'}"
    return repository


def same_repository(one: str, other: str) -> bool:
    """Return whether two references are of one repository, `nginx` and `docker.io/library/nginx`."""
    return _whole(repository_of(one)) == _whole(repository_of(other))


def containers_of(template: Mapping[str, Any]) -> list[Json]:
    """Return the containers of a pod template, those that prepare it last."""
    spec = template.get("spec") or {}
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def told_digests(pods: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the digest of each container that the pods' runtimes tell, of the newest pod first."""
    found: dict[str, str] = {}
    for pod in sorted(
        pods, key=lambda one: str(one["metadata"].get("creationTimestamp")), reverse=True
    ):
        status = pod.get("status") or {}
        for one in (
            *(status.get("containerStatuses") or ()),
            *(status.get("initContainerStatuses") or ()),
        ):
            digest = digest_of(str(one.get("imageID") or ""))
            if digest:
                found.setdefault(str(one["name"]), digest)
    return found


def images_of(template: Mapping[str, Any], known: Mapping[str, str]) -> tuple[ContainerImage, ...]:
    """Return the images of a template; `known` are the digests that were seen to run."""
    return tuple(
        ContainerImage(
            container=one["name"],
            written=one["image"],
            digest=digest_of(one["image"]) or known.get(one["name"], ""),
        )
        for one in containers_of(template)
        if one.get("image")
    )


def main_container(application: ProtectedApplication, template: Mapping[str, Any]) -> str:
    """Return the name of the container that runs the application's own image.

    Raises:
        ConfigurationRefusedError: nothing tells which one; with the containers to choose from.
    """
    spec = template.get("spec") or {}
    running = spec.get("containers") or ()
    named = getattr(application.platform, "container", "")
    if named:
        if any(one["name"] == named for one in containers_of(template)):
            return str(named)
    else:
        fit = [one for one in running if same_repository(one.get("image", ""), application.image)]
        single = fit if len(fit) == 1 else running if len(running) == 1 else ()
        for one in single:
            return str(one["name"])
    there = ", ".join(f"{one['name']} ({one.get('image', 'no image')})" for one in running)
    wanted = (
        f"a container named {named}" if named else f"one container that runs {application.image}"
    )
    raise ConfigurationRefusedError(
        f"{application.path}: the pod has not {wanted}; write `container` of its platform in the "
        f"catalog, one of: {there}"
    )
