"""What is said on one socket: who asks, the questions that are open, and when it is closed.

The client signs in with the upgrade or by its first message; then it asks and cancels. Each
question is a task that goes the way of every request (``Pipeline.admit``) and then to its flow: who
may what is not decided here. A question ends with exactly one last message.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sanic import Request

from gateway.domain import websocket
from gateway.domain.websocket import Close, close_for
from gateway.edge.http.pipeline import Pipeline
from gateway.edge.scope import Scope
from gateway.edge.ws.connection import Connection
from gateway.edge.ws.messages import Ask, Auth, BadAsk, Cancel, NotJson, read_message
from gateway.edge.ws.question import Question
from gateway.errors import (
    Conflict,
    Forbidden,
    GatewayError,
    InternalError,
    TokenExpired,
    Unauthenticated,
)
from gateway.errors import ValidationFailed as Invalid
from gateway.flows.authentication_method import RetainedCredential
from gateway.flows.recheck import Grant, Recheck

SIGN_IN_S = 5.0
# Questions that may be open at once.
OPEN_LIMIT = 8
# How long a socket may have none open.
IDLE_S = 600.0
# Messages that may wait until it is known who sends them, and their bytes.
WAITING_LIMIT = 16
WAITING_LIMIT_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Asking:
    """What a socket's questions are.

    Attributes:
        shape: the message that asks one.
        answer: gives the answer of one that was admitted.
        make_request: what stands for one in the pipeline, as if it had come over HTTP.
        recheck: watches who is signed in, as it does the questions that run.
        lifetime_s: for how many seconds a credential still stands that ends at this Unix time.
    """

    shape: type[Any]
    answer: Callable[[Question], Awaitable[None]]
    make_request: Callable[[], Request]
    recheck: Recheck
    lifetime_s: Callable[[float], float]


class Session:
    """Implements ``connection.Listener``; ``scope`` is the upgrade's.

    Attributes:
        asked: how many questions were put.
    """

    def __init__(
        self,
        connection: Connection,
        pipeline: Pipeline,
        scope: Scope,
        asking: Asking,
        on_signed_in: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._scope = scope
        self._asking = asking
        self._on_signed_in = on_signed_in
        self._loop = asyncio.get_running_loop()
        self._began_s = self._idle_since_s = self._loop.time()
        self._ends_at = float("inf")
        self._retained: RetainedCredential | None = None
        self._grant: Grant | None = None
        self._signing_in: asyncio.Task[None] | None = None
        self._waiting: list[bytes] = []
        # Also those whose last message was told, and whose core may still end its body.
        self._open: dict[asyncio.Task[None], Question] = {}
        # What the socket is closed with when no question is open any more.
        self._last: Close | None = None
        self._is_gone = False
        self.asked = 0

    @property
    def is_busy(self) -> bool:
        return bool(self._open) or self._signing_in is not None

    # --- signing in -----------------------------------------------------------------------------

    def begin(self, bearer: str | None) -> None:
        """``bearer`` came with the upgrade; whoever is known by the scope already is let in."""
        if bearer is not None:
            self._sign_in(bearer)
        elif self._scope.principal is not None:
            self._let_in()

    def _sign_in(self, token: str) -> None:
        scope = self._scope
        # What the client took to say it is not the gateway's time.
        scope.deadline += self._loop.time() - self._began_s
        identify = self._pipeline.identify(scope, [f"Bearer {token}"], [])
        self._signing_in = self._loop.create_task(identify, name="socket-sign-in")
        self._signing_in.add_done_callback(self._signed_in)

    def _signed_in(self, task: asyncio.Task[None]) -> None:
        self._signing_in = None
        if task.cancelled() or self._is_gone:
            return
        failure = task.exception()
        if failure is not None:
            self._refuse(failure if isinstance(failure, GatewayError) else InternalError())
            return
        self._let_in()
        waiting, self._waiting = self._waiting, []
        for text in waiting:
            self._take(text)

    def _let_in(self) -> None:
        expires_at = self._scope.caller.expires_at
        if expires_at is not None:
            self._ends_at = self._loop.time() + self._asking.lifetime_s(expires_at)
        recheck = self._asking.recheck
        self._retained = self._scope.give_credential(recheck.retain)
        self._grant = Grant(self._retained, None)
        recheck.watch(self._grant, self, self._scope.caller)
        self._idle_since_s = self._loop.time()
        self._connection.take_whole_messages()
        self._on_signed_in()

    def _refuse(self, error: GatewayError) -> None:
        self._scope.error, self._scope.auth_reason = error, getattr(error, "reason", None)
        self._connection.close(close_for(error), "refused")

    # --- messages -------------------------------------------------------------------------------

    def received(self, text: bytes) -> None:
        if self._signing_in is None:
            self._take(text)
        elif self._may_wait(text):
            self._waiting.append(text)
        else:
            self._connection.fail(Close(websocket.POLICY_VIOLATION, "TOO_MANY_MESSAGES"))

    def _may_wait(self, text: bytes) -> bool:
        waiting = [*self._waiting, text]
        return len(waiting) <= WAITING_LIMIT and sum(map(len, waiting)) <= WAITING_LIMIT_BYTES

    def _take(self, text: bytes) -> None:
        if self._is_gone:
            return
        try:
            message = read_message(text, self._asking.shape)
        except NotJson:
            self._connection.fail(Close(websocket.INVALID_DATA, "NOT_JSON"))
        except Invalid as fault:
            self._connection.fail(close_for(fault))
        else:
            self._obey(message)

    def _obey(self, message: Auth | Cancel | Ask | BadAsk) -> None:
        if isinstance(message, Auth):
            if self._retained is None:
                self._sign_in(message.token)
            else:
                self._connection.fail(Close(websocket.POLICY_VIOLATION, "SIGNED_IN_ALREADY"))
        elif self._retained is None:
            self._refuse(Unauthenticated(reason="missing"))
        elif isinstance(message, Cancel):
            self._cancel(message.id)
        else:
            self._ask(message, self._retained)

    def _cancel(self, question_id: str) -> None:
        """Nothing where there is none: its last message may be under way."""
        for task, question in self._open.items():
            if question.ask.id == question_id and not question.is_over:
                question.cancelled = True
                task.cancel()

    def _ask(self, ask: Ask | BadAsk, retained: RetainedCredential) -> None:
        open_ids = [one.ask.id for one in self._open.values() if not one.is_over]
        if ask.id in open_ids:
            self._connection.fail(Close(websocket.POLICY_VIOLATION, "ID_IN_USE"))
            return
        self.asked += 1
        # Each question has a context of its own, for its trace.
        context = contextvars.copy_context()
        question = Question(ask, self._asking.make_request(), self._connection)
        context.run(self._open_scope, question.request, retained)
        if len(open_ids) >= OPEN_LIMIT:
            question.refuse_at_once(Conflict(f"{OPEN_LIMIT} questions are open on this socket."))
            return
        task = self._loop.create_task(self._answer(question), name="question", context=context)
        self._open[task] = question
        task.add_done_callback(self._answered)

    def _open_scope(self, request: Request, retained: RetainedCredential) -> None:
        scope = self._pipeline.open_scope(request)
        scope.door, scope.retained = self._scope.door, retained

    # --- questions ------------------------------------------------------------------------------

    async def _answer(self, question: Question) -> None:
        scope = await self._pipeline.admit(question.request)
        # It may have been renewed.
        self._retained = scope.retained
        if isinstance(question.ask, BadAsk):
            raise question.ask.fault
        await self._asking.answer(question)

    def _answered(self, task: asyncio.Task[None]) -> None:
        question = self._open.pop(task)
        question.scope.give_back()
        question.over(task)
        self._remember(question)
        if not self._open:
            self._idle_since_s = self._loop.time()
            if self._last is not None:
                self._connection.close(self._last, "refused")

    def _remember(self, question: Question) -> None:
        """What ended this question may end the socket: nobody asks with such a credential."""
        error = question.scope.error
        if isinstance(error, Unauthenticated) or (
            # Withdrawn, that is: a question that is refused ends nothing but itself.
            isinstance(error, Forbidden) and question.begun
        ):
            self._last = close_for(error)

    # --- ends -----------------------------------------------------------------------------------

    def stop(self, error: GatewayError) -> None:
        """Who is signed in is no more. Open questions end first, by the same; each is told."""
        if self._open:
            self._last = close_for(error)
        elif isinstance(error, TokenExpired):
            self._connection.close(close_for(error), "expired")
        else:
            self._refuse(error)

    def check(self, now_s: float) -> None:
        if self.is_busy:
            return
        if self._retained is None:
            if now_s - self._began_s > SIGN_IN_S:
                self._refuse(Unauthenticated(reason="missing"))
        elif now_s >= self._ends_at:
            self._connection.close(Close(websocket.NOT_SIGNED_IN, "TOKEN_EXPIRED"), "expired")
        elif now_s - self._idle_since_s > IDLE_S:
            self._connection.close(Close(websocket.NORMAL, "IDLE"), "idle")

    def gone(self) -> None:
        self._is_gone = True
        if self._signing_in is not None:
            self._signing_in.cancel()
        for task, question in self._open.items():
            question.mute()
            task.cancel()

    async def end(self) -> None:
        """Returns when no question is under way any more: the core was left, the log written."""
        self.gone()
        if self._grant is not None:
            self._asking.recheck.unwatch(self._grant, self)
            self._grant = None
        if self._open:
            await asyncio.wait(self._open)
