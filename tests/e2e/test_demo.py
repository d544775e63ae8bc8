"""The demonstration that a newcomer types first: a disaster, and the data back."""

import re
from pathlib import Path

import pytest

from providers.local.servers import port_in_use
from tests.e2e.box import Box, empty_box, require_silence, told
from tests.e2e.newcomer import as_ordinary_user, with_clone


def _number(pattern: str, screen: str) -> int:
    found = re.search(pattern, screen)
    assert found, f"{pattern} is not in:\n{screen}"
    return int(found[1])


def _play(box: Box, root: Path, disaster: str) -> str:
    """Play the demo and hold it against what every demo must do; return what it printed."""
    done = box.run(box.python, "-m", "sandbox", "demo", "--root", str(root), "--disaster", disaster)
    screen = done.stdout
    assert done.returncode == 0, told(disaster, done)
    assert "RESTORED: shop/production/orders" in screen
    assert "shop healthy: True" in screen
    before = _number(r"orders before the disaster: (\d+)", screen)
    assert before >= 3000
    assert _number(r"now: (\d+)", screen) >= before
    assert _number(r"the whole demo took (\d+) s", screen) < 60
    assert "<svg" in (root / "report.html").read_text()
    for path in (box.folder, root.resolve()):
        require_silence(path)
    ports = box.ports
    assert [port for port in range(ports["database"], ports["last"]) if port_in_use(port)] == []
    return screen


@pytest.mark.slow
def test_the_demo_brings_a_dropped_table_back_and_does_so_again_in_the_same_folder() -> None:
    with empty_box() as box:
        first = _play(box, box.root, "drop-table")
        second = _play(box, box.root, "drop-table")

    before = [_number(r"orders before the disaster: (\d+)", screen) for screen in (first, second)]
    assert before[1] >= before[0] + 3000
    assert "creating a PostgreSQL server" not in second


@pytest.mark.slow
def test_the_demo_brings_a_lost_disk_back_from_a_home_that_nobody_else_may_enter() -> None:
    with empty_box(mode=0o700) as mine:
        box = with_clone(mine)
        screen = _play(box, box.root, "disk")
        held = box.root.resolve()
        box.refloat("sandbox", "down", "--purge")

        assert not box.root.is_symlink()
        assert not held.exists()

    assert "rm -rf" in screen


@pytest.mark.slow
def test_the_demo_undoes_a_bad_update_for_an_ordinary_user() -> None:
    with empty_box() as mine:
        box = as_ordinary_user(mine)
        _play(box, box.root, "bad-update")

        box.refloat("sandbox", "up")
        assert box.sql("select count(*) from shop.orders where amount = 0") == "0"
        assert int(box.sql("select count(*) from shop.orders")) >= 3000
        assert {path.owner() for path in box.root.rglob("*")} == {box.folder.owner()}
