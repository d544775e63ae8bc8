"""What an instance or a snapshot goes through: one stage after the other, in simulated time."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from simulators.estate import Estate
from simulators.operations import Operation


@dataclass(frozen=True)
class Stage:
    """One state and how long it lasts; `work` runs beside it, `then` at its end.

    It lasts as long as its work at least; work that fails leaves the state `broken` for good.
    """

    status: str
    lasts: timedelta
    work: Callable[[], None] | None = None
    then: Callable[[], None] | None = None
    broken: str = "failed"
    kind: str = ""


class Course:
    """Goes through stages whenever somebody looks, and rests in a state when none is left."""

    def __init__(self, estate: Estate, rest: str = "available") -> None:
        self._estate, self._rest = estate, rest
        self._stages: deque[Stage] = deque()
        self._operation: Operation | None = None
        self._began = timedelta()

    @property
    def status(self) -> str:
        """The state of now."""
        return self._stages[0].status if self._stages else self._rest

    @property
    def is_going(self) -> bool:
        """Whether another state is to come."""
        return bool(self._stages)

    @property
    def percent(self) -> int:
        """How far the present stage is."""
        return self._operation.percent if self._operation else 0

    def go(self, *stages: Stage, rest: str = "available") -> None:
        """Begin with the first of these stages; what was planned before is off."""
        self._stages, self._rest = deque(stages), rest
        self._began = self._estate.clock.elapsed()
        self._begin()

    def halt(self, status: str) -> None:
        """Stay in a state."""
        self.go(rest=status)

    def settle(self) -> None:
        """Leave every stage whose time has passed and whose work is done."""
        while self._stages and self._is_over():
            stage, operation = self._stages[0], self._operation
            if operation is not None and operation.failed is not None:
                self.halt(stage.broken)
                return
            self._stages.popleft()
            self._began += stage.lasts
            self._begin()
            if stage.then is not None:
                stage.then()

    def _is_over(self) -> bool:
        if self._operation is not None:
            return self._operation.over
        return self._estate.clock.elapsed() - self._began >= self._stages[0].lasts

    def _begin(self) -> None:
        self._operation = None
        if self._stages and self._stages[0].work is not None:
            stage = self._stages[0]
            kind = stage.kind or stage.status
            self._operation = self._estate.operations.begin(kind, stage.lasts, stage.work)
