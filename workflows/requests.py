"""What short workflows are asked and answer, beside the domain's own types."""

from enum import IntEnum

from domain.resources import ProtectedResource
from domain.values import UtcDatetime, Value

RECOVERY_QUEUE = "recovery"
DRILL_QUEUE = "drill"


class ApprovalGiven(Value):
    """A person's yes to a plan, as the client stamps it."""

    by: str
    note: str = ""


class Stage(IntEnum):
    """How far a part of a whole is: made ready, in effect but still to be taken back, over."""

    PREPARED = 0
    ACTED = 1
    OVER = 2


class Reached(Value):
    """A part tells the whole how far it is."""

    path: str
    stage: Stage


class FindSuspects(Value):
    """Look for commits that removed something, since a moment."""

    resource: ProtectedResource
    since: UtcDatetime


class CreateSnapshot(Value):
    """Take a named snapshot; `key` makes asking twice harmless."""

    resource: ProtectedResource
    key: str
    name: str = ""
