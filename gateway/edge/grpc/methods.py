"""A call of one message that one message answers: the route that it stands for.

Its message becomes the route's path, query string and JSON body, and the JSON of the answer becomes
its message again. So what is valid, what a repeat is answered and what a failure is called is
decided in one place for both protocols.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from sanic import Sanic
from sanic.response import HTTPResponse
from sanic_routing import Route

from gateway.domain.wire import TARGET_LIMIT_BYTES
from gateway.edge.grpc.proto import auth_pb2, documents_pb2, keys_pb2, query_pb2, search_pb2
from gateway.edge.http.endpoint import Endpoint
from gateway.edge.http.routes import PARAMETER
from gateway.errors import MalformedRequest, UriTooLong

SERVICES: Final = {
    name: service
    for file in (auth_pb2, documents_pb2, keys_pb2, query_pb2, search_pb2)
    for name, service in file.DESCRIPTOR.services_by_name.items()
}


class Method:
    """A method of a service, and the route that decides about it.

    Attributes:
        name: the service's full name and the method's.
        route: of the application; its handler answers a call of one message.
        wrapped: the field of the answer that the route's JSON stands in; ``None`` where the JSON
            is the whole answer.
    """

    def __init__(
        self, app: Sanic[Any, Any], name: str, http: str, path: str, wrapped: str | None = None
    ) -> None:
        """``name`` is ``Service/Method``; ``http`` and ``path`` are those of a route."""
        described = descriptor(name)
        self.name = described.containing_service.full_name, described.name
        self.route = _route(app, http, path)
        self.handler = self.route.handler
        self.wrapped = wrapped
        self._request = GetMessageClass(described.input_type)
        self._response = GetMessageClass(described.output_type)
        endpoint: Endpoint = self.route.ctx.endpoint
        self._has_body = endpoint.body is not None
        self._body_required = endpoint.body_required

    def read(self, data: bytes) -> Mapping[str, Any]:
        """The fields of a call's message that are set.

        Raises:
            MalformedRequest: it is none.
        """
        try:
            return fields_of(self._request.FromString(data))
        except DecodeError as exc:
            raise MalformedRequest("The message could not be read.") from exc

    def asked(self, fields: Mapping[str, Any]) -> tuple[str, dict[str, str], bytes | None]:
        """The target, the path's parameters and the body of the request that this is.

        Raises:
            UriTooLong: an id, an owner or a cursor that is none.
        """
        left, arguments = dict(fields), {}
        target = f"/{self.route.path}"
        for parameter in PARAMETER.finditer(target):
            arguments[parameter[1]] = text = str(left.pop(parameter[1], ""))
            target = target.replace(parameter[0], quote(text, safe=""))
        body = None
        if self._has_body:
            body = msgspec.json.encode(left) if left or self._body_required else None
        elif left:
            query = urlencode([(name, _text(value)) for name, value in left.items()])
            target = f"{target}?{query}"
        if len(target) > TARGET_LIMIT_BYTES:
            raise UriTooLong
        return target, arguments, body

    def told(self, response: HTTPResponse) -> Message:
        """The answer's message."""
        if "Location" in response.headers:
            return ParseDict({"url": response.headers["Location"]}, self._response())
        found = json.loads(response.body) if response.body else {}
        if self.wrapped is not None:
            found = {self.wrapped: found}
        # Clients that are older than the gateway skip what they do not know; so does this.
        return ParseDict(found, self._response(), ignore_unknown_fields=True)


def descriptor(name: str) -> MethodDescriptor:
    """Of the method that is called ``Service/Method``."""
    service, _, method = name.partition("/")
    found: MethodDescriptor = SERVICES[service].methods_by_name[method]
    return found


def fields_of(message: Message) -> dict[str, Any]:
    """What is set in a message, by the fields' own names, as JSON has it."""
    return {field.name: _plain(field, value) for field, value in message.ListFields()}


def _plain(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    return [fields_of(one) for one in value] if field.is_repeated else fields_of(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _route(app: Sanic[Any, Any], http: str, path: str) -> Route:
    routes: list[Route] = list(app.router.routes)
    (found,) = (one for one in routes if f"/{one.path}" == path and http in one.methods)
    return found
