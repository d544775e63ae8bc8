"""Endpoints: made, removed, and moved between instances with their port."""

from collections.abc import Mapping
from typing import Any

from simulators.piping import Protocol
from simulators.scaleway.account import Account, Call, new_id
from simulators.scaleway.answers import endpoint_json
from simulators.scaleway.refusals import invalid, not_found, precondition
from simulators.scaleway.shapes import LOAD_BALANCER, PRIVATE_NETWORK, Endpoint, Instance, Json

Spec = Mapping[str, Any]


def get_endpoint(account: Account, call: Call) -> Json:
    """Return one endpoint."""
    endpoint, _ = _find(account, call)
    return endpoint_json(endpoint, call.region)


def create_endpoint(account: Account, call: Call) -> Json:
    """Add an endpoint of a kind that the instance does not have."""
    instance = account.instance(call)
    account.require(instance)
    spec = call.body.get("endpoint_spec") or {}
    _require_free(account, instance, kind_of(spec))
    endpoint = open_endpoint(account, instance, spec)
    connect(account, endpoint)
    account.change(instance, status="initializing")
    return endpoint_json(endpoint, call.region)


def delete_endpoint(account: Account, call: Call) -> None:
    """Remove an endpoint; connections through it end."""
    endpoint, instance = _find(account, call)
    account.require(instance)
    close_endpoint(account, endpoint)
    account.change(instance)


def migrate_endpoint(account: Account, call: Call) -> Json:
    """Give an endpoint with its ip and port to another instance."""
    endpoint, source = _find(account, call)
    target = account.instance(call, call.required("instance_id"))
    for each in (source, target):
        account.require(each)
    _require_free(account, target, endpoint.kind)
    endpoint.instance = target.id
    connect(account, endpoint)
    for each in (source, target):
        account.change(each)
    return endpoint_json(endpoint, call.region)


def kind_of(spec: Spec) -> str:
    """Return the kind of endpoint that a specification asks for."""
    kinds = [kind for kind in (LOAD_BALANCER, PRIVATE_NETWORK) if spec.get(kind) is not None]
    if len(kinds) != 1:
        raise invalid("endpoint_spec", "required", "name one kind of endpoint")
    if kinds[0] == PRIVATE_NETWORK and not spec[PRIVATE_NETWORK].get("private_network_id"):
        raise invalid("endpoint_spec.private_network.private_network_id", "required", "")
    return kinds[0]


def open_endpoint(account: Account, instance: Instance, spec: Spec) -> Endpoint:
    """Give an instance an endpoint with a port of its own."""
    kind, endpoint_id = kind_of(spec), new_id()
    protocol: Protocol = "mysql" if instance.engine == "mysql" else "postgresql"
    details = spec[kind]
    endpoint = Endpoint(
        id=endpoint_id,
        instance=instance.id,
        kind=kind,
        port=account.estate.front.open(endpoint_id, protocol),
        private_network=str(details.get("private_network_id", "")),
        service_ip=str(details.get("service_ip") or ""),
    )
    account.endpoints[endpoint_id] = endpoint
    return endpoint


def connect(account: Account, *endpoints: Endpoint) -> None:
    """Lead endpoints to the servers of the instances that they belong to."""
    for endpoint in endpoints:
        instance = account.instances[endpoint.instance]
        address = account.backends(instance).address(instance.id)
        account.estate.front.route(endpoint.id, address)


def close_endpoint(account: Account, endpoint: Endpoint) -> None:
    """Give an endpoint up with its port."""
    account.estate.front.forget(endpoint.id)
    account.endpoints.pop(endpoint.id, None)


def _find(account: Account, call: Call) -> tuple[Endpoint, Instance]:
    endpoint = account.endpoints.get(call.ids["endpoint_id"])
    instance = account.instances.get(endpoint.instance) if endpoint else None
    if endpoint is None or instance is None or instance.region != call.region:
        raise not_found("endpoint", call.ids["endpoint_id"])
    return endpoint, instance


def _require_free(account: Account, instance: Instance, kind: str) -> None:
    if any(endpoint.kind == kind for endpoint in account.addresses(instance)):
        raise precondition("resource_still_in_use", f"the instance has a {kind} endpoint already")
