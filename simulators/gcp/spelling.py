"""The spellings that Google's JSON allows, made one: camel case, names for enumerations, 64 bits as text."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from simulators.gcp import refusals, stamps

Json: TypeAlias = dict[str, Any]
"""A resource as it travels."""

NUMBERS: Mapping[str, Mapping[int, str]] = {
    "availabilityType": {1: "ZONAL", 2: "REGIONAL"},
    "activationPolicy": {1: "ALWAYS", 2: "NEVER", 3: "ON_DEMAND"},
    "edition": {2: "ENTERPRISE", 3: "ENTERPRISE_PLUS", 5: "DEVELOPER"},
    "pricingPlan": {1: "PACKAGE", 2: "PER_USE"},
    "replicationType": {1: "SYNCHRONOUS", 2: "ASYNCHRONOUS"},
    "dataDiskType": {1: "PD_SSD", 2: "PD_HDD", 4: "HYPERDISK_BALANCED"},
    "connectorEnforcement": {1: "NOT_REQUIRED", 2: "REQUIRED"},
    "backupTier": {1: "STANDARD", 2: "ADVANCED", 3: "ENHANCED"},
    "retentionUnit": {1: "COUNT"},
    "updateTrack": {1: "canary", 2: "stable", 3: "week5"},
    "sslMode": {
        1: "ALLOW_UNENCRYPTED_AND_ENCRYPTED",
        2: "ENCRYPTED_ONLY",
        3: "TRUSTED_CLIENT_CERTIFICATE_REQUIRED",
    },
    "databaseVersion": {
        110: "POSTGRES_14",
        172: "POSTGRES_15",
        272: "POSTGRES_16",
        408: "POSTGRES_17",
        557: "POSTGRES_18",
        20: "MYSQL_8_0",
        398: "MYSQL_8_4",
    },
}
"""Names of the enumerations that callers send, which some clients send as numbers."""
LONG = frozenset(
    (
        "settingsVersion",
        "dataDiskSizeGb",
        "storageAutoResizeLimit",
        "dataDiskProvisionedIops",
        "dataDiskProvisionedThroughput",
        "backupRunId",
        "ttlDays",
    )
)
"""Numbers of 64 bits, which travel as text."""
FREE = frozenset(("userLabels",))
"""Maps whose keys are the caller's own."""


def spelled(body: object) -> Json:
    """Return a JSON object in the one spelling; refuse anything else."""
    if not isinstance(body, Mapping):
        raise refusals.invalid("the body is no JSON object")
    return {_camel(name): _value(_camel(name), value) for name, value in body.items()}


def moment(text: str, field: str) -> datetime:
    """Return the moment in a field; refuse a text that is none."""
    try:
        return stamps.read(text)
    except ValueError as error:
        raise refusals.invalid(
            f"Invalid value at '{field}' (type.googleapis.com/google.protobuf.Timestamp),"
            " Invalid time format: Failed to parse input"
        ) from error


def _value(name: str, value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value) if name in FREE else spelled(value)
    if isinstance(value, list | tuple):
        return [_value("", each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return _number(name, value)
    return value


def _number(name: str, value: int) -> object:
    if name in LONG:
        return str(value)
    if name not in NUMBERS:
        return value
    if value not in NUMBERS[name]:
        raise refusals.invalid(f"Invalid value at '{name}': {value}")
    return NUMBERS[name][value]


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match.group(1).upper(), name)
