"""One cloud's SDK is enough to run that cloud."""

import subprocess
import sys

import pytest

SDKS = {
    "aws": ("boto3", "botocore"),
    "gcp": ("google.cloud.sqladmin_v1", "google.auth"),
    "azure": ("azure.mgmt", "azure.identity"),
    "scaleway": ("scaleway", "scaleway_core"),
}
_SCRIPT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if any(name == one or name.startswith(one + ".") for one in {absent!r}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import worker
from domain.parsing import parse_catalog
from pathlib import Path
from providers import registry
from providers.secrets.references import Secrets

catalog = parse_catalog({{"organization": "a", "providers": {{"cloud": {entry!r}}}}}, "test")
registry.databases("cloud", catalog.providers["cloud"], Path("."), Secrets(Path(".")))
"""
ENTRIES = {
    "aws": {"kind": "aws", "region": "eu-west-1", "account": "123456789012"},
    "gcp": {"kind": "gcp", "region": "europe-west9", "project": "p"},
    "azure": {"kind": "azure", "region": "r", "subscription": "s", "resource_group": "g"},
    "scaleway": {"kind": "scaleway", "region": "fr-par", "project": "p"},
}


def _run(kind: str, absent: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    script = _SCRIPT.format(absent=absent, entry=ENTRIES[kind])
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", tuple(SDKS))
def test_a_worker_of_one_cloud_needs_no_other_clouds_sdk(kind: str) -> None:
    others = tuple(name for other, names in SDKS.items() if other != kind for name in names)

    done = _run(kind, (*others, "pymysql", "moto"))

    assert done.returncode == 0, done.stderr


def test_a_missing_sdk_is_told_with_what_to_install() -> None:
    done = _run("aws", SDKS["aws"])

    assert "pip install 'refloat[aws]'" in done.stderr
