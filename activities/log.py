"""Says in one line of the worker's log what went wrong in a step, where Temporal's SDK prints a stack trace."""

import logging
import time

from temporalio.exceptions import ApplicationError

_FORM = "%(asctime)sZ %(levelname)s %(message)s"


class OneLine(logging.Filter):
    """Turns a step's own error, which is a sentence already, into a line; other errors keep their trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record where it tells of an error that a step raised on purpose."""
        error = record.exc_info[1] if record.exc_info else None
        about = getattr(record, "temporal_activity", None)
        if isinstance(error, ApplicationError) and error.type and about:
            record.msg = "%s of %s, attempt %s: %s"
            record.args = (
                about["activity_type"],
                about["workflow_id"],
                about["attempt"],
                f"{error.type}: {error.message}",
            )
            record.exc_info = None
        return True


def start_log() -> None:
    """Write warnings and errors to standard error, one line each, with UTC times."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(level=logging.WARNING, format=_FORM, datefmt="%Y-%m-%dT%H:%M:%S")
    logging.getLogger("temporalio.activity").addFilter(OneLine())
