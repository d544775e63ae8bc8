"""The JSON APIs that some registries have beside the distribution API."""

import json
from collections.abc import Mapping
from typing import Any

from domain.errors import ProviderUnavailableError
from providers.managed.limiter import Gate
from providers.oci.errors import oci_errors, refusal_of
from providers.oci.transport import Answer, Question, Transport

_CALLS_PER_SECOND = 10.0
_MOST = 16 * 2**20
_GOOD = range(200, 300)


class Rest:
    """Asks one API; no redirect is followed, as none would keep the credentials safe."""

    def __init__(self) -> None:
        self._transport = Transport(None)
        self._call = Gate(_CALLS_PER_SECOND, 1.0, oci_errors).call

    def get(
        self,
        url: str,
        doing: str,
        *,
        authorization: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Return the object that the API answers with."""
        question = Question("GET", url, headers, most=_MOST, follow=False)
        return self._answered(question, doing, authorization)

    def post(self, url: str, doing: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        """Return what the API answers to a form, whose fields may be secrets."""
        return self._answered(Question("POST", url, body=form, most=_MOST), doing, None)

    def _answered(
        self, question: Question, doing: str, authorization: str | None
    ) -> Mapping[str, Any]:
        with self._call(doing):
            answer = self._transport.send(question, authorization)
            if answer.status not in _GOOD:
                raise refusal_of(doing, answer.status, answer.headers, answer.body)
            return object_in(answer, doing)


def object_in(answer: Answer, doing: str) -> Mapping[str, Any]:
    """Return the object of an answer."""
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ProviderUnavailableError(
            f"{doing}: what answers is not the registry's API, perhaps a proxy before it; Refloat "
            "asks again"
        )
    return content
