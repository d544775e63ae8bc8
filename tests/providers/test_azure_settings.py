"""What Azure restores without, and how it comes over: networks, rules, parameters."""

from pathlib import Path
from typing import Any

import pytest

from domain.errors import (
    ConfigurationRefusedError,
    NotYetError,
    ServerFailedError,
)
from domain.resources import Mode
from providers.azure.settings import TABLE
from simulators.faults import Refusal
from tests.providers import azure_stand
from tests.providers.azure_stand import OPEN, account_of, sent_by, server
from tests.providers.clouds import AZURE, Stand, stand_of
from tests.providers.test_cloud_contract import a_point, key
from tests.simulators.scripted import scripted_estate
from tests.station import Notes

bare, stand, mysql = azure_stand.bare, azure_stand.stand, azure_stand.mysql


def test_rules_of_an_open_server_come_over_and_no_other_stays(bare: Stand) -> None:
    bare.seed(**OPEN)
    restored = bare.restore(a_point(bare), key())
    copy = server(bare, restored.handle.server)
    copy.rules["everybody"] = {"startIpAddress": "0.0.0.0", "endIpAddress": "255.255.255.255"}  # noqa: S104 - the hole

    outcomes = bare.carry_over(restored, Mode.DRILL)

    assert outcomes["firewall rules"] == "fixed"
    assert copy.rules == server(bare, "orders").rules


def test_a_copy_that_is_wider_open_is_closed_before_anything_else(bare: Stand) -> None:
    bare.seed(**OPEN)
    restored = bare.restore(a_point(bare), key())
    server(bare, "orders").properties["network"]["publicNetworkAccess"] = "Disabled"
    settings = bare.provider.settings

    def once() -> None:
        with pytest.raises(NotYetError, match="to take public access"):
            settings.carry_over(bare.resource, restored, Mode.DRILL, Notes())

    changes = [sent for sent in sent_by(bare, once) if sent[0] != "GET"]
    assert [body for *_, body in changes] == [
        {"properties": {"network": {"publicNetworkAccess": "Disabled"}}}
    ]


def test_a_copy_that_is_closed_loses_strange_rules_before_it_opens(bare: Stand) -> None:
    bare.seed(**{**OPEN, "network": {"publicNetworkAccess": "Disabled"}})
    restored = bare.restore(a_point(bare), key())
    copy = server(bare, restored.handle.server)
    copy.rules["everybody"] = {"startIpAddress": "0.0.0.0", "endIpAddress": "255.255.255.255"}  # noqa: S104 - the hole
    server(bare, "orders").properties["network"]["publicNetworkAccess"] = "Enabled"

    def carry() -> None:
        bare.carry_over(restored, Mode.DRILL)

    changes = [
        (verb, path.rpartition("/")[2]) for verb, path, *_ in sent_by(bare, carry) if verb != "GET"
    ]
    in_order = list(dict.fromkeys(changes))
    assert in_order[:2] == [("DELETE", "everybody"), ("PATCH", restored.handle.server)]
    assert copy.rules == server(bare, "orders").rules


def test_parameters_that_need_a_restart_get_one_before_the_standby(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())
    copy = server(stand, restored.handle.server)

    sent = sent_by(stand, lambda: stand.carry_over(restored))

    restarts = [at for at, (_, path, *_) in enumerate(sent) if path.endswith("/restart")]
    standby = [at for at, sent_one in enumerate(sent) if "highAvailability" in str(sent_one[3])]
    assert copy.parameters == server(stand, "orders").parameters
    assert not copy.pending
    assert len(restarts) == 1
    assert restarts[0] < standby[0]


def test_what_no_restart_puts_in_force_is_not_restarted_for_ever(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())
    copy = server(stand, restored.handle.server)
    copy.pending = _Forever(("max_connections",))

    stand.carry_over(restored, Mode.DRILL)

    assert stand.wire.count()["Servers_Restart"] == 1


class _Forever(set[str]):
    def clear(self) -> None:
        """Keep everything."""


def test_parameters_of_mysql_are_set_at_once(mysql: Stand) -> None:
    restored = mysql.restore(a_point(mysql), key())
    server(mysql, restored.handle.server).parameters["long_query_time"] = "3"

    mysql.carry_over(restored)

    assert mysql.wire.count()["Configurations_BatchUpdate"] == 1
    copy = server(mysql, restored.handle.server).parameters
    assert copy == server(mysql, "orders").parameters


def test_a_parameter_goes_back_to_its_default(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())
    copy = server(stand, restored.handle.server)
    copy.parameters["idle_in_transaction_session_timeout"] = "5"

    stand.carry_over(restored, Mode.DRILL)

    assert copy.parameters == server(stand, "orders").parameters


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_everything_that_is_compared_is_in_the_table(tmp_path: Path, engine: str) -> None:
    other = {"postgresql": "MySQL", "mysql": "PostgreSQL"}[engine]
    with stand_of(AZURE, scripted_estate(), tmp_path, engine) as stand:
        stand.seed()
        settings = stand.instances()["orders"].settings

        assert set(settings) == {row.name for row in TABLE} - {f"geo-redundant backup of {other}"}


def test_a_lock_forbids_the_deletion_and_is_named(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())
    plane: Any = stand.plane
    plane.lock(restored.handle.server)

    with pytest.raises(
        ConfigurationRefusedError, match=f"lock of .*{restored.handle.server} first"
    ):
        stand.provider.recovery.discard(stand.resource, restored.handle)
    assert stand.carry_over(restored)["management locks"] == "left"


def test_a_change_of_a_stopped_server_is_not_waited_for(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())
    plane: Any = stand.plane
    plane.force(restored.handle.server, "Stopped")
    copy = stand.instances()[restored.handle.server]

    with pytest.raises(ServerFailedError, match="start it with"):
        stand.account.settings.change(copy, {"public access": "Disabled"}, copy)


def test_a_change_that_fails_once_does_not_keep_the_settings_from_being_repaired(
    stand: Stand,
) -> None:
    restored = stand.restore(a_point(stand), key())
    account_of(stand).failures["update"] = Refusal(409, "SkuNotAvailable", "No standby here.")

    outcomes = stand.carry_over(restored)

    assert account_of(stand).failures == {}
    assert outcomes
    left = {row.name for row in stand.account.settings.table if row.left}
    assert {name for name, outcome in outcomes.items() if outcome != "fixed"} <= left


def test_what_goes_on_is_not_begun_again(bare: Stand) -> None:
    bare.seed(**OPEN)
    restored = bare.restore(a_point(bare), key())

    bare.carry_over(restored, Mode.DRILL)

    assert bare.wire.count()["FirewallRules_CreateOrUpdate"] == len(server(bare, "orders").rules)


def test_a_disk_that_is_larger_than_the_sources_stays_so(stand: Stand) -> None:
    restored = stand.restore(a_point(stand), key())
    copy = server(stand, restored.handle.server)
    copy.properties["storage"] |= {"storageSizeGB": 512, "autoGrow": "Disabled"}

    outcomes = stand.carry_over(restored)

    assert (outcomes["storage size"], outcomes["storage growth"]) == ("left", "fixed")
    assert copy.properties["storage"]["storageSizeGB"] == 512
    told = stand.instances()
    pair = told["orders"], told[restored.handle.server]
    assert stand.account.settings.left("storage size", *pair) == "a disk only grows"
    assert not stand.account.settings.left("storage size", *reversed(pair))
