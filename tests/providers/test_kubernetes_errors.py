"""What an API server, a connection and a kubeconfig refuse becomes the domain's errors, in sentences."""

import json
import logging
import socket
import stat
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    ConflictError,
    CredentialsRefusedError,
    NameTakenError,
    ProviderUnavailableError,
    QuotaReachedError,
    RecoveryError,
    ResourceMissingError,
    ThrottledError,
    UnknownProviderError,
    UntrustedServerError,
)
from domain.resources import KubernetesPlatform
from providers.kubernetes.client import Cluster
from providers.kubernetes.config import load
from providers.kubernetes.errors import TABLE, FieldsOwnedError, Told, kubernetes_errors

DOING = "changing deployment/checkout"


def refusal(status: int, reason: str = "", message: str = "", **more: Any) -> ApiException:
    """Return an answer of the API server as the client raises it."""
    error = ApiException(status=status, reason=reason)
    error.body = json.dumps(
        {
            "kind": "Status",
            "status": "Failure",
            "code": status,
            "reason": reason,
            "message": message,
            **more,
        }
    ).encode()
    error.headers = {}
    return error


def translated(error: Exception) -> RecoveryError:
    """Return what an error of the client becomes."""
    with pytest.raises(RecoveryError) as caught, kubernetes_errors(DOING):
        raise error
    return caught.value


FORBIDDEN = (
    'deployments.apps "checkout" is forbidden: User "system:serviceaccount:ops:refloat" cannot patch '
    'resource "deployments" in API group "apps" in the namespace "shop"'
)


@pytest.mark.parametrize(
    ("row", "status", "reason", "message", "error"),
    [
        ("credentials", 401, "Unauthorized", "Unauthorized", CredentialsRefusedError),
        ("quota", 403, "Forbidden", 'pods "a" is forbidden: exceeded quota: compute', QuotaReachedError),
        ("admission", 400, "", 'admission webhook "gate" denied the request: no', ConfigurationRefusedError),
        ("admission", 403, "Forbidden", 'pods "a" is forbidden: violates PodSecurity "restricted"', ConfigurationRefusedError),
        ("permission", 403, "Forbidden", FORBIDDEN, AccessDeniedError),
        ("not found", 404, "NotFound", 'deployments.apps "checkout" not found', ResourceMissingError),
        ("exists", 409, "AlreadyExists", 'configmaps "a" already exists', NameTakenError),
        ("conflict", 409, "Conflict", "the object has been modified", ConflictError),
        ("refused", 422, "Invalid", "spec.replicas: Invalid value: -1", ConfigurationRefusedError),
        ("throttled", 429, "TooManyRequests", "slow down", ThrottledError),
        ("unavailable", 503, "ServiceUnavailable", "etcd has no leader", ProviderUnavailableError),
        ("unknown", 418, "Teapot", "short and stout", UnknownProviderError),
    ],
)  # fmt: skip
def test_each_refusal_becomes_its_error_and_keeps_the_servers_sentence(
    row: str, status: int, reason: str, message: str, error: type[RecoveryError]
) -> None:
    found = translated(refusal(status, reason, message))

    assert type(found) is error
    assert str(found).startswith(f"{DOING}: ")
    assert message in str(found)
    told = Told.of(refusal(status, reason, message))
    assert next(one for one in TABLE if one.applies(told)).name == row


def test_every_row_of_the_table_is_tested() -> None:
    marks = test_each_refusal_becomes_its_error_and_keeps_the_servers_sentence.pytestmark  # type: ignore[attr-defined]
    assert {one[0] for one in marks[0].args[1]} == {row.name for row in TABLE}


def test_a_missing_right_names_account_verb_resource_and_namespace() -> None:
    found = str(translated(refusal(403, "Forbidden", FORBIDDEN)))

    assert (
        "system:serviceaccount:ops:refloat may not patch deployments.apps in namespace shop"
        in found
    )


def test_a_call_without_credentials_is_told_as_such_and_not_as_a_missing_right() -> None:
    said = 'forbidden: User "system:anonymous" cannot get path "/apis"'

    assert "no credentials reached the cluster" in str(translated(refusal(403, "Forbidden", said)))


def test_a_throttled_call_says_how_long_to_wait() -> None:
    by_header = refusal(429)
    by_header.headers = {"Retry-After": "7"}

    paces = [
        getattr(translated(error), "pace", None)
        for error in (by_header, refusal(429, details={"retryAfterSeconds": 3}))
    ]

    assert paces == [timedelta(seconds=7), timedelta(seconds=3)]


def test_fields_owned_by_others_are_named_with_their_owners() -> None:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "hpa-controller" using apps/v1',
            "field": ".spec.replicas",
        }
    ]

    found = translated(refusal(409, "Conflict", "Apply failed", details={"causes": causes}))

    assert isinstance(found, FieldsOwnedError)
    assert found.owned == ((".spec.replicas", "hpa-controller"),)
    assert '.spec.replicas is owned by "hpa-controller"' in str(found)


def test_a_proxys_page_is_no_answer_of_an_api_server() -> None:
    error = ApiException(status=502, reason="Bad Gateway")
    error.body = "<html>no upstream</html>"

    assert isinstance(translated(error), ProviderUnavailableError)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (ApiException(status=0, reason="SSLError\ncertificate verify failed"), UntrustedServerError),
        (
            urllib3.exceptions.MaxRetryError(
                urllib3.HTTPConnectionPool("a"), "/", urllib3.exceptions.SSLError("self-signed")
            ),
            UntrustedServerError,
        ),
        (urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("a"), "/", "late"), ProviderUnavailableError),
        (urllib3.exceptions.ProtocolError("cut"), ProviderUnavailableError),
        (urllib3.exceptions.LocationParseError("http://["), ConfigurationRefusedError),
        (ConnectionResetError("reset"), ProviderUnavailableError),
        (ConfigException("exec: aws ended with 255: token has expired"), CredentialsRefusedError),
        (ConfigException("Expected object with name prod in contexts list"), ConfigurationRefusedError),
    ],
)  # fmt: skip
def test_a_broken_way_to_the_server_is_told_by_what_can_be_done(
    error: Exception, wanted: type[RecoveryError]
) -> None:
    assert type(translated(error)) is wanted


def test_a_kubeconfig_that_is_no_yaml_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("users: [{name: a, user: {token: hunter2-secret}")

    with pytest.raises(ConfigurationRefusedError) as caught:
        cluster_of(path).get_version()

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


class _Asked(Cluster):
    """A cluster with one question that any server answers."""

    def get_version(self) -> Mapping[str, Any]:
        return self.read("/version", "asking for the version")


def cluster_of(path: Path, context: str = "") -> _Asked:
    """Return the cluster of a kubeconfig."""
    place = KubernetesPlatform(
        kind="kubernetes", kubeconfig=str(path), context=context, deployment="checkout"
    )
    return _Asked(path.parent, place)


def kubeconfig(path: Path, server: str, user: Mapping[str, Any], **cluster: Any) -> Path:
    """Write a kubeconfig of one context."""
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
                "users": [{"name": "u", "user": dict(user)}],
            }
        )
    )
    return path


def plugin(folder: Path, body: str) -> dict[str, Any]:
    """Return a user whose credentials a program gives."""
    program = folder / "login"
    program.write_text(f"#!{sys.executable}\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    api = "client.authentication.k8s.io/v1beta1"
    return {"exec": {"apiVersion": api, "command": str(program), "interactiveMode": "Never"}}


CREDENTIAL = """
import json, os, pathlib
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
count = pathlib.Path(__file__).with_name("count")
count.write_text(count.read_text() + "." if count.exists() else ".")
print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential",
                  "status": {"token": "given-token", "expirationTimestamp": "%s"}}))
"""


def test_a_credential_plugin_gives_the_token_and_is_not_asked_again_while_it_holds(
    tmp_path: Path,
) -> None:
    user = plugin(tmp_path, CREDENTIAL % "2999-01-01T00:00:00Z")
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", user)

    access = load(tmp_path, str(path), "")
    tokens = [access.settings.get_api_key_with_prefix("BearerToken") for _ in range(3)]

    assert tokens == ["Bearer given-token"] * 3
    assert (tmp_path / "count").read_text() == "."


def test_a_credential_plugin_is_asked_again_when_its_token_has_ended(tmp_path: Path) -> None:
    user = plugin(tmp_path, CREDENTIAL % "2001-01-01T00:00:00Z")
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", user)

    load(tmp_path, str(path), "").settings.get_api_key_with_prefix("BearerToken")

    assert (tmp_path / "count").read_text() == ".."


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import sys; sys.exit('the session has expired; run: aws sso login')", "aws sso login"),
        ("print('{}')", "printed no ExecCredential"),
        ("print('not json')", "printed no ExecCredential"),
    ],
)
def test_a_credential_plugin_that_fails_is_told_in_its_own_words(
    body: str, said: str, tmp_path: Path
) -> None:
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", plugin(tmp_path, body))

    with pytest.raises(CredentialsRefusedError, match=said):
        cluster_of(path).get_version()


def test_a_credential_plugin_that_is_missing_is_named(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "gke-gcloud-none"}}
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", user)

    with pytest.raises(CredentialsRefusedError, match="no program gke-gcloud-none"):
        cluster_of(path).get_version()


def test_a_context_that_the_kubeconfig_lacks_is_named(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", {})

    with pytest.raises(ConfigurationRefusedError, match="production"):
        cluster_of(path, "production").get_version()


def test_a_kubeconfig_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationRefusedError, match=r"no file .*nowhere"):
        cluster_of(tmp_path / "nowhere").get_version()


def test_the_kubeconfig_of_the_environment_is_used_where_the_catalog_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", {"token": "t"})
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{path}")

    assert load(tmp_path, "", "").settings.host == "http://127.0.0.1:9"


def test_a_worker_without_any_kubeconfig_is_told_where_one_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(ConfigException, match="KUBECONFIG"):
        load(tmp_path, "", "")


def test_acting_as_somebody_else_and_through_a_proxy_is_kept(tmp_path: Path) -> None:
    user = {"token": "t", "as": "deployer", "as-groups": ["ops", "sre"]}
    path = kubeconfig(
        tmp_path / "config", "https://k8s.example", user, **{"proxy-url": "http://p:1"}
    )

    access = load(tmp_path, str(path), "here")

    assert access.headers == (
        ("Impersonate-User", "deployer"), ("Impersonate-Group", "ops"), ("Impersonate-Group", "sre"),
    )  # fmt: skip
    assert access.settings.proxy == "http://p:1"


def test_a_server_that_is_not_there_is_asked_again_later(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        server = f"http://127.0.0.1:{taken.getsockname()[1]}"
        path = kubeconfig(tmp_path / "config", server, {"token": "t"})

        with pytest.raises(ProviderUnavailableError, match="does not answer"):
            cluster_of(path).get_version()


def test_answers_are_not_logged_even_at_debug() -> None:
    assert not logging.getLogger("kubernetes.client.rest").isEnabledFor(logging.DEBUG)
