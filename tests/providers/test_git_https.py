"""A repository behind a real HTTPS server: git's own http-backend, a token, and a certificate."""

import base64
import datetime as dt
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.checks import Verdict
from domain.configuration import Delivery
from domain.errors import (
    AccessDeniedError,
    ConflictError,
    CredentialsRefusedError,
    ProviderUnavailableError,
    ResourceMissingError,
    SecretUnavailableError,
    ThrottledError,
    UntrustedServerError,
)
from tests.providers.git_ground import (
    TOKEN,
    Forge,
    Ground,
    Told,
    certificate,
    forge_over,
    make_history,
    point_of,
)

KEY = "4d6c1f0a-0c7e-4d3b-9a57-3f2f3c1e8f10"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("forge"))


@pytest.fixture
def forge(tmp_path: Path, pem: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forge]:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    monkeypatch.setenv("FORGE_TOKEN", TOKEN)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with forge_over(tmp_path, pem) as made:
        yield made


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return make_history(tmp_path)


def reached(forge: Forge, **more: object) -> dict[str, object]:
    return {"url": f"{forge.url}/remote.git", "token": "env:FORGE_TOKEN", **more}


def test_a_configuration_is_restored_over_https_with_a_token(told: Told, forge: Forge) -> None:
    ground, made = told
    ground.ada.run("tag", "-a", "v1", "-m", "release", made[0])
    ground.ada.run("push", "-q", "origin", "v1")
    configuration = ground.configuration(**reached(forge))

    point = point_of(ground, "v1", **reached(forge))
    commit = ground.provider().restore(configuration, point, key=KEY, message="Go back")
    again = ground.provider().restore(configuration, point, key=KEY, message="Go back")

    assert point.target.id == made[0]
    assert commit == again
    assert ground.head() == commit.id
    assert ground.git("show", f"{commit.id}:README") == "2"
    assert [file.path for file in ground.provider().files(configuration, commit.id)] == ["app.yaml"]
    assert ground.provider().mark_good(configuration, commit.id, key=KEY) == "refloat/good/4d6c1f0a"
    assert forge.users == {"x-access-token"}
    ground.git("fsck", "--strict", "--full")


def test_the_token_is_written_nowhere(
    told: Told, forge: Forge, caplog: pytest.LogCaptureFixture
) -> None:
    ground, made = told
    configuration = ground.configuration(**reached(forge))
    with caplog.at_level(logging.DEBUG):
        point = point_of(ground, made[0], **reached(forge))
        ground.provider().restore(configuration, point, key=KEY, message="Go back")

    login = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    for secret in (TOKEN, login):
        assert secret not in caplog.text
        assert all(secret.encode() not in path.read_bytes() for path in files_of(ground.root))


def files_of(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_wrong_token_is_refused_by_a_sentence_without_it(
    told: Told, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground, made = told
    monkeypatch.setenv("FORGE_TOKEN", "marker-of-another")

    with pytest.raises(CredentialsRefusedError) as error:
        point_of(ground, made[0], **reached(forge))

    assert "check `token`" in str(error.value)
    assert "wrong token (secret)" in str(error.value)
    assert "marker" not in repr(error.value)
    assert error.value.__cause__ is None


def test_no_token_at_all_is_refused(told: Told, forge: Forge) -> None:
    ground, made = told

    with pytest.raises(CredentialsRefusedError, match="wants one"):
        point_of(ground, made[0], url=f"{forge.url}/remote.git")


def test_a_token_that_is_not_there_is_told_by_its_reference(told: Told, forge: Forge) -> None:
    ground, made = told

    with pytest.raises(SecretUnavailableError, match="env:NO_SUCH_TOKEN"):
        point_of(ground, made[0], **reached(forge, token="env:NO_SUCH_TOKEN"))


def test_a_token_that_may_only_read_is_found_before_the_push_and_at_it(
    told: Told, forge: Forge
) -> None:
    ground, made = told
    configuration = ground.configuration(**reached(forge))
    point = point_of(ground, made[0], **reached(forge))
    findings = {one.name: one for one in ground.provider().examine(configuration, point)}
    assert findings["right to push"].verdict is Verdict.PASSED
    assert not any(line.startswith("POST") and "receive" in line for line in forge.asked)

    forge.read_only = True
    findings = {one.name: one for one in ground.provider().examine(configuration, point)}

    assert findings["right to push"].verdict is Verdict.FAILED
    assert "you may only read" in findings["right to push"].observed
    with pytest.raises(AccessDeniedError, match="right to read and write"):
        ground.provider().restore(configuration, point, key=KEY, message="Go back")
    assert ground.head() == made[3]


def test_a_push_in_between_is_a_conflict_and_stays(told: Told, forge: Forge) -> None:
    ground, made = told
    point = point_of(ground, made[0], **reached(forge))
    other = ground.ada.commit({"README": "3\n"}, "Repair by hand")

    with pytest.raises(ConflictError, match="Repair by hand"):
        ground.provider().restore(
            ground.configuration(**reached(forge)), point, key=KEY, message="Go back"
        )

    assert ground.head() == other


def test_a_push_in_the_very_moment_is_a_conflict_and_stays(
    told: Told, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    from providers.git import writing

    ground, made = told
    point = point_of(ground, made[0], **reached(forge))
    moved: list[str] = []

    def pushed_by_another(*words: str) -> bytes:
        moved.append(ground.ada.commit({"README": "3\n"}, "Repair by hand"))
        return "".join(words).encode()

    monkeypatch.setattr(writing, "_message", pushed_by_another)

    with pytest.raises(ConflictError, match="Repair by hand"):
        ground.provider().restore(
            ground.configuration(**reached(forge)), point, key=KEY, message="Go back"
        )

    assert [ground.head()] == moved


def test_a_protected_branch_is_quoted_and_a_pull_request_goes_beside_it(
    told: Told, forge: Forge
) -> None:
    ground, made = told
    hook = ground.remote / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        '#!/bin/sh\n[ "$1" != refs/heads/main ] || { echo protected branch; exit 1; }\n'
    )
    hook.chmod(0o755)
    point = point_of(ground, made[0], **reached(forge))

    with pytest.raises(AccessDeniedError, match=r"hook declined.*protected branch.*pull-request"):
        ground.provider().restore(
            ground.configuration(**reached(forge)), point, key=KEY, message="Go back"
        )
    asked = ground.configuration(**reached(forge, delivery=Delivery.PULL_REQUEST))
    commit = ground.provider().restore(asked, point, key=KEY, message="Go back")

    assert ground.head("refloat/4d6c1f0a") == commit.id
    assert ground.head() == made[3]


def test_a_server_without_a_trusted_certificate_is_not_trusted(
    told: Told, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground, made = told
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(UntrustedServerError, match="certificate"):
        point_of(ground, made[0], **reached(forge))

    assert forge.asked == []


def test_a_certificate_that_the_catalog_names_is_trusted(
    told: Told, forge: Forge, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground, made = told
    monkeypatch.delenv("SSL_CERT_FILE")

    assert point_of(ground, made[0], **reached(forge), ca=str(pem)).target.id == made[0]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, ResourceMissingError),  # a page to sign in
        (403, AccessDeniedError),
        (404, ResourceMissingError),
        (429, ThrottledError),
        (500, ProviderUnavailableError),
        (503, ProviderUnavailableError),
    ],
)
def test_what_a_server_answers_becomes_an_error_of_its_kind(
    told: Told, forge: Forge, status: int, error: type[Exception]
) -> None:
    ground, made = told
    forge.refuse = (status, f"so it is: {TOKEN}")

    with pytest.raises(error) as raised:
        point_of(ground, made[0], **reached(forge))

    assert "so it is: (secret)" in str(raised.value)
    if isinstance(raised.value, ThrottledError):
        assert raised.value.pace == dt.timedelta(seconds=7)


def test_a_server_that_is_away_is_asked_again(told: Told, forge: Forge) -> None:
    ground, made = told

    with pytest.raises(ProviderUnavailableError, match="asks again"):
        point_of(ground, made[0], **reached(forge, url="https://127.0.0.1:1/remote.git"))


def test_losing_the_copy_loses_nothing_and_what_is_new_is_fetched(told: Told, forge: Forge) -> None:
    ground, made = told
    point_of(ground, made[0], **reached(forge))
    after = ground.ada.commit({"deploy/app.yaml": "replicas: 7\n"}, "Go on")

    assert point_of(ground, made[2], **reached(forge)).head.id == after
    shutil.rmtree(ground.root / "state")
    assert point_of(ground, made[2], **reached(forge)).head.id == after
    assert not list((ground.root / "state").rglob("*.pack"))


def test_a_large_fetch_is_kept_as_it_came(
    told: Told, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    from providers.git import mirror

    ground, made = told
    monkeypatch.setattr(mirror, "_SMALL_PACK", 3)
    point_of(ground, made[0], **reached(forge))
    ground.ada.commit({"README": "3\n"}, "Go on")

    assert point_of(ground, made[0], **reached(forge)).target.id == made[0]
    assert len(list((ground.root / "state").rglob("*.pack"))) == 1


def test_a_copy_that_is_damaged_is_fetched_anew(told: Told, forge: Forge) -> None:
    ground, made = told
    point_of(ground, made[0], **reached(forge))
    damage(ground, spare="")

    assert point_of(ground, made[0], **reached(forge)).target.id == made[0]
    damage(ground, spare=made[3])
    with pytest.raises(ProviderUnavailableError, match="fetched anew"):
        point_of(ground, made[0], **reached(forge))
    assert point_of(ground, made[0], **reached(forge)).target.id == made[0]


def damage(ground: Ground, spare: str) -> None:
    """Empty every object of the copy but one."""
    for path in (ground.root / "state").rglob("objects/??/*"):
        if f"{path.parent.name}{path.name}" != spare:
            path.chmod(0o600)
            path.write_bytes(b"")


def test_many_threads_share_one_copy(told: Told, forge: Forge) -> None:
    from concurrent.futures import ThreadPoolExecutor

    ground, made = told
    with ThreadPoolExecutor(8) as threads:
        found = list(
            threads.map(lambda _: point_of(ground, made[0], **reached(forge)).target.id, range(12))
        )

    assert set(found) == {made[0]}
    assert sum(line.startswith("GET") for line in forge.asked) == 12 + 1
