"""Server parameters: read, set, set back. They are kept, and not in force in the server behind."""

import re

from simulators.azure.account import Account, Call
from simulators.azure.answers import page_json, parameter_json
from simulators.azure.families import Json, Parameter
from simulators.azure.operations import Answer
from simulators.azure.refusals import ApiError, invalid
from simulators.azure.shapes import UPDATING, Server


def list_configurations(account: Account, call: Call) -> Answer:
    """Return every parameter of a server, set or not."""
    server = account.server(call)
    found = [
        parameter_json(account, server, name, parameter)
        for name, parameter in sorted(server.family.parameters.items())
    ]
    return page_json(account, call, f"{account.id_of(server)}/configurations", found)


def get_configuration(account: Account, call: Call) -> Answer:
    """Return one parameter."""
    server = account.server(call)
    name, parameter = _find(server, call.child)
    return parameter_json(account, server, name, parameter)


def put_configuration(account: Account, call: Call) -> Answer:
    """Begin to set one parameter; a static one waits for a restart."""
    server = account.server(call)
    account.require(server)
    name, parameter = _find(server, call.child)
    value = _chosen(name, parameter, call.properties)

    def apply() -> None:
        _write(server, name, parameter, value)

    def result() -> Json:
        return parameter_json(account, server, name, parameter)

    lasts = account.estate.durations.change
    return account.begin(server, "configure", lasts, state=UPDATING, then=apply, result=result)


def put_configurations(account: Account, call: Call) -> Answer:
    """Begin to set several parameters at once, which only MySQL can."""
    server = account.server(call)
    account.require(server)
    wanted = []
    for each in call.body.get("value") or ():
        name, parameter = _find(server, str(each.get("name")))
        chosen = _chosen(name, parameter, each.get("properties") or {})
        wanted.append((name, parameter, chosen))

    def apply() -> None:
        if call.body.get("resetAllToDefault") == "True":
            server.parameters.clear()
        for name, parameter, value in wanted:
            _write(server, name, parameter, value)

    lasts = account.estate.durations.change
    return account.begin(server, "configure", lasts, state=UPDATING, then=apply)


def _find(server: Server, name: str) -> tuple[str, Parameter]:
    parameter = server.family.parameters.get(name.lower())
    if parameter is None:
        message = f"The requested server parameter '{name}' was not found."
        raise ApiError(404, "ResourceNotFound", message)
    return name.lower(), parameter


def _chosen(name: str, parameter: Parameter, properties: Json) -> str:
    """Return the value to set, checked; without one, or from the system, the default."""
    if parameter.fixed:
        raise invalid(name, "The parameter is read-only.")
    value = properties.get("value")
    if value is None or properties.get("source") == "system-default":
        return parameter.default
    if not _is_allowed(str(value), parameter.allowed):
        raise invalid(name, f"Allowed values are {parameter.allowed}.")
    return str(value)


def _is_allowed(value: str, allowed: str) -> bool:
    bounds = re.fullmatch(r"(-?[\d.]+)-([\d.]+)", allowed)
    if bounds is None:
        words = [word.lower() for word in allowed.split(",") if word]
        return not words or value.lower() in words
    try:
        return float(bounds[1]) <= float(value) <= float(bounds[2])
    except ValueError:
        return False


def _write(server: Server, name: str, parameter: Parameter, value: str) -> None:
    old = server.parameters.get(name, parameter.default)
    if value == parameter.default:
        server.parameters.pop(name, None)
    else:
        server.parameters[name] = value
    if value != old and not parameter.dynamic:
        server.pending.add(name)
