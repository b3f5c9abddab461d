"""The messages and the JSON of the routes that they stand for say the same."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from google.protobuf.descriptor import Descriptor
from sanic import Sanic

from blueprints.grpc_services import ASK, METHODS, PREFIX, method_of
from gateway.app import create_app
from gateway.edge.grpc.methods import descriptor, fields_of
from gateway.edge.grpc.proto.documents_pb2 import CompleteDocumentRequest, ListDocumentsRequest
from gateway.edge.grpc.proto.query_pb2 import Event
from gateway.edge.http.endpoint import Endpoint
from gateway.edge.http.routes import PARAMETER, endpoints
from gateway.flows.json_answer import Citation, Source, Usage
from tests.unit.valid_settings import load


@pytest.fixture(scope="module")
def app() -> Sanic[Any, Any]:
    sanic = create_app(load(), name="messages").sanic
    sanic.router.finalize()
    return sanic


def structs_of(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs in a field's type: itself, or what it is made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for part in typing.get_args(kind):
        yield from structs_of(part)


def differing(kind: type[msgspec.Struct], message: Descriptor) -> Iterator[str]:
    """Fields that one has and the other lacks, at any depth."""
    fields = {one.encode_name: one.type for one in msgspec.structs.fields(kind)}
    for name in fields.keys() ^ message.fields_by_name.keys():
        yield f"{message.full_name}.{name}"
    for name in fields.keys() & message.fields_by_name.keys():
        for inner in structs_of(fields[name]):
            yield from differing(inner, message.fields_by_name[name].message_type)


@pytest.mark.parametrize("name", [name for name in METHODS if name != ASK])
def test_an_answer_has_the_fields_of_its_routes_json(name: str, app: Sanic[Any, Any]) -> None:
    """A field that a route gets is one of its message, too."""
    method, described = method_of(app, name), descriptor(name)
    endpoint: Endpoint = method.route.ctx.endpoint
    body = endpoint.successes[0].body
    told = described.output_type
    if method.wrapped is not None:
        (field,) = told.fields
        assert field.name == method.wrapped
        told = field.message_type
    if body is not None:
        assert not list(differing(body, told))
    else:
        assert {field.name for field in told.fields} <= {"url"}


@pytest.mark.parametrize("name", METHODS)
def test_a_call_has_what_its_route_takes(name: str, app: Sanic[Any, Any]) -> None:
    """The path's id, the body's fields, the query string's, and ``owner`` where it is taken."""
    method, described = method_of(app, name), descriptor(name)
    endpoint: Endpoint = method.route.ctx.endpoint
    taken = set(PARAMETER.findall(f"/{method.route.path}"))
    for kind in (endpoint.body, endpoint.query):
        if kind is not None:
            taken |= {one.encode_name for one in msgspec.structs.fields(kind)}
    if endpoint.any_owner:
        taken.add("owner")
    # How an answer travels is the protocol's.
    assert {field.name for field in described.input_type.fields} == taken - {"stream", "redirect"}
    for field in described.input_type.fields:
        assert field.is_repeated or field.has_presence, f"{field.full_name}: 0 is a value"


def test_every_route_of_these_groups_has_a_method(app: Sanic[Any, Any]) -> None:
    """What documents, keys, searches and questions can do over HTTP they can do over gRPC."""
    routes = {
        (method, path)
        for method, path, endpoint in endpoints(app)
        if endpoint is not None and endpoint.tag in ("documents", "keys", "search", "query")
        if method != "HEAD" and path.startswith(PREFIX)
    }
    assert routes
    assert routes <= {(one.http, f"{PREFIX}{one.path}") for one in METHODS.values()}


def test_events_have_the_fields_of_the_contract() -> None:
    events = Event.DESCRIPTOR.fields_by_name
    assert not list(differing(Citation, events["citation"].message_type))
    assert not list(differing(Usage, events["usage"].message_type))
    passages = events["sources"].message_type.fields_by_name["passages"].message_type
    assert not list(differing(Source, passages))


def test_what_is_set_counts_and_nothing_else() -> None:
    """A nought that was sent is not the same as none; lists and messages are walked through."""
    assert fields_of(ListDocumentsRequest()) == {}
    assert fields_of(ListDocumentsRequest(limit=0)) == {"limit": 0}
    message = CompleteDocumentRequest(document_id="d", parts=[{"n": 1, "etag": "e"}, {"n": 2}])
    assert fields_of(message) == {"document_id": "d", "parts": [{"n": 1, "etag": "e"}, {"n": 2}]}


def test_an_id_is_no_path(app: Sanic[Any, Any]) -> None:
    """Whatever it is spelled with stands in one segment of the target."""
    method = method_of(app, "DocumentsService/GetDocument")
    target, arguments, body = method.asked({"document_id": "../x?owner=y", "owner": "a b"})
    assert target == "/api/v1/documents/..%2Fx%3Fowner%3Dy?owner=a+b"
    assert (arguments, body) == ({"document_id": "../x?owner=y"}, None)


def test_a_body_is_left_out_where_it_may_be(app: Sanic[Any, Any]) -> None:
    """And where it is needed, nothing is an empty one, whose fields are then missed by name."""
    complete = method_of(app, "DocumentsService/CompleteDocument")
    assert complete.asked({"document_id": "d"})[2] is None
    assert method_of(app, "SearchService/Search").asked({})[2] == b"{}"
