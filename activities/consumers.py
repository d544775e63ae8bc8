"""The applications that use a database: pointed elsewhere, asked how they are."""

from activities.errors import step
from activities.steps import Address, SwitchConsumer
from activities.waiting import DEFAULT_PATIENCE, within_patience
from domain.checks import Finding, Verdict
from domain.errors import PermanentError
from domain.provider import Consumers
from domain.resources import Consumer


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
        within = consumer.health.within if consumer.health else DEFAULT_PATIENCE
        within_patience(consumer.name, within, lambda: self._consumers.require_healthy(consumer))
