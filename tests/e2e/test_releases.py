"""The README's bad release and bad configuration, typed in a sandbox that runs real images."""

import json
from datetime import timedelta
from http import HTTPStatus

import pytest
from pydantic import TypeAdapter

from tests.e2e.box import CHECKOUT, ORDERS, SETTINGS, Box, empty_box, fetch, require_silence
from tests.station import now, wait_for
from tests.yard import needs_podman

pytestmark = [needs_podman, pytest.mark.slow]
SPAN = TypeAdapter(timedelta)


def test_a_release_a_configuration_and_the_whole_environment_come_back() -> None:
    with empty_box(images=True) as box:
        box.refloat("sandbox", "up")
        listed = box.document("recovery-point", "list", CHECKOUT)
        first = listed["ran"][0]["images"][0]["digest"]
        assert {tag for one in listed["images"] for tag in one["tags"]} == {"v1", "v2", "crash"}
        assert "v1" in box.refloat("resource", "show", CHECKOUT)
        notes = box.root / "applications" / "checkout" / "ran.json"
        wait_for("v1 to be noted as healthy", lambda: '"healthy_at": "' in notes.read_text())

        box.refloat("sandbox", "deploy", "v2")
        wait_for("the shop to notice", lambda: _is_ill(box))
        assert "(v1)" in box.refloat("rollback", CHECKOUT, "--previous", "--plan")
        report = box.document("rollback", CHECKOUT, "--previous", "--yes")
        assert (report["outcome"], report["rollback"]["image"]["digest"]) == ("done", first)
        assert SPAN.validate_python(report["measured_rto"]) < timedelta(seconds=15)
        assert box.shop_is_healthy()

        failed = box.document("rollback", CHECKOUT, "--to", "crash", "--yes", code=1)
        assert "No module named 'payments_of_next_year'" in failed["failure"]
        assert box.shop_is_healthy()

        moment = now() + timedelta(seconds=1)
        wait_for("the moment to pass", lambda: now() > moment + timedelta(seconds=1))
        box.refloat("sandbox", "deploy", "settings")
        wait_for("the shop to notice", lambda: _is_ill(box))
        report = box.document("rollback", SETTINGS, "--previous", "--yes")
        assert report["outcome"] == "done"
        assert box.shop_is_healthy()

        box.refloat("sandbox", "deploy", "v2")
        wait_for("the shop to notice", lambda: _is_ill(box))
        box.refloat("sandbox", "deploy", "settings")
        box.refloat("sandbox", "psql", "-c", "drop table shop.orders")
        report = box.document("rewind", "shop/production", "--to", moment.isoformat(), "--yes")
        assert {part["path"] for part in report["parts"]} == {ORDERS, SETTINGS, CHECKOUT}
        assert report["outcome"] == "done", json.dumps(report, indent=1)
        assert box.shop_is_healthy()
        assert int(box.sql("select count(*) from shop.orders")) > 0

        box.refloat("sandbox", "down")
        require_silence(box.folder)


def _is_ill(box: Box) -> bool:
    """Return whether the shop runs and says that it does not work."""
    return (
        fetch(f"http://127.0.0.1:{box.ports['shop']}/healthz")[0] == HTTPStatus.SERVICE_UNAVAILABLE
    )
