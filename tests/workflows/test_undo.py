"""What is taken back when a run fails, in which order, and what is not."""

from collections.abc import Callable, Coroutine
from typing import Any

from temporalio.exceptions import ApplicationError

from workflows.calls import Undo


def _step(done: list[str], what: str, fails: str = "") -> Callable[[], Coroutine[Any, Any, None]]:
    async def undo() -> None:
        if fails:
            raise ApplicationError(fails)
        done.append(what)

    return undo


async def test_what_was_done_is_taken_back_last_first() -> None:
    undo, done = Undo(), list[str]()
    undo.add("remove", _step(done, "remove"), removes=True)
    undo.add("turn back", _step(done, "turn back"))

    await undo.run()

    assert done == ["turn back", "remove"]
    assert undo.left == []


async def test_nothing_is_removed_after_an_undo_that_failed_because_it_may_be_in_use() -> None:
    undo, done = Undo(), list[str]()
    undo.add("remove", _step(done, "remove"), removes=True)
    undo.add("turn back", _step(done, "turn back"))
    undo.add("demote", _step(done, "demote", fails="the old server does not answer"))

    await undo.run()

    assert done == ["turn back"]
    assert undo.left == [
        "demote: the old server does not answer",
        "remove: not done, because of what is left; look at both first",
    ]


async def test_what_is_spared_stays_and_the_rest_is_taken_back() -> None:
    undo, done = Undo(), list[str]()
    undo.add("remove", _step(done, "remove"), removes=True)
    undo.add("turn back", _step(done, "turn back"))

    undo.spare()
    planned = list(undo.planned)
    await undo.run()

    assert planned == ["turn back"]
    assert done == ["turn back"]
