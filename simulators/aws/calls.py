"""Calls as the SDK sends them, taken apart; answers and errors in the form that it expects."""

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias, cast
from xml.sax.saxutils import escape

from botocore.utils import parse_timestamp
from moto.core.model import ServiceModel
from moto.core.parse import QueryParser, RequestDict
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.wrappers import Request, Response

from simulators.aws.refusals import ApiError, status_of

Fields: TypeAlias = dict[str, Any]
"""A structure of the API by its own member names, with values of the SDK's types."""

_SCOPE = re.compile(r"Credential=([^/,\s]+)/\d+/([^/,\s]+)/([^/,\s]+)/aws4_request")
_TARGETS = {"TrentService": "kms"}
_CORRECTED = ("rds", "kms", "sts")


@dataclass(frozen=True)
class Call:
    """One call of the API, and by whom."""

    service: str
    region: str
    key_id: str
    operation: str
    asked: Fields


@lru_cache
def model_of(service: str) -> ServiceModel:
    """Return the SDK's model of a service."""
    return get_service_model(service)


def utc(value: Any) -> datetime:  # noqa: ANN401 - whatever the SDK takes for a time
    """Return a time as aware UTC; one without a zone is in UTC, as botocore reads it."""
    moment = parse_timestamp(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def operation_of(request: Request) -> str:
    """Return the name of the API call."""
    request.get_data()  # keeps the body for whoever reads it after the form was taken apart
    target = request.headers.get("X-Amz-Target", "")
    return target.rpartition(".")[2] or request.form.get("Action", "") or "Unknown"


def service_of(request: Request) -> str:
    """Return the service that a request is for, by its signature or its target."""
    found = _SCOPE.search(request.headers.get("Authorization", ""))
    target = request.headers.get("X-Amz-Target", "").partition(".")[0]
    return found.group(3) if found else _TARGETS.get(target, "rds")


def read(request: Request) -> Call:
    """Take a call apart.

    Raises:
        ApiError: it is not signed.
    """
    found = _SCOPE.search(request.headers.get("Authorization", ""))
    if found is None:
        raise ApiError("MissingAuthenticationToken", "Request is missing Authentication Token")
    key_id, region, service = found.groups()
    operation = operation_of(request)
    return Call(service, region, key_id, operation, _asked(request, service, operation))


def _asked(request: Request, service: str, operation: str) -> Fields:
    if service not in _CORRECTED or operation not in model_of(service).operation_names:
        return {}
    if model_of(service).protocol == "json":
        return dict(json.loads(request.get_data() or b"{}"))
    shape = model_of(service).operation_model(operation)
    parser = QueryParser(shape, timestamp_parser=utc)
    return dict(parser.parse(cast("RequestDict", {"values": request.form})))


def answered(call: Call, fields: Fields) -> Response:
    """Return the answer to a call."""
    model = model_of(call.service)
    serializer = get_serializer_class(call.service, model.protocol)(
        operation_model=model.operation_model(call.operation),
        context=SerializationContext(str(uuid.uuid4())),
    )
    made = serializer.serialize(fields)
    return Response(made["body"], made["status_code"], dict(made["headers"]))


def refused(request: Request, error: ApiError) -> Response:
    """Return an error in the form of the service that was asked."""
    service = service_of(request)
    if service == "kms":
        return _refused_as_json(error)
    kind = "Receiver" if error.status >= 500 else "Sender"  # noqa: PLR2004 - HTTP's own border
    space = f"http://{service}.amazonaws.com/doc/2014-10-31/"
    body = (
        f'<ErrorResponse xmlns="{space}"><Error><Type>{kind}</Type><Code>{escape(error.code)}</Code>'
        f"<Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    status = error.status or status_of(service, error.code)
    return Response(body, status, mimetype="text/xml")


def _refused_as_json(error: ApiError) -> Response:
    """Return an error of KMS, which has names of its own for what is common."""
    names = {
        "AccessDenied": "AccessDeniedException",
        "ExpiredToken": "ExpiredTokenException",
        "InvalidClientTokenId": "UnrecognizedClientException",
        "MissingAuthenticationToken": "MissingAuthenticationTokenException",
        "Throttling": "ThrottlingException",
    }
    code = names.get(error.code, error.code)
    body = json.dumps({"__type": code, "message": error.message})
    return Response(body, error.status or 400, mimetype="application/x-amz-json-1.1")
