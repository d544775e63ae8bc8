"""Puts settings, providers, activities and workflows together, and polls Temporal."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError
from temporalio.client import Client
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.configuration import ConfigurationActivities
from activities.consumers import ConsumerActivities
from activities.database import (
    CutoverActivities,
    PointActivities,
    RestoreActivities,
    all_steps,
)
from activities.evidence import EvidenceActivities
from activities.log import start_log
from activities.rollback import RollbackActivities
from activities.verification import VerificationActivities
from client.catalog_file import find_catalog, load_catalog
from client.connection import TemporalUnreachableError, connect
from client.settings import load_settings, load_time_scale
from domain.catalog import Catalog
from domain.errors import RecoveryError
from providers import registry
from providers.evidence.folder import FolderReports
from providers.secrets.references import Secrets
from workflows.application_rollback import ApplicationRollbackWorkflow, PlanRollbackWorkflow
from workflows.configuration_rollback import (
    ConfigurationRollbackWorkflow,
    PlanConfigurationWorkflow,
)
from workflows.database_restore import DatabaseRestoreWorkflow
from workflows.history import ListCandidatesWorkflow, ListCommitsWorkflow
from workflows.requests import DRILL_QUEUE, RECOVERY_QUEUE
from workflows.rewind import PlanRewindWorkflow, RewindWorkflow
from workflows.short import (
    CopySnapshotWorkflow,
    CreateSnapshotWorkflow,
    DeleteSnapshotWorkflow,
    DescribeResourceWorkflow,
    FindReportWorkflow,
    FindSuspectsWorkflow,
    LastRunsWorkflow,
    ListRecoveryPointsWorkflow,
    PlanRestoreWorkflow,
    ReleaseWorkflow,
)

WORKFLOWS = (
    DatabaseRestoreWorkflow,
    ApplicationRollbackWorkflow,
    ConfigurationRollbackWorkflow,
    RewindWorkflow,
    PlanRewindWorkflow,
    PlanRestoreWorkflow,
    PlanRollbackWorkflow,
    PlanConfigurationWorkflow,
    ListCandidatesWorkflow,
    ListCommitsWorkflow,
    DescribeResourceWorkflow,
    LastRunsWorkflow,
    FindReportWorkflow,
    ListRecoveryPointsWorkflow,
    FindSuspectsWorkflow,
    CreateSnapshotWorkflow,
    CopySnapshotWorkflow,
    DeleteSnapshotWorkflow,
    ReleaseWorkflow,
)
PASSED_THROUGH = (
    "domain",
    "activities",
    "workflows",
    "pydantic",
    "pydantic_core",
    "annotated_types",
)
QUEUES = (RECOVERY_QUEUE, DRILL_QUEUE)
_THREADS = 16


def runner() -> SandboxedWorkflowRunner:
    """Return the workflow sandbox, with our own pure modules passed through."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return SandboxedWorkflowRunner(restrictions=restrictions)


def build_workers(
    client: Client,
    catalog: Catalog,
    base: Path,
    interceptors: Sequence[Interceptor] = (),
    queues: Sequence[str] = QUEUES,
) -> list[Worker]:
    """Return the workers of the chosen queues, for every provider of the catalog."""
    secrets = Secrets(base)
    scale = load_time_scale()
    databases = {
        name: registry.databases(name, entry, base, secrets, scale)
        for name, entry in catalog.providers.items()
    }
    images = registry.images(catalog, base, secrets)
    restrictions = runner()
    workers = [
        Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS,
            workflow_runner=restrictions,
            workflow_failure_exception_types=[ValidationError],
            interceptors=interceptors,
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=3),
        )
        for queue in queues
    ]
    for name, entry in catalog.providers.items():
        root = registry.state_folder(entry, base)
        steps = all_steps(
            PointActivities(databases),
            RestoreActivities(databases),
            CutoverActivities(databases),
            VerificationActivities(databases, registry.questions(secrets)),
            ConsumerActivities(registry.consumers(entry, base)),
            RollbackActivities(registry.platforms(catalog, entry, base, secrets, scale), images),
            ConfigurationActivities(
                registry.repositories(catalog, entry, base, secrets),
                registry.configuration_platforms(catalog, entry, base, scale),
            ),
            EvidenceActivities(FolderReports(root / "reports")),
        )
        workers += [
            Worker(
                client,
                task_queue=f"{queue}-{name}",
                activities=steps,
                # its own: a drill never takes an incident's threads, nor one provider another's
                activity_executor=ThreadPoolExecutor(max_workers=_THREADS),
                max_concurrent_activities=_THREADS,
                interceptors=interceptors,
                graceful_shutdown_timeout=timedelta(seconds=10),
                max_heartbeat_throttle_interval=timedelta(seconds=1),
                default_heartbeat_throttle_interval=timedelta(seconds=1),
            )
            for queue in queues
        ]
    return workers


async def serve(
    path: Path, interceptors: Sequence[Interceptor] = (), queues: Sequence[str] = QUEUES
) -> None:
    """Poll until a signal comes; leave in order, so that others take over at once."""
    catalog = load_catalog(path)
    client = await connect(load_settings(path))
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    async with AsyncExitStack() as running:
        for worker in build_workers(client, catalog, path.parent, interceptors, queues):
            await running.enter_async_context(worker)
        print(f"refloat-worker: polling for {', '.join(catalog.providers)}", flush=True)  # noqa: T201
        await stop.wait()


def main() -> None:
    """Run the worker of a catalog."""
    parser = argparse.ArgumentParser(
        prog="refloat-worker", description="Runs recoveries beside the data; dials out only."
    )
    parser.add_argument("--catalog", help="default: REFLOAT_CATALOG, else ./refloat.yaml")
    parser.add_argument(
        "--queue",
        choices=QUEUES,
        action="append",
        help="only incidents (recovery) or only drills (drill), so that a drill's worker can be "
        "given credentials that cannot reach production; default: both",
    )
    asked = parser.parse_args()
    start_log()
    code = 0
    try:
        asyncio.run(serve(find_catalog(asked.catalog).resolve(), queues=asked.queue or QUEUES))
    except TemporalUnreachableError as error:
        print(f"refloat-worker: {error}", file=sys.stderr)  # noqa: T201
        code = 4
    except RecoveryError as error:
        print(f"refloat-worker: {error}", file=sys.stderr)  # noqa: T201
        code = 2
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the SDK's core may crash when the interpreter ends; the work is done by now


if __name__ == "__main__":
    main()
