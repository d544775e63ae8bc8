"""The simulated Azure, asked by the real SDKs: what it refuses, and what becomes of deleted servers."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.mgmt.mysqlflexibleservers import models as newer_mysql
from azure.mgmt.postgresqlflexibleservers import models as newer_postgresql
from azure.mgmt.rdbms.postgresql_flexibleservers import models as postgresql

from domain.errors import (
    AccessDeniedError,
    ConfigurationRefusedError,
    KeyUnavailableError,
    NameTakenError,
    ResourceMissingError,
    ThrottledError,
)
from providers.azure.client import AzureDatabases
from providers.azure.errors import azure_errors
from simulators.estate import Seed
from simulators.faults import Refusal
from tests.simulators.azure_ground import GROUP, REGION, Ground, ago, refusal_of, simulated

DAY = timedelta(days=1)


@pytest.fixture
def ground() -> Iterator[Ground]:
    with simulated() as made:
        yield made


def get(ground: Ground, name: str = "orders") -> Any:
    return ground.postgresql.servers.get(GROUP, name)


def revive(ground: Ground, name: str = "orders-again") -> None:
    gone = next(one for one in ground.account.deleted if one.server.name == "orders")
    server = newer_postgresql.Server(
        location=REGION,
        properties=newer_postgresql.ServerProperties(
            create_mode="ReviveDropped",
            source_server_resource_id=ground.account.id_of(gone.server),
            point_in_time_utc=gone.at,
        ),
    )
    ground.postgresql.whole.begin_create_or_update(GROUP, name, server, polling=False)


def test_too_many_calls_are_refused_with_the_time_to_wait(ground: Ground) -> None:
    ground.account.retry_after = 17
    ground.estate.faults.throttle_for(timedelta(minutes=1))

    with pytest.raises(ThrottledError) as caught, azure_errors("read orders"):
        get(ground)
    assert caught.value.pace == timedelta(seconds=17)
    ground.estate.clock.move(timedelta(minutes=2))
    assert get(ground).name == "orders"


def test_a_missing_role_is_told_with_action_and_scope(ground: Ground) -> None:
    ground.account.denied.add("Microsoft.DBforPostgreSQL/flexibleServers/write")

    wanted = r"flexibleServers/write on /subscriptions/.*/copy"
    with pytest.raises(AccessDeniedError, match=wanted), azure_errors("restore orders"):
        ground.restore()
    told = ground.clients.ask(
        f"/subscriptions/{ground.account.subscription}/resourceGroups/{GROUP}"
        "/providers/Microsoft.Authorization/permissions",
        "2022-04-01",
    )
    assert told["value"][0]["notActions"] == ["Microsoft.DBforPostgreSQL/flexibleServers/write"]


def test_a_refusal_switched_on_without_words_gets_azures_own(ground: Ground) -> None:
    ground.estate.faults.refuse("Servers_Create", Refusal(403, "AuthorizationFailed", ""))

    with pytest.raises(HttpResponseError, match="does not have authorization to perform action"):
        ground.restore()


def test_a_token_that_is_none_is_an_error_of_authentication(ground: Ground) -> None:
    ground.account.authenticated = False

    with pytest.raises(ClientAuthenticationError):
        get(ground)


def test_a_gateways_page_has_no_code(ground: Ground) -> None:
    ground.estate.faults.refuse("Servers_Get", Refusal(502, "", "Bad Gateway"))

    with pytest.raises(HttpResponseError) as caught:
        get(ground)
    assert (caught.value.status_code, caught.value.error) == (502, None)


@pytest.mark.parametrize("locked", ["orders", GROUP])
def test_a_lock_forbids_the_deletion_and_is_listed(ground: Ground, locked: str) -> None:
    ground.plane.lock(locked)

    told = f"remove the lock of .*/{locked} first"
    with pytest.raises(ConfigurationRefusedError, match=told), azure_errors("delete orders"):
        ground.postgresql.servers.begin_delete(GROUP, "orders", polling=False)
    locks = ground.clients.ask(
        f"{ground.id_of('orders')}/providers/Microsoft.Authorization/locks", "2016-09-01"
    )
    assert locks["value"][0]["properties"] == {"level": "CanNotDelete"}
    ground.plane.lock(locked, "")
    ground.delete("orders")
    with pytest.raises(ResourceNotFoundError):
        get(ground)


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda ground: get(ground, "nothing"), "ResourceNotFound"),
        (
            lambda ground: ground.postgresql.servers.get("nowhere", "orders"),
            "ResourceGroupNotFound",
        ),
        (
            lambda ground: list(ground.postgresql.firewall_rules.list_by_server(GROUP, "nothing")),
            "ParentResourceNotFound",
        ),
        (
            lambda ground: ground.postgresql.configurations.get(GROUP, "orders", "fsync"),
            "ResourceNotFound",
        ),
    ],
)
def test_what_does_not_exist_is_told_by_kind(
    ground: Ground, ask: Callable[[Ground], object], code: str
) -> None:
    assert refusal_of(lambda: ask(ground)) == (404, code)
    with pytest.raises(ResourceMissingError), azure_errors("ask"):
        ask(ground)


def test_another_subscription_is_not_there(ground: Ground) -> None:
    strange = AzureDatabases("00000000-0000-0000-0000-00000000dead", ground.wire.url)

    assert refusal_of(lambda: list(strange.mysql.servers.list())) == (404, "SubscriptionNotFound")
    strange.close()


def test_an_old_api_has_no_backups_of_postgresql(ground: Ground) -> None:
    with pytest.raises(ConfigurationRefusedError, match="NoRegisteredProviderFound"):
        ground.clients.ask(f"{ground.id_of('orders')}/backups", "2021-06-01")
    with pytest.raises(ConfigurationRefusedError, match="MissingApiVersionParameter"):
        ground.clients.ask(f"{ground.id_of('orders')}/backups")


def test_what_is_not_simulated_is_told_as_an_unknown_type(ground: Ground) -> None:
    with pytest.raises(ConfigurationRefusedError, match="InvalidResourceType"):
        ground.clients.ask(f"{ground.id_of('orders')}/tuningOptions", "2026-10-01")


@pytest.mark.parametrize(
    ("limit", "code"), [("no_room", "SkuNotAvailable"), ("quota", "QuotaExceeded")]
)
def test_a_full_region_and_a_full_subscription_refuse_restores(
    ground: Ground, limit: str, code: str
) -> None:
    setattr(ground.account, limit, {"no_room": {"Standard_D4ds_v5"}, "quota": 1}[limit])

    assert refusal_of(ground.restore) == (409, code)


def test_names_are_taken_in_the_world_and_for_a_while_after_deletion(ground: Ground) -> None:
    def is_free(name: str) -> bool:
        asked = postgresql.NameAvailabilityRequest(name=name, type="flexibleServers")
        told = ground.postgresql.names.execute(asked)
        return bool(told.name_available)

    ground.account.occupied.add("copy")
    with pytest.raises(NameTakenError), azure_errors("restore"):
        ground.restore()
    assert [is_free(name) for name in ("copy", "orders", "Wrong_", "other")] == [
        False,
        False,
        False,
        True,
    ]
    ground.delete("orders")
    assert not is_free("orders")
    ground.estate.clock.move(ground.account.reserved_for)
    assert is_free("orders")


def test_a_deleted_server_can_be_revived_for_five_days(ground: Ground) -> None:
    ground.delete("orders")
    ground.postgresql.servers.begin_delete(GROUP, "orders", polling=False)
    revive(ground)
    ground.pass_time()

    assert get(ground, "orders-again").state == "Ready"
    assert get(ground, "orders-again").tags == {}
    ground.delete("orders-again")
    ground.estate.clock.move(6 * DAY)
    gone = ground.account.deleted[0]
    assert refusal_of(lambda: revive(ground, "orders-third")) == (404, "ResourceNotFound")
    assert gone not in ground.account.deleted


def test_a_deleted_server_of_mysql_is_restored_to_a_time(ground: Ground) -> None:
    source = ground.id_of("carts")
    ground.mysql.servers.begin_delete(GROUP, "carts", polling=False)
    ground.pass_time()

    ground.restore_mysql(source=source, at=ago())
    ground.pass_time()

    assert ground.mysql.servers.get(GROUP, "copy").state == "Ready"


def test_a_restore_elsewhere_needs_a_copy_there(ground: Ground) -> None:
    ground.plane.seed(
        Seed(
            "local",
            settings={"backup": {"backupRetentionDays": 7, "geoRedundantBackup": "Disabled"}},
        )
    )

    def restore(source: str, name: str, region: str) -> None:
        server = newer_postgresql.Server(
            location=region,
            properties=newer_postgresql.ServerProperties(
                create_mode="GeoRestore", source_server_resource_id=ground.id_of(source)
            ),
        )
        ground.postgresql.whole.begin_create_or_update("recovery", name, server, polling=False)

    assert refusal_of(lambda: restore("local", "away", "francesouth"))[0] == 400
    assert refusal_of(lambda: restore("orders", "away", REGION))[0] == 400
    restore("orders", "away", "francesouth")
    ground.pass_time()
    assert ground.postgresql.servers.get("recovery", "away").location == "francesouth"
    assert refusal_of(lambda: ground.restore(location="francesouth"))[0] == 400


def test_a_lost_key_closes_the_server_and_its_restores(ground: Ground) -> None:
    address = get(ground).fully_qualified_domain_name
    ground.plane.disable_key()

    found = ground.postgresql.whole.get(GROUP, "orders").properties
    assert found.state == "Inaccessible"
    assert found.data_encryption.primary_encryption_key_status == "Invalid"
    assert ground.route_of(address) is None
    with pytest.raises(KeyUnavailableError), azure_errors("restore orders"):
        ground.restore()
    ground.plane.force("orders", "")
    assert ground.route_of(address) is not None


def test_a_stopped_server_can_only_be_started(ground: Ground) -> None:
    servers = ground.postgresql.servers
    servers.begin_stop(GROUP, "orders", polling=False)
    assert get(ground).state == "Stopping"
    ground.pass_time()

    assert get(ground).state == "Stopped"
    assert ground.route_of(get(ground).fully_qualified_domain_name) is None
    change = postgresql.ServerForUpdate(tags={})
    with pytest.raises(ResourceExistsError):
        servers.begin_update(GROUP, "orders", change, polling=False)
    servers.begin_start(GROUP, "orders", polling=False)
    assert get(ground).state == "Starting"
    ground.pass_time()
    assert get(ground).state == "Ready"


@pytest.mark.parametrize(
    "change",
    [
        {"storage": newer_postgresql.Storage(storage_size_gb=32)},
        {"backup": newer_postgresql.BackupForPatch(backup_retention_days=6)},
        {"data_encryption": newer_postgresql.DataEncryption(type="SystemManaged")},
        {"high_availability": newer_postgresql.HighAvailabilityForPatch(mode="Triple")},
    ],
)
def test_changes_that_cannot_be_are_refused(ground: Ground, change: dict[str, object]) -> None:
    wanted = newer_postgresql.ServerForPatch(
        properties=newer_postgresql.ServerPropertiesForPatch(**change)  # type: ignore[call-overload]
    )
    begin = ground.postgresql.whole.begin_update

    status, code = refusal_of(lambda: begin(GROUP, "orders", wanted, polling=False))
    assert (status, code) == (400, "InvalidParameterValue")


def test_tags_sent_replace_all_tags(ground: Ground) -> None:
    change = newer_mysql.ServerForUpdate(tags={"only": "this"})
    ground.mysql.whole.begin_update(GROUP, "carts", change, polling=False)
    ground.pass_time()

    assert ground.mysql.servers.get(GROUP, "carts").tags == {"only": "this"}


def test_a_new_empty_server_asks_for_what_it_needs(ground: Ground) -> None:
    server = postgresql.Server(
        location=REGION,
        sku=postgresql.Sku(name="Standard_D2ds_v5", tier="GeneralPurpose"),
        version="15",
        administrator_login="owner",
    )
    begin = ground.postgresql.servers.begin_create

    assert refusal_of(lambda: begin(GROUP, "fresh", server, polling=False))[0] == 400
    server.administrator_login_password = "marker"
    begin(GROUP, "fresh", server, polling=False)
    ground.pass_time()
    assert get(ground, "fresh").state == "Ready"
    assert ground.backends().running[ground.plane.server("fresh").internal] is None


def test_what_lies_beside_a_server_is_told(ground: Ground) -> None:
    private = list(ground.postgresql.private_endpoints.list_by_server(GROUP, "orders"))
    sizes = next(iter(ground.postgresql.capabilities.list(REGION))).supported_server_editions
    usage = next(iter(ground.postgresql.quota.list(REGION)))
    administrators = ground.clients.ask(f"{ground.id_of('orders')}/administrators", "2026-10-01")
    databases = ground.clients.ask(f"{ground.id_of('carts')}/databases", "2024-12-30")

    assert [one.name for one in private] == ["shop-application"]
    assert "Standard_D4ds_v5" in {sku.name for tier in sizes for sku in tier.supported_server_skus}
    assert (usage.current_value, usage.limit) == (1, 100)
    assert administrators["value"][0]["properties"]["principalName"] == "database-admins"
    assert "shop" in {one["name"] for one in databases["value"]}
    assert ground.mysql.private_endpoints.list_by_server(GROUP, "carts").value
