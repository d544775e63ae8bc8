"""What the local provider keeps in files: servers, backups, archives and their health."""

from datetime import timedelta
from enum import StrEnum

from domain.checks import ProofPoint
from domain.recovery import CommitMark
from domain.values import UtcDatetime, Value


class Desired(StrEnum):
    """What the supervisor should bring about for a server."""

    PREPARING = "preparing"
    RUNNING = "running"
    STOPPED = "stopped"
    ABSENT = "absent"


class RecoveryAim(Value):
    """Where a restoring server stops replaying, on which timeline; it then begins a later one."""

    lsn: str
    inclusive: bool
    timeline: int


class ServerRecord(Value):
    """One server: what it is, and what the supervisor should do with it."""

    name: str
    instance: str
    host: str
    port: int
    managed: bool
    major: int
    run_id: str = ""
    desired: Desired = Desired.PREPARING
    generation: int = 1
    receiving: bool = False
    synchronous: bool = False
    listen: str = "127.0.0.1"
    aim: RecoveryAim | None = None
    made_at: UtcDatetime
    settings: dict[str, str] = {}
    kept: bool = False
    fenced: bool = False


class ServerStatus(Value):
    """What the supervisor sees of a server."""

    state: str
    pid: int | None = None
    generation: int = 0
    exit_code: int | None = None
    since: UtcDatetime
    problem: str = ""
    shared_memory: tuple[str, ...] = ()


class ArchiveStatus(Value):
    """How far the archive follows its server, as measured by the supervisor."""

    measured_at: UtcDatetime
    server_lsn: str | None = None
    received_lsn: str | None = None
    lag: timedelta | None = None
    complete_to: UtcDatetime | None = None
    complete_lsn: str | None = None
    receiver_pid: int | None = None
    problem: str = ""
    backup_problem: str = ""


class Tenure(Value):
    """The time during which one server was what the path meant."""

    server: str
    since: UtcDatetime
    until: UtcDatetime | None = None
    run_id: str = ""
    released: bool = False


class CurrentRecord(Value):
    """Which server the path means, and which ones it meant before."""

    server: str
    tenures: tuple[Tenure, ...]


class ArchiveRecord(Value):
    """One server's archive: of which cluster, on which timeline."""

    server: str
    system_identifier: str
    timeline: int
    segment_bytes: int
    major: int
    started_at: UtcDatetime


class BackupRecord(Value):
    """One base backup in an archive."""

    id: str
    server: str
    started_at: UtcDatetime
    completed_at: UtcDatetime
    start_lsn: str
    stop_lsn: str
    timeline: int
    plain_bytes: int
    stored_bytes: int
    sha256: str
    key_id: str
    major: int
    version: str = ""
    last_commit: CommitMark | None = None


class Configuration(Value):
    """What a server was configured with at a backup; kept sealed, since it may hold secrets."""

    settings: dict[str, str]
    hba: str
    outside: tuple[str, ...] = ()


class SnapshotRecord(Value):
    """One kept point: its backup, its position and, when taken, its proof."""

    id: str
    server: str
    name: str
    key: str
    taken_at: UtcDatetime
    lsn: str
    inclusive: bool
    backup_id: str | None
    stored_bytes: int | None = None
    proof: ProofPoint | None = None
