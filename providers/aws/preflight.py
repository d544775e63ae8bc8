"""What AWS itself says of credentials, permissions, quota and key."""

from collections.abc import Callable, Iterator

from domain.checks import Finding
from domain.errors import (
    AccessDeniedError,
    BusyError,
    PermanentError,
    RecoveryError,
    ResourceMissingError,
    TransientError,
)
from domain.recovery import RecoveryPoint
from domain.resources import Mode, ProtectedResource
from providers.aws.client import AwsClient
from providers.aws.describing import with_key
from providers.managed.driver import Access
from providers.managed.model import Encryption, Instance
from providers.managed.preflight import asked, finding, unasked

_NOBODY = "refloat-probe-of-permissions"


class AwsAccess(Access):
    """Asks with calls that change nothing, whatever they answer."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client

    def examine(
        self, resource: ProtectedResource, point: RecoveryPoint, source: Instance | None, mode: Mode
    ) -> Iterator[Finding]:
        """Yield one finding a question."""
        del resource, point
        yield self._identity()
        # a cutover renames the source itself, which a policy for copies alone does not allow
        yield from self._permissions(source.name if source and mode is Mode.INCIDENT else _NOBODY)
        yield self._quota()
        if source is not None and source.encryption.key:
            yield self._key(source.encryption)

    def _identity(self) -> Finding:
        wanted = self._client.entry.account
        try:
            with self._client.call("ask who we are"):
                told = self._client.sts.get_caller_identity()
        except TransientError:
            raise
        except RecoveryError as error:
            return asked("credentials", f"account {wanted}", "", error)
        return finding(
            "credentials",
            f"account {wanted}",
            f"account {told['Account']}, {told['Arn']}",
            good=told["Account"] == wanted,
            advice="the worker holds the credentials of another account",
        )

    def _permissions(self, renamed: str) -> Iterator[Finding]:
        """Ask to change nothing, or what does not exist: refused or not found, and nothing done."""
        acts: dict[str, Callable[[], object]] = {
            "modify": lambda: self._client.rds.modify_db_instance(DBInstanceIdentifier=renamed),
            "delete": lambda: self._client.rds.delete_db_instance(
                DBInstanceIdentifier=_NOBODY, SkipFinalSnapshot=True
            ),
            "restore": lambda: self._client.rds.restore_db_instance_to_point_in_time(
                SourceDBInstanceIdentifier=_NOBODY,
                TargetDBInstanceIdentifier=f"{_NOBODY}-copy",
                UseLatestRestorableTime=True,
            ),
        }
        for name, act in acts.items():
            title, expected = f"permission to {name}", "not refused"
            try:
                with self._client.call(f"ask for the permission to {name}"):
                    act()
            except AccessDeniedError as error:
                yield asked(title, expected, "", error)
            except ResourceMissingError:
                yield finding(title, expected, "not refused for an unknown name", good=True)
            except BusyError:
                yield finding(title, expected, "not refused, only busy now", good=True)
            except TransientError:
                raise
            except RecoveryError as error:
                yield unasked(title, expected, f"AWS answered otherwise: {error}")
            else:
                yield finding(title, expected, "not refused, with nothing to change", good=True)

    def _quota(self) -> Finding:
        try:
            with self._client.call("read the quotas"):
                told = self._client.rds.describe_account_attributes()
        except AccessDeniedError as error:
            return unasked("instance quota", "room for one more", str(error))
        quotas = {one.get("AccountQuotaName"): one for one in told.get("AccountQuotas", [])}
        quota = quotas.get("DBInstances")
        if quota is None:
            return unasked("instance quota", "room for one more", "AWS does not tell")
        used, most = quota.get("Used", 0), quota.get("Max", 0)
        return finding(
            "instance quota",
            "room for one more",
            f"{used} of {most} used",
            good=used < most,
            advice="ask AWS for a higher quota, or delete an instance",
        )

    def encryption(self, instance: Instance) -> Encryption:
        """Ask KMS whose key it is; without the permission that stays unknown."""
        try:
            return with_key(self._client, instance.encryption)
        except PermanentError:
            return instance.encryption

    def _key(self, encryption: Encryption) -> Finding:
        try:
            told = str(with_key(self._client, encryption))
        except TransientError:
            raise
        except AccessDeniedError as error:
            return unasked("encryption key", "enabled", str(error))
        except RecoveryError as error:
            return asked("encryption key", "enabled", "", error)
        return finding("encryption key", "enabled", told, good=True)
