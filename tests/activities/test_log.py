"""What an operator reads in the worker's log."""

import logging

import pytest
from temporalio.exceptions import ApplicationErrorCategory

from activities.errors import as_failure
from activities.log import OneLine
from domain.errors import (
    BusyError,
    NotYetError,
    ProviderUnavailableError,
    RecoveryError,
    ThrottledError,
)

ABOUT = {"activity_type": "restore.await", "workflow_id": "restore:shop", "attempt": 33}


def _record(error: Exception) -> logging.LogRecord:
    record = logging.LogRecord(
        "temporalio.activity",
        logging.WARNING,
        __file__,
        1,
        "Completing activity as failed",
        (),
        (type(error), error, None),
    )
    record.temporal_activity = ABOUT
    return record


def test_a_steps_own_error_is_one_line_with_step_run_and_attempt() -> None:
    record = _record(as_failure(ProviderUnavailableError("AWS did not answer")))

    assert OneLine().filter(record)

    assert logging.Formatter().format(record) == (
        "restore.await of restore:shop, attempt 33: ProviderUnavailableError: AWS did not answer"
    )


def test_an_error_that_nobody_meant_keeps_its_stack_trace() -> None:
    record = _record(ZeroDivisionError("division by zero"))

    assert OneLine().filter(record)

    assert "ZeroDivisionError: division by zero" in logging.Formatter().format(record)


@pytest.mark.parametrize(
    ("error", "quiet"),
    [
        (NotYetError("the copy"), True),
        (BusyError("another operation is under way"), True),
        (ThrottledError("too many calls"), True),
        (ProviderUnavailableError("no answer"), False),
    ],
)
def test_waiting_is_no_warning(error: RecoveryError, *, quiet: bool) -> None:
    assert (as_failure(error).category is ApplicationErrorCategory.BENIGN) == quiet
