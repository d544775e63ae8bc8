"""The endpoints of instances: a port stands for a DNS name, and follows the identifier."""

from simulators.aws.calls import Fields
from simulators.aws.records import InstanceRecord
from simulators.aws.region import Region
from simulators.piping import Protocol


def name_of(region: Region, identifier: str) -> str:
    """Return the name of an endpoint."""
    return f"{identifier}.{region.name}"


def port_of(region: Region, record: InstanceRecord) -> int:
    """Return the port that stands for the endpoint of an instance."""
    protocol: Protocol = "mysql" if record.engine == "mysql" else "postgresql"
    return region.estate.front.open(name_of(region, record.identifier), protocol)


def shown(region: Region, record: InstanceRecord) -> Fields | None:
    """Return the endpoint as RDS shows it, or None while there is none."""
    if not record.reachable:
        return None
    port = port_of(region, record)
    return {"Address": "127.0.0.1", "Port": port, "HostedZoneId": "Z29XKXDKYMONMX"}


def connect(region: Region, record: InstanceRecord) -> None:
    """Route the endpoint of an instance to its server."""
    port_of(region, record)
    address = region.backends(record.engine).address(record.id)
    region.estate.front.route(name_of(region, record.identifier), address)
    record.reachable = True


def disconnect(region: Region, record: InstanceRecord) -> None:
    """Let the endpoint of an instance lead nowhere."""
    if record.reachable:
        region.estate.front.route(name_of(region, record.identifier), None)
    record.reachable = False


def forget(region: Region, record: InstanceRecord) -> None:
    """Give the port of a deleted instance to others, unless its name is one that lasts."""
    if record.identifier not in region.lasting:
        region.estate.front.forget(name_of(region, record.identifier))
