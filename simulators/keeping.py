"""The thread that keeps every simulated server going, its archive sealed and its backups young."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from domain.errors import RecoveryError
from simulators.units import Unit

_LOG = logging.getLogger("simulators.postgresql")
_PACE = 1.0  # seconds between two looks at every server


class Keeping(threading.Thread):
    """Looks at every unit once a second; what takes long is done beside it."""

    def __init__(self, units: Callable[[], Sequence[Unit]], after: Callable[[Unit], None]) -> None:
        super().__init__(daemon=True, name="postgresql")
        self._units, self._after = units, after
        self._asked = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="backups")
        self._backups: dict[str, Future[None]] = {}
        self._told: dict[str, str] = {}

    def run(self) -> None:
        """Keep everything going until told to stop."""
        while not self._asked.wait(_PACE):
            for unit in self._units():
                self._try(unit, self._look)

    def stop(self) -> None:
        """End, and wait for a base backup that is being taken."""
        self._asked.set()
        self.join()
        self._pool.shutdown(cancel_futures=True)

    def _look(self, unit: Unit) -> None:
        unit.tick()
        live, name = unit.live, unit.record.server
        if live is None or not unit.ready:
            return
        with unit.reading():
            live.safe.seal()
            due = live.safe.outgrown
        if due and (name not in self._backups or self._backups[name].done()):
            self._backups[name] = self._pool.submit(self._try, unit, self._back_up)
        self._after(unit)

    def _back_up(self, unit: Unit) -> None:
        live = unit.live
        with unit.reading():
            if live is not None and live.runs:
                live.safe.back_up()
        self._after(unit)

    def _try(self, unit: Unit, act: Callable[[Unit], None]) -> None:
        """Act on a unit; what goes wrong is told once and tried again, and never ends the rest."""
        told = ""
        try:
            act(unit)
        except LookupError:  # removed a moment ago
            self._after(unit)
        except (RecoveryError, OSError) as error:
            told = str(error)
        name = unit.record.server
        if told and told != self._told.get(name):
            _LOG.warning("%s: %s", name, told)
        self._told[name] = told
