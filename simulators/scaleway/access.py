"""Who may connect to an instance, with which certificate, and the settings of its engine."""

import base64
import ipaddress
import re

from simulators.scaleway.account import Account, Call
from simulators.scaleway.answers import rule_json, settings_json
from simulators.scaleway.nodes import default_settings
from simulators.scaleway.reading import page_of
from simulators.scaleway.refusals import invalid
from simulators.scaleway.shapes import Instance, Json, Rule

SETTING = re.compile(r"[a-z][a-z_.]{1,62}")
WHOLE = frozenset(("max_connections", "work_mem", "effective_cache_size", "maintenance_work_mem"))


def list_rules(account: Account, call: Call) -> Json:
    """Return who may connect."""
    told = _rules(account, account.instance(call))
    return page_of("rules", told, call)


def set_rules(account: Account, call: Call) -> Json:
    """Replace every range."""
    return _with_rules(account, call, _given(call))


def add_rules(account: Account, call: Call) -> Json:
    """Add ranges; one that is there already keeps its place."""
    old = account.instance(call).rules
    new = _given(call)
    return _with_rules(account, call, [*(each for each in old if each not in new), *new])


def delete_rules(account: Account, call: Call) -> Json:
    """Remove ranges by their address."""
    gone = {_range(ip) for ip in call.body.get("acl_rule_ips") or ()}
    kept = [rule for rule in account.instance(call).rules if rule.ip not in gone]
    return _with_rules(account, call, kept)


def set_settings(account: Account, call: Call) -> Json:
    """Replace the settings by those given."""
    return _with_settings(account, call, _chosen(call))


def add_settings(account: Account, call: Call) -> Json:
    """Change the settings given and keep the others."""
    return _with_settings(account, call, account.instance(call).settings | _chosen(call))


def delete_settings(account: Account, call: Call) -> Json:
    """Set the settings named back to what they are by default."""
    instance, gone = account.instance(call), call.body.get("setting_names") or ()
    defaults = default_settings(instance.engine, instance.node_type)
    kept = {name: value for name, value in instance.settings.items() if name not in gone}
    back = {name: value for name, value in defaults.items() if name in gone}
    return _with_settings(account, call, kept | back)


def get_certificate(account: Account, call: Call) -> Json:
    """Return the certificate that signs those of all endpoints."""
    account.instance(call)
    content = base64.b64encode(account.estate.front.authority.read_bytes()).decode()
    return {"name": "ssl_certificate", "content_type": "application/x-pem-file", "content": content}


def list_users(account: Account, call: Call) -> Json:
    """Return the login that was made with the instance."""
    instance = account.instance(call)
    users = [{"name": instance.master.user, "is_admin": True}]
    return page_of("users", users, call)


def list_databases(account: Account, call: Call) -> Json:
    """Return the database that was made with the instance."""
    master = account.instance(call).master
    told = {"name": master.database, "owner": master.user, "managed": True, "size": 0}
    return page_of("databases", [told], call)


def _with_rules(account: Account, call: Call, rules: list[Rule]) -> Json:
    instance = account.instance(call)
    account.require(instance)
    instance.rules = rules
    account.change(instance)
    return {"rules": _rules(account, instance)}


def _rules(account: Account, instance: Instance) -> list[Json]:
    endpoints = account.addresses(instance)
    port = endpoints[0].port if endpoints else None
    return [rule_json(rule, port) for rule in instance.rules]


def _given(call: Call) -> list[Rule]:
    rules = call.body.get("rules") or ()
    return [Rule(_range(rule["ip"]), str(rule.get("description") or "")) for rule in rules]


def _range(ip: str) -> str:
    try:
        return str(ipaddress.ip_network(ip))
    except ValueError as error:
        raise invalid("rules", "format", str(error)) from error


def _with_settings(account: Account, call: Call, settings: dict[str, str]) -> Json:
    instance = account.instance(call)
    account.require(instance)
    instance.settings = dict(sorted(settings.items()))
    account.change(instance)
    return {"settings": settings_json(instance.settings)}


def _chosen(call: Call) -> dict[str, str]:
    chosen = {str(each["name"]): str(each["value"]) for each in call.body.get("settings") or ()}
    for name, value in chosen.items():
        if not SETTING.fullmatch(name):
            raise invalid("settings", "constraint", f"unknown setting {name}")
        if name in WHOLE and not value.isdigit():
            raise invalid("settings", "format", f"{name} must be a whole number")
    return chosen
