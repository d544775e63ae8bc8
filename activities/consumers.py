"""The applications that use a database: pointed elsewhere, asked how they are."""

from activities.errors import step
from activities.steps import SwitchConsumer, TurnBackConsumer
from domain.provider import Consumers
from domain.recovery import CutoverRecord
from domain.resources import Consumer


class ConsumerActivities:
    """Moves the traffic."""

    def __init__(self, consumers: Consumers) -> None:
        self._consumers = consumers

    @step("consumer.switch")
    def switch(self, switch: SwitchConsumer) -> CutoverRecord:
        """Point a consumer to the new server."""
        return self._consumers.switch(switch.consumer, switch.host, switch.port)

    @step("consumer.turn_back")
    def turn_back(self, back: TurnBackConsumer) -> None:
        """Point a consumer to where it was."""
        self._consumers.turn_back(back.consumer, back.record)

    @step("consumer.await_healthy")
    def await_healthy(self, consumer: Consumer) -> None:
        """Return when the consumer works; not yet is a failure that Temporal repeats."""
        self._consumers.require_healthy(consumer)
