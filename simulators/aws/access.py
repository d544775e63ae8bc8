"""Who may do what: credentials that are accepted or not, and permissions that are missing."""

from simulators.aws.calls import Call
from simulators.aws.refusals import ApiError

RESTRICTED = "AKIADENIED"
"""How the key id begins of a user to whom denied actions are denied."""
UNKNOWN = "AKIAUNKNOWN"
EXPIRED = "ASIAEXPIRED"
_SUBJECTS = (
    ("TargetDBInstanceIdentifier", "db"),
    ("DBInstanceIdentifier", "db"),
    ("DBSnapshotIdentifier", "snapshot"),
    ("TargetDBSnapshotIdentifier", "snapshot"),
)


class Access:
    """Accepts all credentials but those that stand for bad ones."""

    def __init__(self, account: str) -> None:
        self.account = account
        self._denied: set[str] = set()

    @property
    def user(self) -> str:
        """The ARN of the user that all credentials belong to."""
        return f"arn:aws:iam::{self.account}:user/refloat"

    def deny(self, action: str) -> None:
        """Deny an action, such as `rds:ModifyDBInstance`, to restricted credentials."""
        self._denied.add(action)

    def allow(self, action: str) -> None:
        """Allow an action again."""
        self._denied.discard(action)

    def check(self, call: Call) -> None:
        """Refuse a call whose credentials are bad or lack the permission.

        Raises:
            ApiError: as the real account does.
        """
        if call.key_id.startswith(UNKNOWN):
            raise ApiError(
                "InvalidClientTokenId", "The security token included in the request is invalid."
            )
        if call.key_id.startswith(EXPIRED):
            raise ApiError("ExpiredToken", "The security token included in the request is expired")
        action = f"{call.service}:{call.operation}"
        if call.key_id.startswith(RESTRICTED) and action in self._denied:
            raise ApiError(
                "AccessDenied",
                f"User: {self.user} is not authorized to perform: {action} on resource: "
                f"{self._subject(call)} because no identity-based policy allows the {action} action",
            )

    def _subject(self, call: Call) -> str:
        here = f"arn:aws:{call.service}:{call.region}:{self.account}"
        if call.service == "kms":
            return f"{here}:key/{call.asked.get('KeyId', '*').rpartition('/')[2]}"
        named = ((kind, call.asked[name]) for name, kind in _SUBJECTS if name in call.asked)
        kind, identifier = next(named, ("db", "*"))
        return str(call.asked.get("ResourceName") or f"{here}:{kind}:{identifier}")
