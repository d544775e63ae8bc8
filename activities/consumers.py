"""The applications that use a database: pointed elsewhere, asked how they are."""

from activities.errors import step
from activities.steps import Address, SwitchConsumer
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
        self._consumers.switch(switch.consumer, switch.address)

    @step("consumer.await_healthy")
    def await_healthy(self, consumer: Consumer) -> None:
        """Return when the consumer works; not yet is a failure that Temporal repeats."""
        self._consumers.require_healthy(consumer)
