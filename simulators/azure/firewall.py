"""Firewall rules: which addresses may reach a server. They are kept, and not in force."""

import ipaddress

from simulators.azure.account import Account, Call
from simulators.azure.answers import child_json, page_json
from simulators.azure.families import Json
from simulators.azure.operations import Answer
from simulators.azure.refusals import ApiError, busy, invalid
from simulators.azure.shapes import PROVISIONING, Server


def list_rules(account: Account, call: Call) -> Answer:
    """Return the rules of a server."""
    server = account.server(call)
    found = [_rule_json(account, server, name) for name in server.rules]
    return page_json(account, call, f"{account.id_of(server)}/firewallRules", found)


def get_rule(account: Account, call: Call) -> Answer:
    """Return one rule."""
    server = account.server(call)
    return _rule_json(account, server, _named(server, call.child))


def put_rule(account: Account, call: Call) -> Answer:
    """Begin to add or change a rule; the server stays as it is meanwhile."""
    server = account.server(call)
    if server.seen_state == PROVISIONING:
        raise busy(server.name)
    rule = {end: _address(call, end) for end in ("startIpAddress", "endIpAddress")}
    name = call.child

    def apply() -> None:
        server.rules[name] = rule

    def result() -> Json:
        return _rule_json(account, server, name)

    lasts = account.estate.durations.change
    return account.begin(server, "rule", lasts, then=apply, result=result)


def delete_rule(account: Account, call: Call) -> Answer:
    """Begin to remove a rule; one that does not exist is as good as removed."""
    server = account.server(call)
    if call.child not in server.rules:
        return None
    name = call.child
    lasts = account.estate.durations.change
    return account.begin(server, "rule", lasts, then=lambda: _remove(server, name))


def _remove(server: Server, name: str) -> None:
    server.rules.pop(name, None)


def _address(call: Call, end: str) -> str:
    told = str(call.properties.get(end) or "")
    try:
        return str(ipaddress.IPv4Address(told))
    except ValueError:
        raise invalid(end, f"'{told}' is no IPv4 address.") from None


def _named(server: Server, name: str) -> str:
    if name not in server.rules:
        raise ApiError(404, "ResourceNotFound", f"The firewall rule '{name}' was not found.")
    return name


def _rule_json(account: Account, server: Server, name: str) -> Json:
    return child_json(account, server, "firewallRules", name, dict(server.rules[name]))
