"""The core: whom it is asked for, its documents, and its answers while they are under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from gateway.domain.core_records import Passage
from gateway.domain.documents import CoreDocument
from gateway.domain.plain_events import Framing
from gateway.errors import GatewayError


class OnBehalfOf(NamedTuple):
    """Whom a call to the core is made for; becomes the ``X-KB-*`` headers.

    ``subject`` is the owner of what is asked for; ``actor`` an admin who looks after somebody else.
    """

    subject: str
    tenant: str
    roles: frozenset[str]
    request_id: str
    actor: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class CorePage:
    """Documents newest first (descending id); the last id is the next page's cursor."""

    documents: Sequence[CoreDocument]
    more: bool


class CoreSink(Protocol):
    """Takes an answer's bytes inside the event loop's read callback: it never awaits."""

    def received(self, data: bytes) -> None: ...

    def framed_taker(
        self, parse: Callable[[bytes], None], framing: Framing
    ) -> Callable[[bytes], None]:
        """Gives what takes each read that begins between two frames of the transfer.

        It takes whole frames, as ``framing`` tells them. Anything else it hands to ``parse``, and
        it comes again through ``received``. A sink that takes no frames gives ``parse`` itself.
        """

    def ended(self, error: GatewayError | None) -> None:
        """Once, after the last ``received``; ``None`` where the body came to its proper end."""


class CoreStream(Protocol):
    """An answer under way, its head already checked. ``aclose`` is safe to call twice."""

    def attach(self, sink: CoreSink) -> None:
        """Pushes the core's bytes into ``sink`` from now on, those that came already at once."""

    def pause(self) -> None:
        """Stops reading from the core until ``resume``; bytes already read may still come."""

    def resume(self) -> None: ...

    async def aclose(self) -> None: ...


class Core(Protocol):
    """The LlamaIndex core (contract, section 5)."""

    async def open_query(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        on_sent: Callable[[], None] | None = None,
    ) -> CoreStream:
        """Raises ``CoreUnavailable``, ``CoreProtocolError`` or ``CoreTimeout``.

        ``on_sent`` is called once the connection to the core stands and the request went out.
        """

    async def search(self, who: OnBehalfOf, body: Mapping[str, Any]) -> Sequence[Passage]:
        """The passages that fit, best first. Raises ``CoreLacks`` where the core has no search."""

    async def list_documents(
        self, who: OnBehalfOf, *, limit: int, cursor: str | None
    ) -> CorePage: ...

    async def get_document(self, who: OnBehalfOf, document_id: str) -> CoreDocument | None: ...

    async def delete_document(self, who: OnBehalfOf, document_id: str) -> None: ...

    async def check(self) -> None: ...
