"""The simulated Azure, asked by the real SDKs: what restores, changes, backups and names do."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from azure.core.exceptions import ResourceNotFoundError, ServiceResponseError
from azure.mgmt.mysqlflexibleservers import models as newer_mysql
from azure.mgmt.postgresqlflexibleservers import models as newer_postgresql
from azure.mgmt.rdbms.mysql_flexibleservers import models as mysql
from azure.mgmt.rdbms.postgresql_flexibleservers import models as postgresql

from domain.errors import BusyError, CapacityMissingError, PointRefusedError
from providers.azure.client import Begun
from providers.azure.errors import Quirk, failure_of
from simulators.faults import Refusal
from tests.simulators.azure_ground import GROUP, REGION, Ground, ago, refusal_of, simulated


@pytest.fixture
def ground() -> Iterator[Ground]:
    with simulated() as made:
        yield made


def test_a_seeded_server_differs_from_every_default(ground: Ground) -> None:
    found = ground.postgresql.whole.get(GROUP, "orders")
    assert found.properties is not None
    told = found.properties

    assert told.state == "Ready"
    assert told.backup.backup_retention_days == 14
    assert told.backup.earliest_restore_date < ago()
    assert told.high_availability.mode == "ZoneRedundant"
    assert told.data_encryption.primary_encryption_key_status == "Valid"
    assert told.network.public_network_access == "Disabled"
    assert told.auth_config.active_directory_auth == "Enabled"
    assert told.fully_qualified_domain_name.startswith("127.0.0.1:")
    assert found.system_data.created_at is not None


def test_a_restore_of_postgresql_carries_size_and_storage_only(ground: Ground) -> None:
    copy = ground.restored(
        tags={"refloat-run": "r"}, high_availability=postgresql.HighAvailability(mode="SameZone")
    )
    told = copy.properties
    source = ground.postgresql.whole.get(GROUP, "orders").properties

    assert copy.sku.name == "Standard_D4ds_v5"
    assert (told.storage, told.version) == (source.storage, source.version)
    assert told.backup.backup_retention_days == 14
    assert told.backup.geo_redundant_backup == "Enabled"
    assert told.data_encryption.primary_key_uri == source.data_encryption.primary_key_uri
    assert told.administrator_login == "refloat"
    assert copy.tags == {"refloat-run": "r"}
    assert told.high_availability.mode == "Disabled"
    assert told.maintenance_window.custom_window == "Disabled"
    assert told.network.public_network_access == "Enabled"
    assert list(ground.postgresql.firewall_rules.list_by_server(GROUP, "copy")) == []
    parameters = ground.postgresql.configurations.list_by_server(GROUP, "copy")
    assert {one.source for one in parameters} == {"system-default"}
    assert len(list(ground.postgresql.backups.list_by_server(GROUP, "copy"))) == 1


def test_a_restore_of_mysql_carries_rules_tags_and_most_parameters(ground: Ground) -> None:
    clients = ground.mysql
    ground.restore_mysql(location="France Central", tags={"refloat-run": "r"})
    ground.pass_time()
    copy = clients.servers.get(GROUP, "copy")

    assert copy.tags == {"environment": "production", "team": "shop", "refloat-run": "r"}
    assert {rule.name for rule in clients.firewall_rules.list_by_server(GROUP, "copy")} == {
        "offices",
        "batch",
    }
    parameters = clients.configurations.list_by_server(GROUP, "copy")
    set_by_people = {one.name for one in parameters if one.source == "user-override"}
    assert set_by_people == {
        "max_connections",
        "long_query_time",
        "slow_query_log",
        "event_scheduler",
    }
    assert copy.high_availability.mode == "Disabled"


def test_the_moment_reaches_the_server_behind(ground: Ground) -> None:
    moment = ago(minutes=3).replace(microsecond=0)

    ground.restored(point_in_time_utc=moment)

    assert ground.backends().running[ground.plane.server("copy").internal] == moment


def test_the_sdk_itself_waits_for_a_restore(ground: Ground) -> None:
    poller = ground.postgresql.servers.begin_create(
        GROUP,
        "copy",
        postgresql.Server(
            location=REGION,
            create_mode="PointInTimeRestore",
            source_server_resource_id=ground.id_of("orders"),
            point_in_time_utc=ago(minutes=1),
        ),
        polling_interval=0,
    )
    ground.pass_time()

    assert poller.result(10).state == "Ready"


def test_the_newer_sdk_of_mysql_reads_results_from_the_location(ground: Ground) -> None:
    poller = ground.mysql.whole.begin_update(
        GROUP,
        "carts",
        newer_mysql.ServerForUpdate(backup=newer_mysql.Backup(backup_retention_days=21)),
        polling_interval=0,
    )
    ground.pass_time()

    assert poller.result(10).backup.backup_retention_days == 21


def test_a_new_server_is_provisioning_and_busy_until_it_is_there(ground: Ground) -> None:
    url = ground.restore()
    servers = ground.postgresql.servers

    assert servers.get(GROUP, "copy").state == "Provisioning"
    assert servers.get(GROUP, "copy").backup.earliest_restore_date is None
    assert ground.clients.ask(url)["status"] == "InProgress"
    change = postgresql.ServerForUpdate(tags={})
    assert refusal_of(lambda: servers.begin_update(GROUP, "copy", change, polling=False)) == (
        409,
        "ServerIsBusy",
    )
    ground.pass_time()
    assert servers.get(GROUP, "copy").state == "Ready"
    assert ground.clients.ask(url)["status"] == "Succeeded"


def test_results_and_progress_have_addresses_of_their_own(ground: Ground) -> None:
    ground.account.failures["restart"] = Refusal(409, "ServerIsBusy", "not now")
    begun = Begun()
    wanted = mysql.ServerRestartParameter(restart_with_failover="Disabled")
    restart = ground.mysql.servers.begin_restart
    restart(GROUP, "carts", wanted, polling=False, raw_response_hook=begun)
    ground.pass_time()
    restart(GROUP, "carts", wanted, polling=False, raw_response_hook=(again := Begun()))

    with pytest.raises(BusyError, match="not now"):
        ground.clients.ask(begun.url.replace("azureAsyncOperation", "operationResults"))
    ground.estate.clock.move(ground.estate.durations.change / 2)
    progress = ground.clients.ask(again.url.replace("azureAsyncOperation", "operationProgress"))
    assert progress["percentComplete"] == pytest.approx(50, abs=5)


def test_a_failed_restore_is_told_by_its_operation_and_leaves_no_server(ground: Ground) -> None:
    ground.account.failures["restore"] = Refusal(409, "SkuNotAvailable", "no such size now")
    url = ground.restore()
    ground.pass_time()

    told = ground.clients.ask(url)
    failure = failure_of(told, "restore copy")
    assert isinstance(failure, CapacityMissingError)
    with pytest.raises(ResourceNotFoundError):
        ground.postgresql.servers.get(GROUP, "copy")


def test_a_restore_whose_real_work_fails_says_no_more_than_azure_does(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("out of reach")

    monkeypatch.setattr(ground.estate.backends["postgresql"], "restore", fail)
    ground.account.keeps_failed = True
    url = ground.restore()
    ground.pass_time()

    told = ground.clients.ask(url)
    assert told["error"]["code"] == "InternalServerError"
    assert isinstance(failure_of(told, "restore", Quirk.MOMENT), PointRefusedError)
    assert ground.postgresql.servers.get(GROUP, "copy").state == "Disabled"


@pytest.mark.parametrize("moment", [ago(days=30), ago(days=-1)])
def test_a_wrong_moment_is_an_internal_error_of_postgresql(
    ground: Ground, moment: datetime
) -> None:
    assert refusal_of(lambda: ground.restore(point_in_time_utc=moment)) == (
        500,
        "InternalServerError",
    )


def test_a_wrong_moment_is_the_callers_own_error_at_mysql(ground: Ground) -> None:
    status, code = refusal_of(lambda: ground.restore_mysql(at=ago(days=30)))

    assert (status, code) == (400, "InvalidRestorePointInTime")


def test_a_repeated_restore_is_refused_or_accepted_as_switched(ground: Ground) -> None:
    ground.restore()

    assert refusal_of(ground.restore) == (409, "ServerNameAlreadyExists")
    ground.account.accepts_again = True
    ground.restore()
    assert [one.name for one in ground.postgresql.servers.list()] == ["orders", "copy"]


def test_a_lost_reply_leaves_a_restore_under_way(ground: Ground) -> None:
    ground.estate.faults.lose_reply("Servers_Create")

    with pytest.raises(ServiceResponseError):
        ground.restore()

    assert ground.postgresql.servers.get(GROUP, "copy").state == "Provisioning"
    assert ground.wire.count()["Servers_Create"] == 1


def test_lists_and_tags_lag_behind(ground: Ground) -> None:
    ground.estate.faults.lag = timedelta(minutes=5)
    ground.restore(tags={"refloat-run": "r"})
    servers = ground.postgresql.servers

    assert [one.name for one in servers.list_by_resource_group(GROUP)] == ["orders"]
    assert servers.get(GROUP, "copy").tags == {}
    ground.pass_time()
    assert [one.name for one in servers.list_by_resource_group(GROUP)] == ["orders", "copy"]
    assert servers.get(GROUP, "copy").tags == {"refloat-run": "r"}


def test_lists_come_in_pages(ground: Ground) -> None:
    ground.account.page = 1
    ground.restore()

    for servers in (
        ground.postgresql.servers.list(),
        ground.postgresql.whole.list_by_resource_group(GROUP),
    ):
        assert [one.name for one in servers] == ["orders", "copy"]


def test_a_change_of_the_older_sdk_writes_its_defaults_beside(ground: Ground) -> None:
    change = postgresql.ServerForUpdate(backup=postgresql.Backup(backup_retention_days=21))
    servers = ground.postgresql

    assert refusal_of(
        lambda: servers.servers.begin_update(GROUP, "orders", change, polling=False)
    ) == (
        400,
        "InvalidParameterValue",
    )
    servers.whole.begin_update(
        GROUP,
        "orders",
        newer_postgresql.ServerForPatch(
            properties=newer_postgresql.ServerPropertiesForPatch(
                backup=newer_postgresql.BackupForPatch(backup_retention_days=21)
            ),
        ),
        polling=False,
    )
    ground.pass_time()
    told = servers.whole.get(GROUP, "orders").properties
    assert told.backup.backup_retention_days == 21
    assert told.backup.geo_redundant_backup == "Enabled"


def test_a_static_parameter_waits_for_a_restart(ground: Ground) -> None:
    configurations = ground.postgresql.configurations
    wanted = postgresql.Configuration(value="500", source="user-override")
    configurations.begin_put(GROUP, "orders", "max_connections", wanted, polling=False)
    ground.pass_time()
    set_now = configurations.get(GROUP, "orders", "max_connections")

    assert (set_now.value, set_now.source) == ("500", "user-override")
    assert set_now.is_config_pending_restart is True
    ground.postgresql.servers.begin_restart(GROUP, "orders", polling=False)
    assert ground.postgresql.servers.get(GROUP, "orders").state == "Restarting"
    ground.pass_time()
    found = configurations.get(GROUP, "orders", "max_connections")
    assert found.is_config_pending_restart is False


def test_mysql_sets_parameters_at_once_and_tells_truth_as_text(ground: Ground) -> None:
    configurations = ground.mysql.configurations
    wanted = mysql.ConfigurationForBatchUpdate(name="innodb_log_file_size", value="536870912")
    batch = mysql.ConfigurationListForBatchUpdate(value=[wanted])
    configurations.begin_batch_update(GROUP, "carts", batch, polling=False)
    ground.pass_time()

    found = configurations.get(GROUP, "carts", "innodb_log_file_size")
    assert found.is_config_pending_restart == "True"


def test_firewall_rules_come_and_go_without_disturbing_the_server(ground: Ground) -> None:
    rules = ground.postgresql.firewall_rules
    rule = postgresql.FirewallRule(start_ip_address="192.0.2.1", end_ip_address="192.0.2.9")
    rules.begin_create_or_update(GROUP, "orders", "new", rule, polling=False)
    rules.begin_delete(GROUP, "orders", "offices", polling=False)
    assert ground.postgresql.servers.get(GROUP, "orders").state == "Ready"
    ground.pass_time()

    assert {one.name for one in rules.list_by_server(GROUP, "orders")} == {"batch", "new"}


def test_a_second_backup_of_postgresql_is_an_internal_error(ground: Ground) -> None:
    backups = ground.postgresql.backups
    backups.begin_create(GROUP, "orders", "mine", polling=False)

    assert (
        refusal_of(lambda: backups.begin_create(GROUP, "orders", "other", polling=False))[0] == 500
    )
    ground.pass_time()
    assert (
        refusal_of(lambda: backups.begin_create(GROUP, "orders", "mine", polling=False))[0] == 500
    )
    kinds = [one.properties.backup_type for one in backups.list_by_server(GROUP, "orders")]
    assert kinds == ["Customer On-Demand", "Full", "Full"]
    backups.begin_delete(GROUP, "orders", "mine", polling=False)
    ground.pass_time()
    assert len(list(backups.list_by_server(GROUP, "orders"))) == 2


def test_no_more_than_seven_backups_are_taken_of_postgresql(ground: Ground) -> None:
    backups = ground.postgresql.backups
    for number in range(7):
        backups.begin_create(GROUP, "orders", f"mine-{number}", polling=False)
        ground.pass_time()

    assert (
        refusal_of(lambda: backups.begin_create(GROUP, "orders", "mine-8", polling=False))[0] == 400
    )


def test_backups_of_mysql_are_taken_by_its_newer_sdk_and_listed_by_the_older(
    ground: Ground,
) -> None:
    poller = ground.mysql.taking.begin_create(GROUP, "carts", "mine", polling_interval=0)
    ground.pass_time()

    assert poller.result(10).backup_type == "Customer On-Demand"
    names = [one.name for one in ground.mysql.backups.list_by_server(GROUP, "carts")]
    assert "mine" in names


def test_a_virtual_endpoint_keeps_its_address_on_its_way_to_another_server(ground: Ground) -> None:
    ground.restored()
    endpoints = ground.postgresql.virtual_endpoints
    before = endpoints.get(GROUP, "orders", "orders-endpoint").properties
    wanted = newer_postgresql.VirtualEndpoint(
        properties=newer_postgresql.VirtualEndpointResourceProperties(
            endpoint_type="ReadWrite", members=["copy"]
        )
    )

    def create() -> None:
        endpoints.begin_create(GROUP, "copy", "orders-endpoint", wanted, polling=False)

    assert refusal_of(create)[0] == 409
    endpoints.begin_delete(GROUP, "orders", "orders-endpoint", polling=False)
    ground.pass_time()
    assert ground.route_of(before.virtual_endpoints[0]) is None
    create()
    ground.pass_time()
    after = endpoints.get(GROUP, "copy", "orders-endpoint").properties
    assert after.virtual_endpoints == before.virtual_endpoints
    assert after.members == ["copy"]
    assert ground.route_of(after.virtual_endpoints[0]) is not None
