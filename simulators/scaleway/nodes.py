"""Node types, and the settings an instance has when nobody chose any."""

from collections.abc import Mapping
from dataclasses import dataclass

GIGABYTE = 1_000_000_000
VOLUME_STEP = 5 * GIGABYTE


@dataclass(frozen=True)
class NodeType:
    """One size of node; memory is in bytes, counted in thousands as the provider does."""

    name: str
    memory: int
    vcpus: int


def _node(name: str, gigabytes: int, vcpus: int) -> tuple[str, NodeType]:
    return name, NodeType(name, gigabytes * GIGABYTE, vcpus)


NODE_TYPES: Mapping[str, NodeType] = dict(
    (
        _node("db-play2-pico", 2, 1),
        _node("db-dev-s", 2, 2),
        _node("db-play2-nano", 4, 2),
        _node("db-dev-m", 4, 3),
        _node("db-dev-l", 8, 4),
        _node("db-pro2-xxs", 8, 2),
        _node("db-pop2-2c-8g", 8, 2),
        _node("db-dev-xl", 12, 4),
        _node("db-pro2-xs", 16, 4),
        _node("db-gp-xs", 16, 4),
        _node("db-pro2-s", 32, 8),
    )
)

VOLUMES: Mapping[str, str] = {"lssd": "lssd", "bssd": "bssd", "sbs_5k": "sbs", "sbs_15k": "sbs"}
"""Volume types and their classes."""

FIXED: Mapping[str, Mapping[str, str]] = {
    "postgresql": {
        "max_connections": "100",
        "max_parallel_workers": "0",
        "max_parallel_workers_per_gather": "0",
        "work_mem": "4",
    },
    "mysql": {"max_connections": "100", "long_query_time": "10", "slow_query_log": "OFF"},
}


def default_settings(engine: str, node_type: str) -> dict[str, str]:
    """Return the settings of a new instance; some are tuned to the memory of its node."""
    settings = dict(FIXED[engine])
    if engine == "postgresql":
        gigabytes = NODE_TYPES[node_type].memory // GIGABYTE
        settings["effective_cache_size"] = str(650 * gigabytes)
        settings["maintenance_work_mem"] = str(75 * gigabytes)
    return dict(sorted(settings.items()))
