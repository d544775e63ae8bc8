"""Reads Cloud SQL instances into the common form."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from google.cloud import sqladmin_v1 as sql
from google.protobuf import json_format

from domain.errors import UnsupportedResourceError
from domain.recovery import Tls
from domain.resources import Engine
from providers.gcp.fields import FIELDS, Json, at, text_of
from providers.managed.model import Encrypted, Encryption, Instance, Keeping, KeyOwner, State
from providers.managed.names import own_tags

STOPPED = "STOPPED"
SETTINGS_VERSION = "settings version"
OURS = "refloat-"
CLIENT_CERTIFICATES = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
_STATES = {
    "RUNNABLE": State.READY,
    "SUSPENDED": State.NEEDS_ACTION,
    "PENDING_DELETE": State.GOING,
    "FAILED": State.FAILED,
}
_PORTS = {Engine.POSTGRESQL: 5432, Engine.MYSQL: 3306}
_GIB = 2**30


def json_of(found: object) -> Json:
    """Return a message as the JSON it came in: names for enumerations, nothing for what is unset."""
    message = cast("Any", type(found)).pb(found)
    return cast("Json", json_format.MessageToDict(message))


def moment(stamp: Any) -> datetime | None:  # noqa: ANN401 - the SDK declares a protobuf stamp, and hands out its own class
    """Return a stamp of the SDK as a plain moment, rounded down to microseconds."""
    return stamp.timestamp_pb().ToDatetime(tzinfo=UTC) if stamp else None


def state_of(told: Json) -> tuple[State, str]:
    """Return what a state means, and Cloud SQL's word for it with the reasons of a suspension.

    One that the SDK does not know arrives as none; it means busy, until the deadline. A stopped
    instance still calls itself runnable.
    """
    word = str(told.get("state", "UNKNOWN"))
    if word == "RUNNABLE" and at(told, "settings.activationPolicy") == "NEVER":
        return State.NEEDS_ACTION, STOPPED
    reasons = ", ".join(map(str, told.get("suspensionReason", [])))
    return _STATES.get(word, State.BUSY), f"{word}: {reasons}" if reasons else word


def engine_of(told: Json) -> Engine:
    """Return the engine.

    Raises:
        UnsupportedResourceError: it is SQL Server.
    """
    version = _version(told)
    if version.startswith("SQLSERVER"):
        raise UnsupportedResourceError(
            f"{told.get('name')}: it is SQL Server, and Refloat restores PostgreSQL and MySQL"
        )
    return Engine.MYSQL if version.startswith("MYSQL") else Engine.POSTGRESQL


def is_read(told: Json) -> bool:
    """Return whether an instance is of an engine that Refloat restores."""
    return not _version(told).startswith("SQLSERVER")


def _version(told: Json) -> str:
    return str(told.get("databaseInstalledVersion") or told.get("databaseVersion", ""))


def instance_of(found: sql.DatabaseInstance, ca_file: str) -> Instance:
    """Return an instance in the common form; its name is its identity, for none is ever renamed."""
    told = json_of(found)
    engine, (state, word), (host, port) = engine_of(told), state_of(told), _address(told)
    return Instance(
        name=found.name,
        id=found.name,
        state=state,
        told=word,
        engine=engine,
        version=_version(told).partition("_")[2].replace("_", "."),
        host=host,
        port=port or _PORTS[engine],
        tls=_tls(told, ca_file),
        tags=tags_of(found.name, labels_of(told)),
        settings=settings_of(told),
        created_at=moment(found.create_time),
        size_bytes=_size(told),
        encryption=_encryption(told),
        keeping=_keeping(told),
    )


def labels_of(told: Json) -> dict[str, str]:
    """Return the labels; a patch cannot remove one, so an empty one counts as none."""
    labels = at(told, "settings.userLabels") or {}
    return {key: value for key, value in labels.items() if value}


def tags_of(name: str, labels: Mapping[str, str]) -> Mapping[str, str]:
    """Return the labels without those of ours that a clone inherited."""
    return own_tags(name, labels)


def _address(told: Json) -> tuple[str, int]:
    """Return the private address where there is one; a stand-in writes its port behind."""
    addresses = {one.get("type"): one.get("ipAddress") for one in told.get("ipAddresses", [])}
    found = addresses.get("PRIVATE") or addresses.get("PRIMARY") or told.get("dnsName") or ""
    host, _, port = str(found).partition(":")
    return host, int(port or 0)


def _tls(told: Json, ca_file: str) -> Tls:
    """Return how the server is verified: its certificate names no address, so the authority alone."""
    if ca_file:
        return Tls(ca_file=ca_file)
    authority = at(told, "serverCaCert.cert")
    return Tls(ca=authority, verify="ca") if authority else Tls()


def _size(told: Json) -> int | None:
    used, disk = told.get("currentDiskSize"), at(told, "settings.dataDiskSizeGb")
    return int(used or 0) or int(disk or 0) * _GIB or None


def _encryption(told: Json) -> Encryption:
    """Return the encryption, which Cloud SQL never lets anybody turn off."""
    key = at(told, "diskEncryptionConfiguration.kmsKeyName") or ""
    if key:
        return Encryption(Encrypted.YES, KeyOwner.CUSTOMER, key)
    return Encryption(Encrypted.YES, KeyOwner.PROVIDER, rotation="by Google")


def _recovers_to_a_time(told: Json) -> bool:
    """Return whether logs are kept: PostgreSQL has a word of its own for it, MySQL another."""
    kept = at(told, "settings.backupConfiguration") or {}
    return bool(kept.get("pointInTimeRecoveryEnabled") or kept.get("binaryLogEnabled"))


def _keeping(told: Json) -> Keeping:
    kept = at(told, "settings.backupConfiguration") or {}
    enabled = bool(kept.get("enabled"))
    return Keeping(
        enabled=enabled,
        kept=at(kept, "backupRetentionSettings.retainedBackups"),
        unit="backups",
        point_in_time=enabled and _recovers_to_a_time(told),
    )


def settings_of(told: Json) -> dict[str, str]:
    """Return everything that the carry-over table compares, and the version a change must name."""
    settings = told.get("settings", {})
    network = settings.get("ipConfiguration", {})
    connect = network.get("pscConfig", {})
    values = {name: each.read(settings) for name, each in FIELDS.items()} | {
        "public address": _is_public(told),
        "TLS": _tls_mode(network),
        "restore to a time": _recovers_to_a_time(told),
        "labels": {k: v for k, v in labels_of(told).items() if not k.startswith(OURS)},
        "private service connect": sorted(connect.get("allowedConsumerProjects", []))
        if connect.get("pscEnabled")
        else None,
        "server certificate": [
            network.get("serverCaMode", "GOOGLE_MANAGED_INTERNAL_CA"),
            network.get("serverCaPool", ""),
            sorted(network.get("customSubjectAlternativeNames", [])),
            network.get("serverCertificateRotationMode", "NO_AUTOMATIC_ROTATION"),
        ],
        "encryption key": at(told, "diskEncryptionConfiguration.kmsKeyName"),
        "region": told.get("region"),
        "zones": sorted({told.get("gceZone", ""), told.get("secondaryGceZone", "")} - {""}),
        "read replicas": sorted(told.get("replicaNames", [])),
        SETTINGS_VERSION: settings.get("settingsVersion"),
    }
    return {name: text_of(value) for name, value in values.items()}


def _is_public(told: Json) -> bool:
    """Return whether there is a public address; where it is not said, the addresses tell."""
    said = at(told, "settings.ipConfiguration.ipv4Enabled")
    kinds = {one.get("type") for one in told.get("ipAddresses", [])}
    return bool("PRIMARY" in kinds if said is None else said)


def _tls_mode(network: Json) -> str:
    """Return what connections need; older instances say it with another word, which counts less."""
    usual = CLIENT_CERTIFICATES if network.get("requireSsl") else "ALLOW_UNENCRYPTED_AND_ENCRYPTED"
    return str(network.get("sslMode", usual))
