"""The applications that use a database: pointed elsewhere, asked how they are."""

from datetime import UTC, datetime, timedelta

from activities.errors import earlier_progress, progress, step
from activities.steps import Address, SwitchConsumer
from domain.checks import Finding, Verdict
from domain.errors import ConsumerUnhealthyError, NotYetError, PermanentError
from domain.provider import Consumers
from domain.recovery import Progress
from domain.resources import Consumer

_LONGEST_ASKING = timedelta(seconds=6)
_DEFAULT_PATIENCE = timedelta(seconds=30)


class ConsumerActivities:
    """Moves the traffic."""

    def __init__(self, consumers: Consumers) -> None:
        self._consumers = consumers

    @step("consumer.locate")
    def locate(self, consumer: Consumer) -> Address:
        """Return where a consumer points now."""
        return Address(address=self._consumers.address(consumer))

    @step("consumer.switch")
    def switch(self, switch: SwitchConsumer) -> None:
        """Point a consumer to a server."""
        self._consumers.switch(switch.consumer, switch.address, switch.key)

    @step("consumer.examine")
    def examine(self, consumer: Consumer) -> Finding:
        """Return whether a consumer can be pointed elsewhere."""
        try:
            observed, verdict = self._consumers.address(consumer), Verdict.PASSED
        except PermanentError as error:
            observed, verdict = str(error), Verdict.FAILED
        return Finding(
            name=f"consumer {consumer.name}",
            kind="pre-flight",
            expected="a setting that can be pointed elsewhere",
            observed=observed,
            verdict=verdict,
            advice="repair its settings file, or take it out of `consumers`",
        )

    @step("consumer.await_healthy")
    def await_healthy(self, consumer: Consumer) -> None:
        """Return when the consumer works; not yet is a failure that Temporal repeats.

        The time allowed counts only while somebody asks: a worker that is away is no illness of
        the consumer.
        """
        within = consumer.health.within if consumer.health else _DEFAULT_PATIENCE
        before, now = earlier_progress(), datetime.now(UTC)
        try:
            self._consumers.require_healthy(consumer)
        except NotYetError as error:
            since = now - before.asked_at if before.asked_at else timedelta()
            waited = before.waited + min(since, _LONGEST_ASKING)
            progress()(Progress(what=str(error), waited=waited, asked_at=now))
            if waited >= within:
                raise ConsumerUnhealthyError(
                    f"{consumer.name} did not become healthy within {within.total_seconds():g} s: "
                    f"{str(error).removeprefix('not yet: ')}; see its log"
                ) from None
            raise
