"""A repository over SSH: a real server where this machine has one, and what ssh is told either way."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.errors import (
    CatalogError,
    ConflictError,
    CredentialsRefusedError,
    ProviderUnavailableError,
    ResourceMissingError,
    SecretUnavailableError,
    UnknownProviderError,
    UntrustedServerError,
)
from tests.providers.git_ground import Ground, Told, make_history, point_of
from tests.station import free_ports

KEY = "4d6c1f0a-0c7e-4d3b-9a57-3f2f3c1e8f10"
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
KEYGEN = shutil.which("ssh-keygen") or "ssh-keygen"


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return make_history(tmp_path)


def new_key(path: Path) -> Path:
    subprocess.run([KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


STAND_IN = """#!/bin/sh
printf '%s\\n' "$@" > {told}
for last; do :; done
cd {home}
GIT_PROTOCOL={protocol} exec sh -c "$last"
"""


@pytest.fixture(params=["version=2", "version=0"])
def stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """Put a program in the place of ssh that runs what it is told here, and keeps what that was.

    Many servers take no environment from who comes by SSH, and then speak Git's old protocol.
    """
    told = tmp_path / "told"
    script = STAND_IN.format(told=told, home=tmp_path, protocol=request.param)
    say(tmp_path, monkeypatch, script)
    return told


def say(root: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = root / "bin" / "ssh"
    program.parent.mkdir(exist_ok=True)
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_a_configuration_is_restored_through_ssh(told: Told, stand_in: Path) -> None:
    ground, made = told
    new_key(ground.root / "key")
    (ground.root / "known").touch()
    ssh = {
        "url": f"ssh://git@example.org:2222{ground.remote}",
        "key": "file:key",
        "known_hosts": "known",
    }
    configuration = ground.configuration(**ssh)

    point = point_of(ground, made[0][:10], **ssh)
    findings = ground.provider().examine(configuration, point)
    commit = ground.provider().restore(configuration, point, key=KEY, message="Go back")
    again = ground.provider().restore(configuration, point, key=KEY, message="Go back")

    assert commit == again
    assert ground.head() == commit.id
    assert all(finding.good for finding in findings)
    lines = stand_in.read_text().splitlines()
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes"):
        assert option in lines
    assert f'UserKnownHostsFile="{ground.root / "known"}"' in lines
    assert lines[lines.index("-i") + 1] == str(ground.root / "key")
    assert lines[lines.index("-p") + 1] == "2222"
    assert lines[lines.index("-l") + 1] == "git"
    assert lines[-2:] == ["example.org", f"git-upload-pack '{ground.remote}'"]


@pytest.mark.usefixtures("stand_in")
def test_a_worker_that_never_saw_the_repository_goes_on_though_the_branch_moved(
    told: Told,
) -> None:
    ground, made = told
    ground.ada.run("tag", "-a", "v1", "-m", "release", made[0])
    ground.ada.run("push", "-q", "origin", "v1")
    ssh = {"url": f"ssh://git@example.org{ground.remote}"}
    configuration = ground.configuration(**ssh)
    point = point_of(ground, "v1", **ssh)
    ground.ada.commit({"README": "3\n"}, "Go on")
    shutil.rmtree(ground.root / "state")

    found = ground.provider().difference(configuration, point)
    listed = ground.provider().commits(configuration)

    assert [(file.path, file.change) for file in found.files] == [
        ("app.yaml", "changed"),
        ("new.yaml", "removed"),
    ]
    assert found.files[0].lines == ("@@ -1 +1 @@", "-replicas: 0", "+replicas: 3")
    assert [commit.id for commit in listed.commits] == [made[3], made[2], made[0]]


@pytest.mark.usefixtures("stand_in")
def test_a_commit_that_was_rewritten_away_is_told(told: Told) -> None:
    ground, made = told
    ssh = {"url": f"ssh://git@example.org{ground.remote}"}
    ground.git("update-ref", "refs/heads/main", made[0])

    with pytest.raises(ResourceMissingError, match=f"{made[3][:12]}: no such commit"):
        ground.provider().files(ground.configuration(**ssh), made[3])


@pytest.mark.parametrize("url", ["git@example.org:remote.git", "example.org:remote.git"])
def test_a_short_address_counts_from_the_home_of_the_user(
    told: Told, stand_in: Path, url: str
) -> None:
    ground, made = told

    assert point_of(ground, made[0], url=url).target.id == made[0]
    assert stand_in.read_text().splitlines()[-2:] == [
        "example.org",
        "git-upload-pack 'remote.git'",
    ]


@pytest.mark.usefixtures("stand_in")
def test_a_path_cannot_run_a_command_at_the_server(told: Told) -> None:
    ground, made = told

    with pytest.raises((ResourceMissingError, UnknownProviderError)):
        point_of(ground, made[0], url="git@example.org:x'; touch run; echo '")

    assert not (ground.root / "run").exists()


@pytest.mark.parametrize("url", ["ssh://-oProxyCommand=x/y", "-oProxyCommand=x:y", "ssh:///x"])
def test_an_address_that_would_be_an_option_is_refused(told: Told, url: str) -> None:
    ground, made = told

    with pytest.raises(CatalogError, match="names no host"):
        point_of(ground, made[0], url=url)


@pytest.mark.usefixtures("stand_in")
def test_a_push_in_between_is_a_conflict(told: Told) -> None:
    ground, made = told
    ssh = {"url": f"ssh://git@example.org{ground.remote}"}
    point = point_of(ground, made[0], **ssh)
    ground.ada.commit({"README": "3\n"}, "Repair by hand")

    with pytest.raises(ConflictError, match="Repair by hand"):
        ground.provider().restore(ground.configuration(**ssh), point, key=KEY, message="Go back")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("git@x: Permission denied (publickey).", CredentialsRefusedError),
        ("Host key verification failed.", UntrustedServerError),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", UntrustedServerError),
        ("ssh: Could not resolve hostname x: Name or service not known", ProviderUnavailableError),
        ("ssh: connect to host x port 22: Connection timed out", ProviderUnavailableError),
        ("fatal: '/x' does not appear to be a git repository", ResourceMissingError),
        ("ERROR: Repository not found.", ResourceMissingError),
        ("", ProviderUnavailableError),
        ("something nobody has seen", UnknownProviderError),
    ],
)
def test_what_ssh_says_becomes_an_error_of_its_kind(
    told: Told, monkeypatch: pytest.MonkeyPatch, words: str, error: type[Exception]
) -> None:
    ground, made = told
    say(ground.root, monkeypatch, f'#!/bin/sh\necho "{words}" >&2\nexit 255\n')

    with pytest.raises(error) as raised:
        point_of(ground, made[0], url="git@example.org:x")

    assert words.removeprefix("ERROR: ") in str(raised.value)


def test_a_server_that_says_nothing_is_left_after_a_while(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from providers.git import programs

    ground, made = told
    say(ground.root, monkeypatch, "#!/bin/sh\nsleep 60\n")
    monkeypatch.setattr(programs, "WHOLE", timedelta(seconds=0.2))

    begun = time.monotonic()
    with pytest.raises(ProviderUnavailableError):
        point_of(ground, made[0], url="git@example.org:x")

    assert time.monotonic() - begun < 5


def test_a_key_that_is_no_file_is_refused(told: Told) -> None:
    ground, made = told

    with pytest.raises(SecretUnavailableError, match="no such file"):
        point_of(ground, made[0], url="git@example.org:x", key="file:none")
    with pytest.raises(SecretUnavailableError, match="write file:PATH"):
        point_of(ground, made[0], url="git@example.org:x", key="env:SSH_KEY")


@dataclass
class Server:
    """A running sshd, its address, and the files with which it is reached."""

    port: int
    known_hosts: Path
    key: Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if SSHD is None:
        pytest.skip("no sshd on this machine")
    with running_sshd(tmp_path, SSHD) as made:
        yield made


@contextmanager
def running_sshd(root: Path, program: str) -> Iterator[Server]:
    """Run a server with a host key of its own, for this user and one key."""
    port = free_ports(1)
    host, key = new_key(root / "host"), new_key(root / "client")
    (root / "authorized").write_text(key.with_suffix(".pub").read_text())
    kind, value, *_ = host.with_suffix(".pub").read_text().split()
    known = root / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {kind} {value}\n")
    config = root / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {root}/authorized\nStrictModes no\nPermitRootLogin yes\n"
        "AcceptEnv GIT_PROTOCOL\nUseDNS no\nKexAlgorithms curve25519-sha256\n"
    )
    with (root / "sshd.log").open("wb") as log:
        process = subprocess.Popen(privately([program, "-D", "-e", "-f", str(config)]), stderr=log)
    try:
        wait_until_open(port, process, root / "sshd.log")
        yield Server(port, known, key)
    finally:
        process.terminate()
        process.wait()


def privately(command: list[str]) -> list[str]:
    """Return the command with the folder that sshd wants of root, which nobody else sees."""
    unshare = shutil.which("unshare")
    if os.geteuid() or Path("/run/sshd").exists() or unshare is None:
        return command
    script = 'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec "$@"'
    return [unshare, "-m", "sh", "-c", script, "sh", *command]


def wait_until_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            pytest.skip(f"sshd does not start here: {log.read_text().strip()}")
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    pytest.fail("sshd never listened")


def at(server: Server, ground: Ground, **more: object) -> dict[str, object]:
    return {
        "url": f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{ground.remote}",
        "key": f"file:{server.key}",
        "known_hosts": str(server.known_hosts),
        **more,
    }


def test_a_configuration_is_restored_through_a_real_server(told: Told, server: Server) -> None:
    ground, made = told
    configuration = ground.configuration(**at(server, ground))

    point = point_of(ground, made[0], **at(server, ground))
    commit = ground.provider().restore(configuration, point, key=KEY, message="Go back")

    assert ground.head() == commit.id
    assert all(finding.good for finding in ground.provider().examine(configuration, point)[1:])


def test_a_real_server_with_another_host_key_is_not_trusted(told: Told, server: Server) -> None:
    ground, made = told
    kind, value, *_ = new_key(ground.root / "other").with_suffix(".pub").read_text().split()
    for line in (f"[127.0.0.1]:{server.port} {kind} {value}\n", ""):
        server.known_hosts.write_text(line)

        with pytest.raises(UntrustedServerError, match="known_hosts"):
            point_of(ground, made[0], **at(server, ground))


def test_a_real_server_refuses_another_key(told: Told, server: Server) -> None:
    ground, made = told
    new_key(ground.root / "other")

    with pytest.raises(CredentialsRefusedError, match="does not accept the SSH key"):
        point_of(ground, made[0], **at(server, ground, key="file:other"))


def test_a_real_server_without_the_repository_says_so(told: Told, server: Server) -> None:
    ground, made = told
    shutil.move(ground.remote, ground.root / "moved.git")

    with pytest.raises(ResourceMissingError, match="no such repository"):
        point_of(ground, made[0], **at(server, ground))


def test_nobody_listening_is_asked_again(told: Told) -> None:
    ground, made = told

    with pytest.raises(ProviderUnavailableError, match="asks again"):
        point_of(ground, made[0], url="ssh://git@127.0.0.1:1/x")
