"""What short workflows are asked and answer, beside the domain's own types."""

from domain.resources import ProtectedResource
from domain.values import UtcDatetime, Value

RECOVERY_QUEUE = "recovery"
DRILL_QUEUE = "drill"


class ApprovalGiven(Value):
    """A person's yes to a plan, as the client stamps it."""

    by: str
    note: str = ""


class FindSuspects(Value):
    """Look for commits that removed something, since a moment."""

    resource: ProtectedResource
    since: UtcDatetime


class CreateSnapshot(Value):
    """Take a named snapshot; `key` makes asking twice harmless."""

    resource: ProtectedResource
    key: str
    name: str = ""
