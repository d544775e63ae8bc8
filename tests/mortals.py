"""Workers in processes of their own, to be killed; forked from one that has imported everything."""

import atexit
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

_PROGRAM = Path(__file__).with_name("chaos_worker.py")


class Mortal:
    """One worker."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = threading.Event()
        self._code = 0

    def end(self, code: int) -> None:
        """Note how it ended."""
        self._code = code
        self._ended.set()

    def wait(self) -> int:
        """Return its exit code once it has ended, negative for a signal."""
        self._ended.wait()
        return self._code

    def terminate(self) -> None:
        """Ask it to leave in order."""
        if not self._ended.is_set():
            os.kill(self.pid, signal.SIGTERM)


class Nursery:
    """The process that forks workers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_PROGRAM.parent.parent)},
        )
        self._lock = threading.Lock()
        self._begun: queue.Queue[Mortal] = queue.Queue()
        self._living: dict[int, Mortal] = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(self, catalog: Path, log: Path, step: str = "", point: str = "") -> Mortal:
        """Return a worker of a catalog that dies at a step, or lives."""
        asked = {"catalog": str(catalog), "step": step, "point": point, "log": str(log)}
        log.touch()
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            return self._begun.get(timeout=30)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        ended: dict[int, int] = {}
        for line in self._process.stdout:
            word, pid, *code = line.split()
            if word == "ended" and int(pid) in self._living:
                self._living.pop(int(pid)).end(int(code[0]))
            elif word == "ended":
                ended[int(pid)] = int(code[0])
            else:
                mortal = Mortal(int(pid))
                if mortal.pid in ended:
                    mortal.end(ended.pop(mortal.pid))
                else:
                    self._living[mortal.pid] = mortal
                self._begun.put(mortal)

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=10)
        self._listener.join(timeout=10)
        if self._process.stdout is not None:
            self._process.stdout.close()


@cache
def nursery() -> Nursery:
    """Return the one of this process."""
    made = Nursery()
    atexit.register(made.close)
    return made
