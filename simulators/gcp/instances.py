"""The calls about instances, apart from those that restore."""

import copy
import re
from collections.abc import Callable
from typing import Any

from simulators.backends import Master
from simulators.gcp import filters, jobs, refusals, servers, stamps, views
from simulators.gcp.account import Account
from simulators.gcp.calls import Call
from simulators.gcp.jobs import Plan
from simulators.gcp.records import Instance
from simulators.gcp.shapes import (
    FIXED,
    check,
    completed,
    instance_fields,
    merged,
    recovers_to_a_time,
)
from simulators.gcp.spelling import Json

SUPERUSERS = {"postgresql": "postgres", "mysql": "root"}
NAME = r"[a-z]([-a-z0-9]{0,96}[a-z0-9])?"


def list_(account: Account, call: Call) -> Json:
    """Answer List."""
    gone = account.switches.unreachable_regions
    known = [each for each in account.instances.values() if each.project == call.project]
    shown = [
        views.instance_view(account, each)
        for each in known
        if views.is_listed(account, each) and each.fields["region"] not in gone
    ]
    found = filters.chosen(shown, call.query.get("filter", ""))
    items, following = filters.page(found, call.size(500), call.query.get("pageToken", ""))
    warnings = [
        {"code": "REGION_UNREACHABLE", "region": region, "message": f"{region} cannot be reached"}
        for region in sorted(gone & {each.fields["region"] for each in known})
    ]
    return {"kind": "sql#instancesList", "items": items, "warnings": warnings, **following}


def get(account: Account, call: Call) -> Json:
    """Answer Get."""
    return views.instance_view(account, account.instance(call.project, call.instance))


def insert(account: Account, call: Call) -> Json:
    """Answer Insert."""
    name, fields = str(call.body.get("name", "")), completed(instance_fields(call.body))
    require_name(name)
    check(fields)
    account.require_free(call.project, name)
    password = str(call.body.get("rootPassword", ""))
    made = account.add(call.project, name, fields, Master("", password, "app"))
    made.master = Master(SUPERUSERS[made.engine], password, "app")
    return begin_making(account, made, "CREATE", servers.creating(account, made))


def require_name(name: str) -> None:
    """Refuse a name that no instance may have."""
    if re.fullmatch(NAME, name) is None:
        raise refusals.invalid(
            f"Invalid instance name ({name}): use lowercase letters, numbers, and hyphens;"
            " start with a letter"
        )


def begin_making(
    account: Account,
    made: Instance,
    kind: str,
    work: Callable[[], None],
    source: Instance | None = None,
) -> Json:
    """Begin the operation by which an instance comes into being; it stays FAILED if that fails."""
    durations = account.estate.durations
    plan = Plan(
        kind,
        durations.create if kind == "CREATE" else durations.restore,
        work,
        lambda: made.become("RUNNABLE"),
        lambda: made.become("FAILED"),
        planned_error=obstacle(account, made, source),
        also_holds=[source] if source and account.switches.clone_holds_source else [],
    )
    return jobs.begin(account, made, plan)


def obstacle(account: Account, made: Instance, source: Instance | None) -> tuple[str, str] | None:
    """Return why an instance cannot be made, which its operation tells and not the call."""
    keys = {made.key, source.key if source else ""}
    blind = source is not None and account.state_of(source).endswith(":KMS_KEY_ISSUE")
    if blind or keys & account.switches.disabled_keys:
        return "CLOUD_KMS_KEY_ERROR", f"The key {made.key} is disabled or cannot be accessed."
    zone = made.fields["gceZone"]
    if zone in account.switches.full_zones:
        return (
            "ERROR_GCE_STOCKOUT",
            f"The zone {zone} does not have sufficient resources at the moment.",
        )
    return None


def patch(account: Account, call: Call) -> Json:
    """Answer Patch: what is not sent stays as it is."""
    instance = account.instance(call.project, call.instance)
    change = _change(instance, call.body)
    return _begin_update(account, instance, merged(instance.fields, change))


def update(account: Account, call: Call) -> Json:
    """Answer Update: settings that are not sent go back to their defaults."""
    instance = account.instance(call.project, call.instance)
    if "settingsVersion" not in call.body.get("settings", {}):
        raise refusals.required("Settings version")
    change = _change(instance, call.body)
    kept = {name: value for name, value in instance.fields.items() if name != "settings"}
    return _begin_update(account, instance, completed(merged(kept, change)))


def _change(instance: Instance, body: Any) -> Json:  # noqa: ANN401 - JSON
    """Return what a body changes; refuse a stale version, and changes of what is fixed."""
    change = instance_fields(body)
    version = change.get("settings", {}).pop("settingsVersion", None)
    if version is not None and int(version) != instance.settings_version:
        raise refusals.stale()
    for name in FIXED:
        if change.pop(name, instance.fields.get(name)) != instance.fields.get(name):
            raise refusals.invalid(f"{name} cannot be changed")
    return change


def _begin_update(account: Account, instance: Instance, fields: Json) -> Json:
    check(fields)
    policy = fields["settings"].get("activationPolicy")
    switched = policy != instance.settings.get("activationPolicy")
    plan = Plan(
        "UPDATE",
        account.estate.durations.change,
        servers.switching(account, instance, policy) if switched else None,
        lambda: _apply(account, instance, fields),
    )
    return jobs.begin(account, instance, plan)


def _apply(account: Account, instance: Instance, fields: Json) -> None:
    old, new = instance.settings.get("userLabels", {}), fields["settings"].get("userLabels", {})
    if old != new:
        instance.labels.shown = views.settings_view(account, instance)["userLabels"]
        instance.labels.changed = account.estate.clock.elapsed()
    if recovers_to_a_time(fields) and not recovers_to_a_time(instance.fields):
        instance.logged_since = account.estate.clock.now()
    instance.fields = copy.deepcopy(fields)
    instance.settings_version += 1


def recovery_times(account: Account, call: Call) -> Json:
    """Answer GetLatestRecoveryTime, for deleted instances too."""
    deleted = call.query.get("sourceInstanceDeletionTime", "")
    earliest, latest = servers.window(account, account.source(call.project, call.instance, deleted))
    return {
        "kind": "sql#getLatestRecoveryTime",
        "earliestRecoveryTime": stamps.written(earliest),
        "latestRecoveryTime": stamps.written(latest),
    }


def connect_settings(account: Account, call: Call) -> Json:
    """Answer GetConnectSettings."""
    instance = account.instance(call.project, call.instance)
    return {
        "kind": "sql#connectSettings",
        "region": instance.fields["region"],
        "databaseVersion": instance.fields["databaseVersion"],
        "backendType": "SECOND_GEN",
        **(views.connection_view(account, instance) if instance.made else {}),
    }


def users(account: Account, call: Call) -> Json:
    """Answer Users.List, with the first user alone: the others are in the database."""
    instance = account.instance(call.project, call.instance)
    user = {
        "kind": "sql#user",
        "name": instance.master.user,
        "instance": instance.name,
        "project": instance.project,
    }
    return {"kind": "sql#usersList", "items": [user]}
