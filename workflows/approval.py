"""The gate before anything is made, where the catalog asks for another person's yes."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.report import ApprovalRecord
    from domain.requests import AnyRequest
    from domain.values import show_span
    from workflows.requests import ApprovalGiven
    from workflows.run_clock import RunClock


def denied(reason: str) -> ApplicationError:
    """Return the failure that carries why an approval was refused or did not come."""
    return ApplicationError(reason, type="ApprovalDeniedError", non_retryable=True)


class ApprovalGate:
    """Waits for one of the approvers; whoever asked never counts."""

    def __init__(self, request: AnyRequest, clock: RunClock) -> None:
        self._request, self._clock = request, clock
        self._given: ApprovalRecord | None = None
        self.waiting_for = ""

    async def wait(self) -> ApprovalRecord:
        """Return who approved.

        Raises:
            ApplicationError: nobody did in time.
        """
        approval = self._request.resource.approval
        assert approval is not None
        self.waiting_for = f"approval by one of {', '.join(approval.approvers)}"
        self._clock.note(f"waiting for {self.waiting_for}")
        try:
            await workflow.wait_condition(
                lambda: self._given is not None,
                timeout=approval.within.total_seconds(),
                timeout_summary="approval",
            )
        except TimeoutError:
            self.close()
            raise denied(
                f"nobody approved within {show_span(approval.within)}; ask again with the same "
                f"command, and tell {', '.join(approval.approvers)}"
            ) from None
        self.close()
        assert self._given is not None
        return self._given

    def close(self) -> None:
        """Take no more approvals."""
        self.waiting_for = ""

    def open(self, given: ApprovalGiven) -> None:
        """Take a yes that `require_allowed` let through."""
        self._given = ApprovalRecord(by=given.by, at=workflow.now(), note=given.note)
        self._clock.note(f"approved by {given.by}")

    def require_allowed(self, given: ApprovalGiven) -> None:
        """Refuse who may not approve, and what is not waited for.

        Raises:
            ApplicationError: with the reason, for the person who tried.
        """
        approval = self._request.resource.approval
        if approval is None or not self.waiting_for:
            raise denied("this run waits for no approval")
        if self._given is not None:
            raise denied(f"{self._given.by} approved this run already")
        if given.by == self._request.requested_by:
            raise denied(f"{given.by} asked for this run; another person has to approve it")
        if given.by not in approval.approvers:
            raise denied(f"{given.by} is not an approver; ask {', '.join(approval.approvers)}")
