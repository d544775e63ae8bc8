"""An application whose health is a file of its configuration, which a real repository holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.errors import NotYetError
from providers.local.folders import LocalFolders
from tests.providers.git_ground import Ground, make_ground
from tests.station import wait_for
from tests.yard import Yard, yard

MARKER = "s3cr3t-marker-of-the-settings"
GOOD = {"deploy/healthz": "works", "deploy/app.yaml": f"replicas: 3\npassword: {MARKER}-1\n"}
BAD = {"deploy/healthz": None, "deploy/app.yaml": f"replicas: 0\npassword: {MARKER}-2\n"}


class Configured:
    """A yard with its repository: one good commit in effect, then a bad one."""

    def __init__(self, made: Yard, ground: Ground) -> None:
        self.yard, self.ground = made, ground
        self.good = ground.ada.commit(GOOD, "Begin")
        ground.ada.run("tag", "v1")
        ground.ada.run("push", "-q", "origin", "v1")
        made.push("conf", "config")
        self.put_into_effect(self.good)
        made.deploy("conf")
        wait_for("the settings to be served", self.healthy)

    @property
    def folder(self) -> Path:
        """Where the configuration is in effect."""
        return self.yard.root / "config"

    def put_into_effect(self, commit: str) -> None:
        """Apply a commit, as a pipeline does."""
        configuration = self.yard.configuration
        files = self.ground.provider().files(configuration, commit)
        folders = LocalFolders(self.yard.root, self.yard.root)
        folders.apply(configuration, files, key=f"pipeline {commit}")

    def break_it(self) -> str:
        """Commit a bad configuration and put it into effect."""
        bad = self.ground.ada.commit(BAD, f"Turn it off, token={MARKER}-3")
        self.put_into_effect(bad)
        wait_for("the application to be ill", lambda: not self.healthy())
        return bad

    def healthy(self) -> bool:
        """Return whether the application answers."""
        try:
            self.yard.healthy()
        except NotYetError:
            return False
        return True

    def commits(self) -> list[str]:
        """Return the subjects of the branch, newest first."""
        return self.ground.git("log", "--format=%s", "main").splitlines()


@contextmanager
def configured() -> Iterator[Configured]:
    """Hold it, and remove it when the block ends."""
    with TemporaryDirectory(prefix="refloat-git-") as folder:
        ground = make_ground(Path(folder))
        settings = {
            "settings": {
                "repository": {"url": str(ground.remote), "path": "deploy"},
                "platform": {"kind": "local", "folder": "config"},
                "applications": ["checkout"],
            }
        }
        with yard(configurations=settings) as made:
            yield Configured(made, ground)
