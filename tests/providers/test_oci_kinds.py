"""The SDK of a cloud is imported where a registry asks for it, and nowhere else."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from domain.entries import RegistryEntry
from domain.errors import (
    CatalogError,
)
from providers.oci.provider import registry
from tests.providers.oci_ground import (
    Passwords,
)


def test_a_kind_whose_sdk_is_not_installed_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name, name="boto3")

    monkeypatch.setattr("importlib.import_module", absent)
    images = registry({"quay.test": RegistryEntry(kind="ecr")}, tmp_path, Passwords())
    with pytest.raises(CatalogError, match=r"pip install 'refloat\[aws\]'"):
        images.images("quay.test/shop/app")


def test_a_plain_registry_imports_no_sdk_of_a_cloud() -> None:
    script = (
        "import sys; import providers.oci.provider; "
        "print([one for one in ('boto3', 'botocore', 'google.auth', 'azure.identity', 'scaleway') "
        "if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == "[]"
