import random
from datetime import timedelta
import pytest
from domain.errors import RecoveryError
from tests.providers import scaleway_stand
from tests.providers.scaleway_stand import *
empty, plain = scaleway_stand.empty, scaleway_stand.plain
from providers.managed.names import old_name_of

@pytest.mark.parametrize("seed", range(120))
def test_stress(empty, seed):
    rnd = random.Random(seed)
    specs = rnd.choice([(PRIVATE,), (PUBLIC,), (PRIVATE, PUBLIC)])
    empty.seed(endpoints=specs)
    before = kinds(empty, "orders")
    old = records(empty)["orders"].id
    restored = copied(empty)
    empty.estate.clock.move(timedelta(minutes=10))
    empty.estate.faults.lag = timedelta(seconds=rnd.choice([0, 30, 120]))
    cut = empty.provider.cutover
    for round in range(3):
        for act in (cut.promote, cut.demote):
            for _ in range(rnd.randrange(14)):
                for call in ("UpdateInstance", "MigrateEndpoint", "DeleteEndpoint"):
                    if rnd.random() < .2:
                        empty.estate.faults.lose_reply(call)
                try:
                    act(empty.resource, restored.handle); break
                except RecoveryError as e:
                    pass
                cur = empty.account.current(empty.resource)
                assert cur is not None
                empty.estate.clock.move(timedelta(seconds=rnd.randrange(5, 70)))
    for call in ("UpdateInstance", "MigrateEndpoint", "DeleteEndpoint"):
        empty.estate.faults.lose_reply(call, 0)
    if seed % 2:
        promoted(empty, restored)
        assert kinds(empty, "orders") == before, (kinds(empty, "orders"), before)
        assert empty.account.current(empty.resource).id == restored.handle.id
    empty.estate.clock.move(timedelta(minutes=5))
    empty.settle(lambda: cut.demote(empty.resource, restored.handle))
    empty.estate.clock.move(timedelta(minutes=5))
    assert kinds(empty, "orders") == before
    assert empty.account.current(empty.resource).id == old
    print(records(empty)["orders"].tags.versions[-1])
    empty.settle(lambda: cut.demote(empty.resource, restored.handle))
    assert not [t for t in records(empty)["orders"].tags.versions[-1][1] if "refloat" in t and "had" not in t and "self" not in t]
