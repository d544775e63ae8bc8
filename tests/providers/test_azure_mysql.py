"""The contract once more with MySQL at Azure, which restores differently and is changed differently."""

import pytest

from tests.providers import azure_stand
from tests.providers import test_cloud_contract as contract
from tests.providers import test_cloud_cutover as cutover
from tests.providers.clouds import Stand

mysql, in_time = azure_stand.mysql, contract.in_time
globals().update({test.__name__: test for test in (*contract.CORE, *cutover.CORE)})


@pytest.fixture
def stand(mysql: Stand) -> Stand:
    """Hold one account with one database, `orders`, of MySQL."""
    return mysql
