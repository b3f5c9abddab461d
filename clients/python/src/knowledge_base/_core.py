"""One request from its making to its answer: who asks, when it is sent again, what it came to.

Written once, over ``Io``: without a loop its coroutines run to their end in one step (``_sync``).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from knowledge_base._decode import decode
from knowledge_base._io import Io, Response, Timeouts, whole
from knowledge_base._requests import API, Reply, Request
from knowledge_base._retries import Retries, may_be_done
from knowledge_base._session import Session
from knowledge_base.errors import (
    ConnectionBroken,
    KnowledgeBaseError,
    NotFound,
    ProtocolError,
    SharedStateUnavailable,
    TimedOut,
    TokenExpired,
    Unauthenticated,
)
from knowledge_base.models import AccessToken

T = TypeVar("T")
# Of an answer that is no stream; the server's own limit is 8 MiB, if it has no other setting.
ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
_ERROR_LIMIT_BYTES = 1024 * 1024


class Core:
    """What every call goes through."""

    def __init__(self, io: Io, session: Session, retries: Retries, timeouts: Timeouts) -> None:
        self.io = io
        self.session = session
        self.timeouts = timeouts
        self._retries = retries
        self._lock = io.lock()

    # --- requests ---------------------------------------------------------------------------------

    async def call(self, request: Request) -> Reply:
        """The whole answer, sent again where that is safe.

        Raises:
            ApiError: the answer is a refusal.
            NotConnected, ConnectionBroken, TimedOut, ProtocolError.
        """

        is_done = False

        async def once(request: Request) -> Reply:
            nonlocal is_done
            try:
                response = await self._opened(request)
                body = await whole(response, ANSWER_LIMIT_BYTES)
            except KnowledgeBaseError as exc:
                is_done = is_done or may_be_done(exc)
                raise
            return Reply(response.status, response.headers, body)

        try:
            return await self._repeated(request, once)
        except NotFound:
            # What an earlier try has deleted, although nobody told us, is gone.
            if request.method == "DELETE" and is_done:
                return Reply(204, {})
            raise

    async def open(self, request: Request) -> Response:
        """The answer with its body still to be read; the rest as ``call``."""
        return await self._repeated(request, self._opened)

    async def get(self, kind: type[T], request: Request) -> T:
        """The answer's JSON as a ``kind``."""
        return decode(kind, (await self.call(request)).json())

    async def _repeated(self, request: Request, once: Callable[[Request], Awaitable[T]]) -> T:
        before = 0
        while True:
            try:
                return await once(request)
            except KnowledgeBaseError as exc:
                if isinstance(exc, SharedStateUnavailable) and request.is_keyed:
                    # Nothing was made, and this server knows no key again for now.
                    request = request.unkeyed()
                    continue
                wait_s = self._retries.wait_s(request, exc, before)
                if wait_s is None:
                    raise
            before += 1
            await self.io.sleep(wait_s)

    async def _opened(self, request: Request) -> Response:
        """Once with the token there is; where a new one may help, once more."""
        credential = await self._credential(request)
        response = await self._sent(request, credential)
        if request.is_answered_by(response.status):
            return response
        error = await _refusal(response)
        if not self._may_log_in_again(request, error):
            raise error
        self.session.dropped(credential)
        response = await self._sent(request, await self._credential(request))
        if request.is_answered_by(response.status):
            return response
        raise await _refusal(response)

    async def _sent(self, request: Request, credential: str | None) -> Response:
        headers = {"Accept": "application/json", **request.headers}
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        return await self.io.open(request, headers)

    def _may_log_in_again(self, request: Request, error: KnowledgeBaseError) -> bool:
        """A token may have been ended before its time: by a new password, or by an operator."""
        if request.is_public or request.is_foreign or not self.session.can_log_in:
            return False
        return type(error) in (Unauthenticated, TokenExpired)

    # --- who asks ---------------------------------------------------------------------------------

    async def _credential(self, request: Request) -> str | None:
        if request.is_public or request.is_foreign:
            return None
        if self.session.needs_login:
            async with self._lock:
                # Many may have waited for the one who logs in.
                if self.session.needs_login:
                    await self._log_in()
        return self.session.credential

    async def log_in(self, username: str, password: str) -> AccessToken:
        """Logs in, and keeps name and password for when the token ends."""
        request = Request.json(
            "POST",
            f"{API}/auth/login",
            {"username": username, "password": password},
            is_public=True,
        )
        token = await self.get(AccessToken, request)
        self.session.username, self.session.password = username, password
        self.session.took(token)
        return token

    async def _log_in(self) -> None:
        assert self.session.username is not None
        assert self.session.password is not None
        await self.log_in(self.session.username, self.session.password)

    # --- elsewhere --------------------------------------------------------------------------------

    async def store(self, request: Request) -> Reply:
        """One request to the object store, whatever it answers; nothing of it is sent again."""
        response = await self.io.open(request, request.headers)
        body = await whole(response, _ERROR_LIMIT_BYTES)
        return Reply(response.status, response.headers, body)

    def backoff_s(self, request: Request, error: KnowledgeBaseError, before: int) -> float | None:
        return self._retries.wait_s(request, error, before)

    def now(self) -> float:
        return time.monotonic()


async def _refusal(response: Response) -> KnowledgeBaseError:
    if response.status < 400:
        await response.close()
        return ProtocolError(f"The answer ({response.status}) leads elsewhere.")
    try:
        body = await whole(response, _ERROR_LIMIT_BYTES)
    except (ConnectionBroken, TimedOut):
        # The status is known; what it said of it is not.
        body = b""
    return Reply(response.status, response.headers, body).error()


def without_none(**given: Any) -> dict[str, str]:
    """A query string's parameters, without those that were not given."""
    return {name: str(value) for name, value in given.items() if value is not None}
