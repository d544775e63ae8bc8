"""One call taken apart: the resource it is about, the verb, and what it says."""

import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from simulators.kubernetes.kinds import Kind, by_plural
from simulators.kubernetes.refusals import bad_request, unknown_path, unsupported
from simulators.kubernetes.rights import Access
from simulators.kubernetes.values import Json, Value

_ON_ONE = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_ON_ALL = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_YES = ("true", "1", "True")


@dataclass
class Call:
    """A call as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    """By name in small letters."""
    body: bytes = b""
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the address apart."""
        parts = urlsplit(self.target)
        self.path = parts.path
        given = parse_qs(parts.query, keep_blank_values=True)
        self.query = {name: values[-1] for name, values in given.items()}

    def flag(self, name: str) -> bool:
        """Return whether a parameter says yes."""
        return self.query.get(name, "") in _YES

    def number(self, name: str) -> int | None:
        """Return a parameter that is a number."""
        given = self.query.get(name)
        if not given:
            return None
        try:
            return int(given)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{given}": invalid syntax') from None

    def content(self) -> Value:
        """Return what the body says, in JSON or YAML."""
        if "protobuf" in self.headers.get("content-type", ""):
            raise unsupported(("application/json", "application/yaml"))
        body = self.body or b"{}"
        yamls = "yaml" in self.headers.get("content-type", "") and body[:1] not in b"{["
        try:
            return yaml.safe_load(body) if yamls else json.loads(body)
        except (ValueError, yaml.YAMLError) as error:
            raise bad_request(f"error decoding the body: {error}") from None

    @property
    def manager(self) -> str:
        """Who writes: as the call says, else the program that makes it."""
        program = self.headers.get("user-agent", "unknown").partition("/")[0]
        return self.query.get("fieldManager") or program[:128]

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be kept."""
        return self.query.get("dryRun") == "All"


@dataclass(frozen=True)
class Target:
    """The resource that a call is about."""

    kind: Kind
    verb: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def access(self) -> Access:
        """The right that the call needs."""
        resource = self.kind.plural
        if self.subresource:
            resource = f"{resource}/{self.subresource}"
        return Access(self.verb, self.kind.group, resource, self.namespace, self.name)


def target_of(call: Call) -> Target:
    """Return what a call is about.

    Raises:
        ApiError: nothing is at its address.
    """
    parts = [unquote(part) for part in call.path.strip("/").split("/")]
    match parts:
        case ["api", "v1", *rest]:
            return _target(call, "", "v1", rest)
        case ["apis", group, version, *rest]:
            return _target(call, group, version, rest)
    raise unknown_path()


def _target(call: Call, group: str, version: str, rest: list[str]) -> Target:
    namespace = ""
    match rest:
        case ["namespaces", _] | ["namespaces", _, "status" | "finalize"]:
            pass
        case ["namespaces", namespace, *below]:
            rest = below
    plural, name, subresource, *more = [*rest, "", "", ""]
    kind = by_plural(group, version, plural)
    if kind is None or any(more) or (namespace and not kind.namespaced):
        raise unknown_path()
    if subresource and subresource not in kind.subresources:
        raise unknown_path()
    if kind.namespaced and name and not namespace:
        raise unknown_path()
    return Target(kind, _verb(call, name), namespace, name, subresource)


def _verb(call: Call, name: str) -> str:
    if call.method == "GET" and call.flag("watch"):
        return "watch"
    return (_ON_ONE if name else _ON_ALL).get(call.method, "")


def body_of(call: Call) -> Json:
    """Return the body of a call that carries an object."""
    found = call.content()
    if not isinstance(found, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    return found
