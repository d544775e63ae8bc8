"""Upgrades of an instance: its node, its volume, availability, encryption."""

from collections.abc import Callable

from simulators.scaleway.account import Account, Call, release_full_disk
from simulators.scaleway.instances import HA_MODES, availability, node_of
from simulators.scaleway.nodes import VOLUME_STEP, VOLUMES
from simulators.scaleway.reading import told
from simulators.scaleway.refusals import invalid
from simulators.scaleway.shapes import DISK_FULL, Instance, Json

Apply = Callable[[], None]


def upgrade_instance(account: Account, call: Call) -> Json:
    """Begin one upgrade; it takes effect at its end. A full disk allows a larger volume alone."""
    instance = account.instance(call)
    account.require(instance, *((DISK_FULL,) if "volume_size" in call.body else ()))
    apply = _applied(account, instance, call.body)
    release_full_disk(instance)
    lasts = account.estate.durations.change
    account.begin(instance, "change", lasts, status="configuring", then=apply)
    return told(account, instance)


def _applied(account: Account, instance: Instance, body: Json) -> Apply:
    """Return what the upgrade changes, checked."""
    chosen = next(iter(body), "")
    if chosen == "node_type":
        node = node_of(account, str(body["node_type"]))
        return lambda: setattr(instance, "node_type", node)
    if chosen in ("enable_ha", "high_availability_mode"):
        return _available(instance, body)
    if chosen in ("volume_size", "volume_type"):
        return _enlarged(instance, body)
    if chosen == "enable_encryption":
        return _encrypted(instance, wanted=bool(body["enable_encryption"]))
    raise invalid(chosen or "upgrade_target", "constraint", "the stand-in knows no such upgrade")


def _available(instance: Instance, body: Json) -> Apply:
    mode = body.get("high_availability_mode")
    if mode is not None and mode not in HA_MODES:
        raise invalid("high_availability_mode", "constraint", f"unknown mode {mode}")
    wanted = availability({"is_ha_cluster": body.get("enable_ha"), "high_availability_mode": mode})
    return lambda: setattr(instance, "high_availability", wanted)


def _enlarged(instance: Instance, body: Json) -> Apply:
    if "volume_type" in body:
        kind = str(body["volume_type"])
        if kind not in VOLUMES:
            raise invalid("volume_type", "constraint", f"unknown volume type {kind}")
        return lambda: setattr(instance.volume, "type", kind)
    size = int(body["volume_size"])
    if size <= instance.volume.size or size % VOLUME_STEP:
        raise invalid("volume_size", "constraint", "must be larger, in steps of 5 GB")
    return lambda: setattr(instance.volume, "size", size)


def _encrypted(instance: Instance, *, wanted: bool) -> Apply:
    if not wanted:
        raise invalid("enable_encryption", "constraint", "encryption cannot be undone")
    return lambda: setattr(instance, "encrypted", True)
