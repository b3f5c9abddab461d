"""From an agent's message to a tool's result.

What an agent may do is not decided here. Its credential was looked at before its message was read;
a call then goes the way of the request that its tool stands for (``Pipeline.admit``), so that the
policy, the limits and the log see the action that they know. Whatever goes wrong before the message
is understood is an error of HTTP like any other; from there on it is told as JSON-RPC has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from msgspec import UnsetType
from sanic import Request
from sanic.response import HTTPResponse, empty

from gateway.domain.versions import Version
from gateway.edge.http.accept import weights
from gateway.edge.http.bodies import read_bytes
from gateway.edge.http.pipeline import Pipeline
from gateway.edge.http.render import json_response, noted
from gateway.edge.mcp.messages import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Message,
    Params,
    RpcFault,
    read_message,
)
from gateway.edge.mcp.results import SERVER, answer, done, failed, refusal
from gateway.edge.mcp.revisions import LATEST, SERVED, check_version, older_for, revision_of
from gateway.edge.mcp.tools import Call, Tool
from gateway.edge.scope import scope_of
from gateway.edge.wire.request import GatewayRequest
from gateway.errors import Unauthenticated, ValidationFailed
from gateway.flows.authentication_method import RetainedCredential
from gateway.flows.credentials import Credential

# A question of 8,192 characters, each of them escaped as JSON may, and what clients say of
# themselves.
MESSAGE_LIMIT_BYTES = 128 * 1024
# What does not depend on the caller may be kept by clients and proxies for so long.
KEEP_MS = 3_600_000
_CAPABILITIES: Final[dict[str, Any]] = {"tools": {}}


class Agents:
    """The door; one per worker. Its tools stand for requests to ``version``, the newest."""

    def __init__(
        self,
        pipeline: Pipeline,
        retain: Callable[[Credential], RetainedCredential],
        version: Version,
    ) -> None:
        self._pipeline = pipeline
        self._retain = retain
        self._prefix = version.prefix

    async def serve(self, request: Request, tools: Toolbox, flows: Any) -> HTTPResponse | None:
        """Answers one message; ``None`` where its tool has streamed the answer.

        Args:
            flows: what the tools run on.

        Raises:
            GatewayError: what is wrong is none of JSON-RPC's business.
        """
        body = await read_bytes(request, "application/json", MESSAGE_LIMIT_BYTES)
        message = None
        try:
            message = read_message(body)
            del body
            if message.id is None:
                check_version(request.headers)
                message.check_params()
                return empty(202)
            return await self._answer(request, message, tools, flows)
        except RpcFault as fault:
            request_id = None if message is None else message.id
            return json_response(refusal(request_id, fault), fault.status)

    async def _answer(
        self, request: Request, message: Message, tools: Toolbox, flows: Any
    ) -> HTTPResponse | None:
        params = message.params()
        revision = revision_of(message, params, request.headers)
        if message.method == "tools/call":
            return await self._call(request, message, params, tools, flows)
        result = tools.told(message.method, params, is_latest=revision == LATEST)
        return json_response(answer(message.id, result))

    async def _call(
        self, request: Request, message: Message, params: Params, tools: Toolbox, flows: Any
    ) -> HTTPResponse | None:
        tool = tools.named(params.name)
        try:
            call = await self._admit(request, message, params, tool)
            found = await tool.run(call, flows)
        except Unauthenticated:
            # An agent is to sign in, which it does when it is told so by HTTP.
            raise
        except Exception as failure:
            error = noted(request, failure)
            told = failed(message.id, error, scope_of(request).request_id)
            return json_response(told)
        if found is None:
            return None
        text = None if tool.text is None else tool.text(found)
        return json_response(done(message.id, found, text))

    async def _admit(self, request: Request, message: Message, params: Params, tool: Tool) -> Call:
        """Asks whether the tool's own request may be made; only then are bad arguments told.

        Raises:
            GatewayError: what refuses it.
        """
        arguments, fault = None, None
        try:
            arguments = tool.read(params.arguments)
        except ValidationFailed as problem:
            if tool.names_one:
                raise  # it cannot be asked about
            fault = problem
        scope_of(request).give_credential(self._retain)
        path = self._prefix + tool.path.format(arguments)
        await self._pipeline.admit(_stand_in(request, tool.method, path))
        if fault is not None:
            raise fault
        meta = params.meta
        token = None if isinstance(meta, UnsetType) else meta.progress_token
        return Call(
            request=request,
            arguments=arguments,
            id=message.id,
            progress_token=None if isinstance(token, UnsetType) else token,
            streams=_takes_streams(request),
        )


class Toolbox:
    """The tools there are, and what is told of them and of this server."""

    def __init__(self, tools: Sequence[Tool], instructions: str) -> None:
        self.tools = tuple(tools)
        self._tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}
        self._instructions = instructions

    def named(self, name: str | UnsetType) -> Tool:
        """
        Raises:
            RpcFault: there is none of that name.
        """
        if isinstance(name, UnsetType):
            raise RpcFault(INVALID_PARAMS, "params.name must name a tool.")
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(self._tools)
            raise RpcFault(INVALID_PARAMS, f"Unknown tool: {name[:64]}. There are {known}.")
        return tool

    def told(self, method: str, params: Params, *, is_latest: bool) -> dict[str, Any]:
        """The result of whatever calls no tool.

        Raises:
            RpcFault: there is no such method in that revision.
        """
        match method:
            case "tools/list":
                return self._listed(params)
            case "server/discover" if is_latest:
                return self._discovered
            case "initialize" if not is_latest:
                return self._begun(params)
            case "ping" if not is_latest:
                return {}
        raise RpcFault(METHOD_NOT_FOUND, f"Method not found: {method[:64]}")

    def _listed(self, params: Params) -> dict[str, Any]:
        if not isinstance(params.cursor, UnsetType):
            raise RpcFault(INVALID_PARAMS, "params.cursor is none that a listing gave.")
        return {"tools": self._described, "ttlMs": KEEP_MS, "cacheScope": "public"}

    @cached_property
    def _described(self) -> list[dict[str, Any]]:
        return [tool.described() for tool in self._tools.values()]

    @cached_property
    def _discovered(self) -> dict[str, Any]:
        return {
            "supportedVersions": list(SERVED),
            "capabilities": _CAPABILITIES,
            "instructions": self._instructions,
            "ttlMs": KEEP_MS,
            "cacheScope": "public",
        }

    def _begun(self, params: Params) -> dict[str, Any]:
        """No session begins: each of the client's next requests is served by itself."""
        return {
            "protocolVersion": older_for(params.version),
            "capabilities": _CAPABILITIES,
            "serverInfo": SERVER,
            "instructions": self._instructions,
        }


def _takes_streams(request: Request) -> bool:
    wanted = weights(",".join(request.headers.getall("accept", [])))
    return wanted.get("text/event-stream", 0.0) > 0.0


def _stand_in(request: Request, method: str, path: str) -> Request:
    """The request that a call stands for: another route, and all else of the one it came by.

    They have one scope, so that there is one caller, one line in the log and one set of leases.
    """
    app = request.app
    route, _, arguments = app.router.get(path, method, None)
    made = GatewayRequest(
        path.encode(), request.headers, request.version, method, request.transport, app
    )
    made.route, made.conn_info, made.stream = route, request.conn_info, request.stream
    made._match_info = arguments
    made.ctx.scope = scope_of(request)
    return made
