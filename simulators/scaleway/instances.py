"""Instances: listed, made, changed, restarted, deleted."""

from dataclasses import replace
from datetime import timedelta

from simulators.backends import Master
from simulators.scaleway.account import Account, Call, new_id
from simulators.scaleway.answers import ENGINES
from simulators.scaleway.endpoints import close_endpoint, connect, kind_of, open_endpoint
from simulators.scaleway.nodes import NODE_TYPES, VOLUMES, default_settings
from simulators.scaleway.reading import listed, page_of, seen_until, told
from simulators.scaleway.refusals import invalid, out_of_stock
from simulators.scaleway.shapes import (
    DELETING,
    DISK_FULL,
    ERROR,
    LOCKED,
    PRIVATE_NETWORK,
    Instance,
    Json,
    LogsPolicy,
    Schedule,
    Tags,
    Volume,
)

PUBLIC: Json = {"load_balancer": {}}
HA_MODES = ("disabled", "single_zone", "multiple_zone")
PROVISIONING = "provisioning"


def list_instances(account: Account, call: Call) -> Json:
    """Return the instances that have every tag asked for; none has a maintenance."""
    until, project = seen_until(account), call.query.get("project_id")
    wanted = [] if call.query.get("has_maintenances") == "True" else account.instances.values()
    found = [
        told(account, instance)
        for instance in listed(account, wanted, call)
        if project in (None, instance.project) and set(call.tags) <= set(instance.tags.seen(until))
    ]
    return page_of("instances", found, call)


def get_instance(account: Account, call: Call) -> Json:
    """Return one instance."""
    return told(account, account.instance(call))


def create_instance(account: Account, call: Call) -> Json:
    """Begin an empty instance."""
    instance = _described(account, call)
    account.add(instance)
    specs = call.body.get("init_endpoints") or [PUBLIC]
    for spec in specs:
        if kind_of(spec) == PRIVATE_NETWORK:
            open_endpoint(account, instance, spec)
    late = [spec for spec in specs if kind_of(spec) != PRIVATE_NETWORK]
    backends = account.backends(instance)

    def make() -> None:
        backends.create(instance.id, version=instance.version, master=instance.master)

    def finish() -> None:
        instance.settings = default_settings(instance.engine, instance.node_type)
        finish_with(account, instance, late)

    lasts = account.estate.durations.create
    account.begin(instance, "create", lasts, status=PROVISIONING, work=make, then=finish)
    return told(account, instance, fresh=True)


def finish_with(account: Account, instance: Instance, specs: list[Json]) -> None:
    """Open the endpoints that an instance gets when it is ready, and lead all to its server."""
    for spec in specs:
        open_endpoint(account, instance, spec)
    connect(account, *account.addresses(instance))


def update_instance(account: Account, call: Call) -> Json:
    """Change what a call names, and nothing else."""
    instance = account.instance(call)
    account.require(instance)
    body = call.body
    for name in ("backup_schedule_retention", "backup_schedule_frequency"):
        if name in body and int(body[name]) < 1:
            raise invalid(name, "constraint", "must be above 0")
    if body.get("tags") is not None:
        instance.tags.write(account.estate.clock.elapsed(), tuple(body["tags"]))
    if body.get("logs_policy"):
        instance.logs_policy = replace(instance.logs_policy, **body["logs_policy"])
    instance.name = str(body.get("name") or instance.name)
    instance.same_region = bool(body.get("backup_same_region", instance.same_region))
    _reschedule(account, instance, body)
    account.change(instance)
    return told(account, instance, fresh=True)


def restart_instance(account: Account, call: Call) -> Json:
    """Stop an instance's server and start it again; the endpoints stay."""
    instance = account.instance(call)
    account.require(instance)
    backends = account.backends(instance)

    def restart() -> None:
        backends.stop(instance.id)
        backends.start(instance.id)
        with account.lock:
            connect(account, *account.addresses(instance))

    lasts = account.estate.durations.change
    account.begin(instance, "change", lasts, status="restarting", work=restart)
    return told(account, instance)


def delete_instance(account: Account, call: Call) -> Json:
    """Remove an instance; its snapshots stay, and nothing protects it."""
    instance = account.instance(call)
    account.require(instance, ERROR, LOCKED, DISK_FULL)
    backends = account.backends(instance)
    instance.held = ""

    def remove() -> None:
        backends.remove(instance.id, retain=False)

    def forget() -> None:
        account.instances.pop(instance.id, None)
        for endpoint in account.addresses(instance):
            close_endpoint(account, endpoint)

    for endpoint in account.addresses(instance):
        account.estate.front.route(endpoint.id, None)
    lasts = account.estate.durations.delete
    account.begin(instance, "delete", lasts, status=DELETING, work=remove, then=forget)
    return told(account, instance)


def node_of(account: Account, name: str) -> str:
    """Return a node type that exists and of which there is one left; case does not matter."""
    node = name.lower()
    if node not in NODE_TYPES:
        raise invalid("node_type", "constraint", f"unknown node type {name}")
    if account.stock.get(node) == "out_of_stock":
        raise out_of_stock(node)
    return node


def availability(body: Json) -> str:
    """Return the high-availability mode that a call asks for."""
    mode = body.get("high_availability_mode")
    if mode in HA_MODES:
        return str(mode)
    return "single_zone" if body.get("is_ha_cluster") else "disabled"


def _described(account: Account, call: Call) -> Instance:
    engine, version = _engine(call.required("engine"))
    user, password = call.required("user_name"), call.required("password")
    volume_type = str(call.body.get("volume_type") or "lssd")
    if volume_type not in VOLUMES:
        raise invalid("volume_type", "constraint", f"unknown volume type {volume_type}")
    clock, tags = account.estate.clock, tuple(call.body.get("tags") or ())
    instance = Instance(
        id=new_id(),
        region=call.region,
        name=call.required("name"),
        created_at=clock.now(),
        made_at=clock.elapsed(),
        project=call.required("project_id"),
        engine=engine,
        version=version,
        node_type=node_of(account, call.required("node_type")),
        high_availability=availability(call.body),
        volume=Volume(volume_type, int(call.body.get("volume_size") or 0)),
        encrypted=bool((call.body.get("encryption") or {}).get("enabled")),
        master=Master(user, password, "rdb"),
        tags=Tags([(clock.elapsed(), tags)]),
        schedule=Schedule(disabled=bool(call.body.get("disable_backup"))),
        same_region=bool(call.body.get("backup_same_region")),
        logs_policy=LogsPolicy(),
    )
    schedule_next(account, instance)
    return instance


def _engine(wanted: str) -> tuple[str, str]:
    name, _, version = wanted.partition("-")
    known = {label.lower(): engine for engine, label in ENGINES.items()}
    if name.lower() not in known or not version:
        raise invalid("engine", "constraint", f"unknown engine {wanted}")
    return known[name.lower()], version


def schedule_next(account: Account, instance: Instance) -> None:
    """Say when the next automatic backup is made, counted from now."""
    hours = timedelta(hours=instance.schedule.frequency)
    instance.schedule.next_run_at = account.estate.clock.now() + hours


def _reschedule(account: Account, instance: Instance, body: Json) -> None:
    names = {
        "backup_schedule_frequency": "frequency",
        "backup_schedule_retention": "retention",
        "is_backup_schedule_disabled": "disabled",
    }
    changes = {field: body[name] for name, field in names.items() if body.get(name) is not None}
    if changes:
        instance.schedule = replace(instance.schedule, **changes)
        schedule_next(account, instance)
