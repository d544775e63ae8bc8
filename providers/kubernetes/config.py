"""Which cluster is meant and as whom: kubeconfig, context, credential plugin, or the pod's own."""

import json
import logging
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import urllib3
from kubernetes.client import Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.dateutil import parse_rfc3339
from kubernetes.config.exec_provider import ExecProvider
from kubernetes.config.incluster_config import SERVICE_HOST_ENV_NAME, load_incluster_config
from kubernetes.config.kube_config import FileOrData, KubeConfigLoader, KubeConfigMerger

_PLUGIN = timedelta(seconds=60)
"""How long a credential plugin may take; one that asks a person would wait for ever."""
_EARLY = timedelta(seconds=30)
_HOME = Path("~/.kube/config")


@dataclass(frozen=True)
class Access:
    """The way to one cluster; `until` is when credentials that cannot be renewed in place end."""

    settings: Configuration
    headers: tuple[tuple[str, str], ...] = ()
    until: datetime | None = None

    def usable(self) -> bool:
        """Return whether the credentials still hold."""
        return self.until is None or datetime.now(UTC) < self.until - _EARLY


class Loader(KubeConfigLoader):  # type: ignore[misc] # the client is not annotated
    """The client's loader; a credential plugin that fails is told, where the client's own goes on.

    Without credentials every call would be refused as anonymous, and the plugin's words, which say
    what to do, would be in a log alone. The plugin is also given a time to end in, and no terminal.
    """

    expiry: datetime | None = None

    def _load_from_exec_plugin(self) -> bool | None:
        """Run the plugin and keep the token or certificate it gives."""
        if "exec" not in self._user:
            return None
        folder = self._get_base_path(self._cluster.path)
        provider = ExecProvider(self._user["exec"], folder, self._cluster)
        status = _run(provider)
        if "token" in status:
            self.token = f"Bearer {status['token']}"
        elif "clientCertificateData" in status and "clientKeyData" in status:
            self.cert_file, self.key_file = (
                FileOrData(
                    status,
                    None,
                    data_key_name=name,
                    file_base_path=folder,
                    base64_file_content=False,
                    temp_file_path=self._temp_file_path,
                ).as_file()
                for name in ("clientCertificateData", "clientKeyData")
            )
        else:
            message = (
                f"exec: {provider.args[0]} gave neither a token nor a certificate with its key"
            )
            raise ConfigException(message)
        given = status.get("expirationTimestamp")
        self.expiry = parse_rfc3339(given) if given else None
        if self.expiry is None:
            self.__dict__.pop("expiry", None)  # the client renews by whether the name is there
        return True


def _run(provider: ExecProvider) -> dict[str, Any]:
    """Return the `status` of what a credential plugin printed; what it printed is never shown."""
    asked = {
        "apiVersion": provider.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    if provider.cluster:
        known = dict(provider.cluster.value)
        named = {one["name"]: one["extension"] for one in known.pop("extensions", None) or ()}
        config = named.get("client.authentication.k8s.io/exec")
        asked["spec"] = {
            "interactive": False,
            "cluster": {**known, **({"config": config} if config is not None else {})},
        }
    program = provider.args[0]
    try:
        ran = subprocess.run(
            provider.args,
            env={**provider.env, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
            cwd=provider.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PLUGIN.total_seconds(),
            check=False,
        )
    except FileNotFoundError:
        message = f"exec: there is no program {program}; install it where the worker runs"
        raise ConfigException(message) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"exec: {program} did not end by itself: {type(error).__name__}"
        raise ConfigException(message) from None
    if ran.returncode:
        message = f"exec: {program} ended with {ran.returncode}: {ran.stderr.strip()[-300:]}"
        raise ConfigException(message)
    try:
        given = json.loads(ran.stdout)
        status = given["status"]
    except (ValueError, KeyError, TypeError):
        message = f"exec: {program} printed no ExecCredential"
        raise ConfigException(message) from None
    if given.get("apiVersion") != provider.api_version or not isinstance(status, dict):
        message = f"exec: {program} speaks {given.get('apiVersion')}, not {provider.api_version}"
        raise ConfigException(message)
    return status


def kubeconfig_paths(base: Path, kubeconfig: str) -> str:
    """Return the kubeconfig files as the client takes them, or nothing where none exists.

    A path of the catalog is relative to the catalog, and must exist.
    """
    if kubeconfig:
        path = base / Path(kubeconfig).expanduser()
        if not path.is_file():
            message = f"there is no file {path}"
            raise ConfigException(message)
        return str(path)
    named = os.environ.get("KUBECONFIG", "")
    if named:
        return named
    home = _HOME.expanduser()
    return str(home) if home.is_file() else ""


def load(base: Path, kubeconfig: str, context: str) -> Access:
    """Return the way to the cluster of a context.

    Raises `ConfigException` of the client, to be translated where it is called.
    """
    settings = Configuration()
    # Temporal repeats what fails; one more try is for a kept connection that the server closed
    settings.retries = urllib3.Retry(
        total=1, redirect=False, status=0, backoff_factor=0, respect_retry_after_header=False
    )
    paths = kubeconfig_paths(base, kubeconfig)
    if not paths and os.environ.get(SERVICE_HOST_ENV_NAME):
        load_incluster_config(client_configuration=settings)
        return Access(settings)
    if not paths:
        message = "there is no kubeconfig: neither KUBECONFIG nor ~/.kube/config, and no pod's own"
        raise ConfigException(message)
    return _from_files(settings, paths, context)


def _from_files(settings: Configuration, paths: str, context: str) -> Access:
    merged = KubeConfigMerger(paths)
    if merged.config is None:
        message = f"nothing is in {paths}"
        raise ConfigException(message)
    loader = Loader(
        config_dict=merged.config,
        active_context=context or None,
        config_base_path=None,
        config_persister=merged.save_changes,
    )
    loader.load_and_set(settings)
    cluster, user = loader._cluster.value, loader._user.value if loader._user else {}  # noqa: SLF001 - the client does not give them
    if cluster.get("proxy-url"):  # the client does not read it
        settings.proxy = cluster["proxy-url"]
    by_certificate = "token" not in loader.__dict__
    return Access(
        settings,
        headers=_impersonated(user),
        until=loader.expiry if by_certificate else None,
    )


def _impersonated(user: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the headers by which a kubeconfig acts as somebody else; the client does not know them."""
    headers = [("Impersonate-User", str(user["as"]))] if user.get("as") else []
    headers += [("Impersonate-Group", str(group)) for group in user.get("as-groups") or ()]
    for name, values in (user.get("as-user-extra") or {}).items():
        headers += [(f"Impersonate-Extra-{name}", str(value)) for value in values]
    return tuple(headers)


# the client logs every answer at DEBUG, and an answer may be a Secret
logging.getLogger("kubernetes.client.rest").setLevel(logging.INFO)
