"""Lists of objects: selected, in pages that stay consistent while things change."""

import base64
import json
from dataclasses import dataclass

from simulators.kubernetes.kinds import Kind
from simulators.kubernetes.refusals import bad_request, expired
from simulators.kubernetes.selecting import Test, by_fields, by_labels
from simulators.kubernetes.store import Store
from simulators.kubernetes.values import Json, name_of, namespace_of

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True)
class Selection:
    """Which objects a list or a watch is about."""

    kind: Kind
    namespace: str
    labels: str = ""
    fields: str = ""

    def test(self) -> Test:
        """Return the test that tells whether an object is meant.

        Raises:
            ApiError: a selector cannot be read.
        """
        labelled, fielded = by_labels(self.labels), by_fields(self.fields, self.kind)
        here = self.namespace

        def holds(thing: Json) -> bool:
            return (not here or namespace_of(thing) == here) and labelled(thing) and fielded(thing)

        return holds


class Lister:
    """Answers lists; the remainder of one in pages is kept until the history is compacted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rests: dict[str, tuple[int, list[Json]]] = {}

    def page(self, selection: Selection, limit: int = 0, token: str = "") -> Json:
        """Return a list, or the page of it after the one that ended with a token.

        Raises:
            ApiError: a selector or the token cannot be read, or the token's version is compacted.
        """
        with self._store.lock:
            version, found = self._begin(selection, token)
            metadata: Json = {"resourceVersion": str(version)}
            if limit and len(found) > limit:
                page, rest = found[:limit], found[limit:]
                metadata["continue"] = self._keep(version, page[-1], rest)
                if not selection.labels and not selection.fields:
                    metadata["remainingItemCount"] = len(rest)
                found = page
        kind = selection.kind
        return {
            "kind": f"{kind.kind}List",
            "apiVersion": kind.api_version,
            "metadata": metadata,
            "items": [_bare(thing) for thing in found],
        }

    def _begin(self, selection: Selection, token: str) -> tuple[int, list[Json]]:
        if not token:
            test = selection.test()
            found = self._store.all(selection.kind, selection.namespace)
            return self._store.version, [thing for thing in found if test(thing)]
        try:
            version = int(json.loads(base64.b64decode(token))["rv"])
        except (ValueError, KeyError, TypeError):
            raise bad_request("continue key is not valid: illegal base64 data") from None
        if version < self._store.compacted or token not in self._rests:
            self._rests.clear()
            raise expired(_TOO_OLD)
        return self._rests[token]

    def _keep(self, version: int, last: Json, rest: list[Json]) -> str:
        start = f"{namespace_of(last)}/{name_of(last)}\u0000"
        told = {"v": "meta.k8s.io/v1", "rv": version, "start": start}
        token = base64.b64encode(json.dumps(told).encode()).decode()
        self._rests[token] = (version, rest)
        return token


def _bare(thing: Json) -> Json:
    """Return an object as a list carries it: the list says the kind."""
    return {name: item for name, item in thing.items() if name not in ("kind", "apiVersion")}
