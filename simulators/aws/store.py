"""moto in server mode, inside this process: the store of record behind the facade."""

import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from botocore.parsers import ResponseParserFactory
from botocore.serialize import create_serializer
from moto.kms.models import kms_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.rds.models import rds_backends
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from simulators.aws.calls import Fields, model_of, utc
from simulators.aws.refusals import ApiError, unknown_action

_OK = 300


@lru_cache
def _application() -> DomainDispatcherApplication:
    return DomainDispatcherApplication(create_backend_app)


class Moto:
    """Asks moto as the SDK would, over its WSGI application; one account, empty at first.

    moto keeps its accounts for the whole process: a second object of the same account empties it,
    but for its networks, which take long to make.
    """

    def __init__(self, account: str) -> None:
        self.account = account
        self._client = Client(_application(), Response, use_cookies=False)
        self._parsers = ResponseParserFactory()
        self._parsers.set_parser_defaults(timestamp_parser=utc)
        for backends in (rds_backends, kms_backends):
            backends.pop(account, None)

    def call(self, service: str, region: str, operation: str, /, **asked: Any) -> Fields:  # noqa: ANN401 - the SDK's own types
        """Return moto's answer to a call.

        Raises:
            ApiError: moto refused.
        """
        model = model_of(service)
        shape = model.operation_model(operation)
        request = create_serializer(model.protocol).serialize_to_request(asked, shape)
        body = request["body"]
        scope = f"SIMULATED/20260101/{region}/{service}/aws4_request"
        headers = {
            **request["headers"],
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        }
        answer = self._send(
            operation, body if isinstance(body, bytes) else urlencode(body), headers
        )
        told = self._parsed(answer, model.protocol, shape.output_shape)
        if answer.status_code >= _OK:
            raise ApiError(told["Error"]["Code"], told["Error"]["Message"], answer.status_code)
        return {name: value for name, value in told.items() if name != "ResponseMetadata"}

    def _parsed(self, answer: Response, protocol: str, shape: Any) -> Fields:  # noqa: ANN401 - a shape or None, of moto's own kind
        parts = {
            "status_code": answer.status_code,
            "headers": dict(answer.headers),
            "body": answer.get_data(),
        }
        return dict(self._parsers.create_parser(protocol).parse(parts, shape))

    def forward(self, request: Request, operation: str) -> Response:
        """Let moto answer a request as it came."""
        headers = {
            name: value for name, value in request.headers.items() if name != "Content-Length"
        }
        return self._send(operation, request.get_data(), headers)

    def _send(self, operation: str, body: bytes | str, headers: Mapping[str, str]) -> Response:
        signed = {**headers, "x-moto-account-id": self.account}
        try:
            return self._client.open("/", method="POST", data=body, headers=signed, buffered=True)
        except NotImplementedError:
            raise unknown_action(operation) from None
        except Exception as error:  # moto's own mistakes, which its server would answer in HTML
            raise ApiError("InternalFailure", f"moto: {error!r}", 500) from error

    def identify(self, region: str, identifier: str, resource_id: str) -> str:
        """Give a new instance an identity of its own; return the id of its automated snapshot.

        moto gives every instance the same identity, and the automated snapshots of two instances
        of one name the same id within a minute; no call of the API could change either.
        """
        backend = rds_backends[self.account][region]
        backend.databases[identifier].dbi_resource_id = resource_id
        newest = next(
            one
            for one in reversed(list(backend.database_snapshots.values()))
            if one.snapshot_type == "automated" and one.db_instance_identifier == identifier
        )
        del backend.database_snapshots[newest.db_snapshot_identifier]
        newest.db_snapshot_identifier += f"-{uuid.uuid4().hex[:4]}"
        newest.dbi_resource_id = newest.database.dbi_resource_id = resource_id
        backend.database_snapshots[newest.db_snapshot_identifier] = newest
        return newest.db_snapshot_identifier
