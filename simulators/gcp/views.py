"""How instances look from outside: late, where lists and labels lag behind."""

import hashlib
from datetime import timedelta

from simulators.gcp import servers, stamps
from simulators.gcp.account import Account
from simulators.gcp.records import Instance
from simulators.gcp.spelling import Json

CENTURY = timedelta(days=36500)


def instance_view(account: Account, instance: Instance) -> Json:
    """Return an instance as its resource."""
    state, _, reason = account.state_of(instance).partition(":")
    home = f"https://sqladmin.googleapis.com/v1/projects/{instance.project}"
    return {
        "kind": "sql#instance",
        "name": instance.name,
        "project": instance.project,
        "state": state,
        **({"suspensionReason": [reason]} if reason else {}),
        **instance.fields,
        "settings": settings_view(account, instance),
        "databaseInstalledVersion": instance.fields["databaseVersion"],
        "instanceType": "CLOUD_SQL_INSTANCE",
        "backendType": "SECOND_GEN",
        "connectionName": f"{instance.project}:{instance.fields['region']}:{instance.name}",
        "selfLink": f"{home}/instances/{instance.name}",
        "createTime": stamps.written(instance.created_at),
        "serviceAccountEmailAddress": "p1234567890@gcp-sa-cloud-sql.iam.gserviceaccount.com",
        **_encryption(instance),
        **(connection_view(account, instance) if instance.made else {}),
    }


def settings_view(account: Account, instance: Instance) -> Json:
    """Return the settings with their version, and with the labels that are visible by now."""
    changed, lag = instance.labels.changed, account.estate.faults.lag
    late = changed is not None and account.estate.clock.elapsed() - changed < lag
    labels = instance.labels.shown if late else instance.settings.get("userLabels", {})
    return {
        **instance.settings,
        "settingsVersion": str(instance.settings_version),
        "userLabels": labels,
    }


def connection_view(account: Account, instance: Instance) -> Json:
    """Return addresses and the certificate that signs the server's."""
    address = servers.address_of(account, instance)
    network = instance.settings.get("ipConfiguration", {})
    kinds = {"PRIMARY": network.get("ipv4Enabled"), "PRIVATE": network.get("privateNetwork")}
    return {
        "ipAddresses": [
            {"type": kind, "ipAddress": address} for kind, wanted in kinds.items() if wanted
        ],
        "serverCaCert": _certificate(account, instance),
    }


def is_listed(account: Account, instance: Instance) -> bool:
    """Return whether lists show an instance by now."""
    return account.estate.clock.elapsed() - instance.appeared >= account.estate.faults.lag


def _encryption(instance: Instance) -> Json:
    if not instance.key:
        return {}
    return {"diskEncryptionStatus": {"kmsKeyVersionName": f"{instance.key}/cryptoKeyVersions/1"}}


def _certificate(account: Account, instance: Instance) -> Json:
    authority = account.estate.front.authority.read_text()
    return {
        "kind": "sql#sslCert",
        "certSerialNumber": "0",
        "cert": authority,
        "commonName": "C=US,O=Google\\, Inc,CN=Google Cloud SQL Server CA",
        "sha1Fingerprint": hashlib.sha1(authority.encode(), usedforsecurity=False).hexdigest(),
        "instance": instance.name,
        "createTime": stamps.written(instance.created_at),
        "expirationTime": stamps.written(instance.created_at + CENTURY),
    }
