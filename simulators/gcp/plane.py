"""The stand-in of the Cloud SQL Admin API as a whole."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from werkzeug.wrappers import Request, Response

from simulators.backends import Master
from simulators.estate import Estate, Seed
from simulators.faults import Refusal
from simulators.gcp import backups, calls, deleting, instances, jobs, refusals, restoring, servers
from simulators.gcp.account import Account, Switches
from simulators.gcp.calls import Call
from simulators.gcp.records import Instance
from simulators.gcp.shapes import (
    LATEST,
    SETTABLE,
    check,
    completed,
    instance_fields,
    merged,
    production,
    recovers_to_a_time,
)
from simulators.gcp.spelling import Json
from simulators.wire import ControlPlane

EXISTED = timedelta(days=90)
"""How long a seeded instance has existed, and been listed."""
PATIENCE = 60.0
"""Seconds in which a seeded server must have a window to recover to."""

FLAGS: list[Json] = [
    {"kind": "sql#flag", "name": "max_connections", "type": "INTEGER", "requiresRestart": True},
    {"kind": "sql#flag", "name": "log_min_duration_statement", "type": "INTEGER"},
    {"kind": "sql#flag", "name": "slow_query_log", "type": "BOOLEAN"},
]

HANDLERS: Mapping[str, Callable[[Account, Call], Json]] = {
    "List": instances.list_,
    "Insert": instances.insert,
    "Get": instances.get,
    "Patch": instances.patch,
    "Update": instances.update,
    "Delete": deleting.delete,
    "Clone": restoring.clone,
    "RestoreBackup": restoring.restore_backup,
    "GetLatestRecoveryTime": instances.recovery_times,
    "GetConnectSettings": instances.connect_settings,
    "Users.List": instances.users,
    "BackupRuns.List": backups.list_runs,
    "BackupRuns.Insert": backups.insert_run,
    "BackupRuns.Get": backups.get_run,
    "BackupRuns.Delete": backups.delete_run,
    "ListBackups": backups.list_,
    "CreateBackup": backups.create,
    "GetBackup": backups.get,
    "DeleteBackup": backups.delete,
    "Operations.List": jobs.list_,
    "Operations.Get": jobs.get,
    "Flags.List": lambda _, __: {"kind": "sql#flagsList", "items": FLAGS},
}


class CloudSqlPlane(ControlPlane):
    """One Google Cloud account with Cloud SQL in it."""

    def __init__(self, estate: Estate, project: str = "sandbox") -> None:
        self.estate, self.project = estate, project
        self._account = Account(estate)

    @property
    def switches(self) -> Switches:
        """Return how this account behaves, to be changed by tests."""
        return self._account.switches

    def operation_of(self, request: Request) -> str:
        """Return the name of the API's method, such as `Clone` or `BackupRuns.Insert`."""
        return calls.operation_of(request)

    def answer(self, request: Request) -> Response:
        """Carry out a call and answer as Cloud SQL does."""
        try:
            call = calls.read(request)
            with self._account.lock:
                jobs.settle(self._account)
                answer = json.dumps(self._handler(call)(self._account, call))
        except refusals.RefusedError as error:
            return refusals.response_of(error.refusal)
        return Response(answer, mimetype="application/json")

    def render(self, request: Request, refusal: Refusal) -> Response:  # noqa: ARG002 - one form for all calls
        """Return an error in Cloud SQL's own form."""
        return refusals.response_of(refusal)

    def throttled(self) -> Refusal:
        """Return the error by which Cloud SQL refuses too many calls."""
        return refusals.throttled(self.switches.throttled_status)

    def seed(self, seed: Seed) -> tuple[str, int]:
        """Make an instance with settings of production; `seed.settings` overrides its fields.

        They are the fields of an instance resource, such as `{"settings": {"tier": …}}`, merged as
        PATCH does; null removes one.
        """
        strange = set(seed.settings) - set(SETTABLE)
        if strange:
            raise ValueError(f"no fields of an instance: {', '.join(sorted(strange))}")
        version = _version(seed)
        fields = completed(
            merged(production(self.project, version), instance_fields(seed.settings))
        )
        check(fields)
        master = Master(seed.user, seed.password, seed.database)
        with self._account.lock:
            made = self._account.add(self.project, seed.name, fields, master)
        made.created_at -= EXISTED
        made.appeared -= EXISTED
        servers.creating(self._account, made)()
        self._await_window(made)
        self._back_up(made)
        if made.settings["activationPolicy"] == "NEVER":
            servers.switching(self._account, made, "NEVER")()
        made.become("RUNNABLE")
        return "127.0.0.1", servers.port_of(self._account, made)

    def allow(self, instances: int) -> None:
        """Set how many instances the account may have, as its provider does on request."""
        self.switches.quota = instances

    def force(self, name: str, state: str) -> None:
        """Hold an instance of any project in a raw state; a suspension may have `:REASON` behind."""
        with self._account.lock:
            if state:
                self._account.forced[name] = state
            else:
                self._account.forced.pop(name, None)

    def disable_key(self) -> None:
        """Disable every key that an instance has: nothing can be made with it from now on."""
        with self._account.lock:
            self.switches.disabled_keys |= {each.key for each in self._account.instances.values()}
            self.switches.disabled_keys.discard("")

    def server_of(self, name: str) -> str:
        """Return the id of the real server behind an instance of the usual project."""
        with self._account.lock:
            return self._account.instances[self.project, name].server

    def _handler(self, call: Call) -> Callable[[Account, Call], Json]:
        if call.operation not in HANDLERS:
            raise refusals.RefusedError(
                501, "unsupportedOperation", "The stand-in of Cloud SQL does not have this call."
            )
        return HANDLERS[call.operation]

    def _await_window(self, instance: Instance) -> None:
        """Return when the instance can be recovered to a time, where it is set so."""
        real, until = self._account.backends(instance.engine), time.monotonic() + PATIENCE
        while recovers_to_a_time(instance.fields) and real.window(instance.server) is None:
            if time.monotonic() > until:
                raise TimeoutError(f"{instance.name} has no window after {PATIENCE:.0f} s")
            time.sleep(0.05)

    def _back_up(self, instance: Instance) -> None:
        """Take the automated backup that a seeded instance has."""
        if instance.settings["backupConfiguration"].get("enabled"):
            backup = backups.new(self._account, instance, "AUTOMATED")
            backups.taking(self._account, instance, backup)()
            backup.state = "SUCCESSFUL"
            with self._account.lock:
                self._account.backups.append(backup)


def _version(seed: Seed) -> str:
    """Return the `databaseVersion` of a seed, whose version may be written as the engine does."""
    if not seed.version:
        return LATEST[seed.engine]
    if "_" in seed.version:
        return seed.version
    prefix = {"postgresql": "POSTGRES", "mysql": "MYSQL"}[seed.engine]
    return f"{prefix}_{seed.version.replace('.', '_')}"
