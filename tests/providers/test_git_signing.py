"""Commits signed by an SSH key or GnuPG, as git itself verifies them."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from domain.checks import Verdict
from domain.configuration import (
    ConfigurationPoint,
    Signing,
)
from domain.errors import (
    KeyUnavailableError,
    SecretUnavailableError,
)
from tests.providers.git_ground import (
    GIT,
    Ground,
    Told,
    findings_of,
    make_history,
    point_of,
    surroundings,
)

KEYGEN = shutil.which("ssh-keygen") or "ssh-keygen"
KEY = "4d6c1f0a-0c7e-4d3b-9a57-3f2f3c1e8f10"
MESSAGE = "Go back"


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return make_history(tmp_path)


def restored(ground: Ground, point: ConfigurationPoint, **repository: object) -> str:
    configuration = ground.configuration(**repository)
    return ground.provider().restore(configuration, point, key=KEY, message=MESSAGE).id


def signing_key(folder: Path, passphrase: str = "") -> Path:
    key = folder / "signing"
    subprocess.run([KEYGEN, "-q", "-t", "ed25519", "-N", passphrase, "-f", str(key)], check=True)
    return key


def test_a_commit_signed_with_an_ssh_key_verifies(told: Told) -> None:
    ground, made = told
    key = signing_key(ground.root)
    allowed = ground.root / "allowed"
    allowed.write_text(f"refloat@localhost {key.with_suffix('.pub').read_text()}")
    signed = {"signing": Signing(key="file:signing")}

    commit = restored(ground, point_of(ground, made[0], **signed), **signed)

    verified = subprocess.run(
        [GIT, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", commit],
        cwd=ground.remote, env=surroundings(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stderr
    assert 'Good "git" signature for refloat@localhost' in verified.stderr


def test_a_signing_key_with_a_passphrase_is_refused_and_nothing_pushed(told: Told) -> None:
    ground, made = told
    signing_key(ground.root, "marker")
    signed = {"signing": Signing(key="file:signing")}
    point = point_of(ground, made[0], **signed)

    with pytest.raises(KeyUnavailableError, match="without a passphrase"):
        restored(ground, point, **signed)

    assert ground.head() == made[3]
    finding = findings_of(ground, point, **signed)["signing key"]
    assert finding[0] is Verdict.FAILED


def test_a_signing_key_that_is_not_there_is_refused(told: Told) -> None:
    ground, made = told
    signed = {"signing": Signing(key="file:none")}

    with pytest.raises(SecretUnavailableError, match="no such file"):
        restored(ground, point_of(ground, made[0], **signed), **signed)


def test_a_commit_signed_with_gnupg_verifies(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("gpg") is None:
        pytest.skip("no gpg program on this machine")
    ground, made = told
    home = Path(tempfile.mkdtemp(prefix="refloat-gpg-"))  # a short path, for the agent's socket
    monkeypatch.setenv("GNUPGHOME", str(home))
    try:
        make = [
            shutil.which("gpg") or "",
            "--batch",
            "--quiet",
            "--passphrase",
            "",
            "--quick-gen-key",
        ]
        subprocess.run(
            [*make, "refloat@localhost", "ed25519", "sign"], check=True, capture_output=True
        )
        signed = {"signing": Signing(format="openpgp", key="refloat@localhost")}
        commit = restored(ground, point_of(ground, made[0], **signed), **signed)
        verified = subprocess.run(
            [GIT, "verify-commit", commit],
            cwd=ground.remote, env=surroundings(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Good signature" in verified.stderr, verified.stderr
    finally:
        subprocess.run([shutil.which("gpgconf") or "", "--kill", "all"], check=False)
        shutil.rmtree(home)
