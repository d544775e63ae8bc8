"""A fence that cannot be set now: it says so, and holds nobody up."""

from typing import Any

import psycopg
import pytest

from domain.errors import ServerFailedError
from domain.recovery import RestoreHandle
from providers.postgresql.fence import fence
from tests.station import Station


def test_a_fence_behind_a_lock_gives_up_and_says_why(
    shared: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = shared.servers.current()
    handle = RestoreHandle(server=current.name, host=current.host, port=current.port, run_id="")
    owner = shared.resource.connection
    execute = psycopg.Connection[Any].execute
    patience: list[str] = []

    def hasty(held: "psycopg.Connection[Any]", query: Any, *more: Any) -> Any:
        """Do with a tenth of a second what the fence does with all the seconds it has."""
        if isinstance(query, str) and "statement_timeout" in query:
            patience.append(query)
            query = "set statement_timeout = '100ms'"
        return execute(held, query, *more)

    with shared.session() as other, other.transaction(force_rollback=True):
        other.execute("set idle_in_transaction_session_timeout = '5s'")  # a hang is a failure
        other.execute("alter database postgres set work_mem = '5MB'")
        monkeypatch.setattr(psycopg.Connection, "execute", hasty)
        with pytest.raises(ServerFailedError, match="statement timeout"):
            fence(handle, owner, shared.secrets, fenced=True)
        monkeypatch.undo()

    assert patience == ["set statement_timeout = '15s'"]
    assert shared.sql("select setconfig from pg_db_role_setting") == []
