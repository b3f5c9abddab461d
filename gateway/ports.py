"""What the gateway needs of the world, named for what it wants and not for who sells it.

Adapters implement these protocols and map their vendor's exceptions to ``gateway.errors``; flows
and the edge know nothing else of the outside. A ``Deadline`` is an absolute time of the running
loop's clock (``loop.time()``): all S3 and Temporal work of one request shares one, and an adapter
waits under ``asyncio.timeout_at(deadline)``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.domain.api_keys import KeyRecord, StoredKey
from gateway.domain.core_records import Passage
from gateway.domain.documents import Announced, CoreDocument, DocumentRef, ObjectHead, UploadStatus
from gateway.domain.identity import User
from gateway.domain.limits import Charge, Lease, Outcome, Penalty
from gateway.domain.plain_events import Framing
from gateway.domain.policy import Decision, PolicyQuestion
from gateway.errors import GatewayError

Deadline = float


class Clock(Protocol):
    """Time, as an argument: tests move it."""

    def time(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


class Users(Protocol):
    """The accounts, in memory; ``revision`` changes with every reload (caches empty on it)."""

    @property
    def revision(self) -> int: ...

    def get(self, subject: str) -> User | None: ...


class PasswordVerifier(Protocol):
    async def verify(
        self,
        password_hash: str | None,
        password: str,
        *,
        group: str,
        in_turn: Callable[[], Awaitable[None]],
    ) -> bool:
        """Costs the same for ``None`` (an unknown user) as for a hash; ``Overloaded`` when full.

        ``group`` is who shares a turn with whom: the client's address. ``in_turn`` is awaited right
        before the check, one at a time; what it raises is raised, and nothing is checked.
        """


class KeyStore(Protocol):
    """API keys, shared by every worker and replica. Raises ``StorageUnavailable``."""

    async def get(self, key_id: str, deadline: Deadline) -> StoredKey | None: ...

    async def create(self, record: KeyRecord, deadline: Deadline) -> None:
        """``Conflict`` when the id is taken."""

    async def replace(self, record: KeyRecord, version: str, deadline: Deadline) -> None:
        """``Conflict`` when somebody else changed it since ``version``."""

    async def overwrite(self, record: KeyRecord, deadline: Deadline) -> None:
        """Replaces it whatever it is now: a ``replace`` that is under way has lost."""

    async def list(self, tenant: str, owner: str, deadline: Deadline) -> Sequence[StoredKey]: ...

    async def remove(self, record: KeyRecord, deadline: Deadline) -> None:
        """Forgets a dead key for good; nothing there is success."""

    async def check(self, deadline: Deadline) -> None: ...


class RevocationStore(Protocol):
    """Revocations as texts, shared by all replicas, for as long as they end something.

    Raises ``StorageUnavailable``.
    """

    async def add(self, text: str, deadline: Deadline) -> None:
        """Durable when it returns; one that is there already is success."""

    async def list(self, since: float, deadline: Deadline) -> Sequence[str]:
        """Those added since then by the clocks of those who added them (Unix seconds), and more.

        0: all there are.
        """

    async def tidy(self, is_over: Callable[[str], bool], deadline: Deadline) -> int:
        """Forgets those that are over; gives how many."""

    async def check(self, deadline: Deadline) -> None: ...


@dataclass(frozen=True, slots=True)
class Read:
    """What was written to a board since ``Board.read`` was asked last.

    ``position`` is where to read on; ``missed`` says that some were overwritten before.
    """

    texts: Sequence[str]
    position: int
    missed: bool


class Board(Protocol):
    """What the workers of one replica tell one another at once, in memory."""

    @property
    def written(self) -> int:
        """How many entries were ever written; costs next to nothing."""

    store_read_at: float
    """When some worker last began to read the store with success (``Clock.monotonic``); 0: never.
    """

    async def write(self, text: str, deadline: Deadline) -> None:
        """All workers read it from now on. Raises ``SharedStateUnavailable``."""

    def read(self, since: int) -> Read: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What other replicas told. ``missed``: perhaps more than ``texts``, which nobody will repeat.

    ``position`` is where to go on; it is the adapter's own.
    """

    texts: Sequence[str]
    position: str
    missed: bool


class Announcements(Protocol):
    """What replicas tell one another at once, and may forget. Raises ``SharedStateUnavailable``."""

    async def tell(self, text: str) -> None: ...

    async def hear(self, position: str, wait_s: float) -> Heard:
        """What was told since; waits ``wait_s`` at most for the first. ``""``: all that is kept."""


class Policy(Protocol):
    """May they? Raises ``PolicyUnavailable`` when there is no answer; that is never an allow."""

    @property
    def revision(self) -> str: ...

    async def decide(self, question: PolicyQuestion) -> Decision: ...

    async def check(self) -> None:
        """Raises ``PolicyUnavailable`` (down) or ``PolicyBroken`` (loaded and wrong)."""


class PolicyEngine(Policy, Protocol):
    """What evaluates the policy. One in another process reloads by itself: both do nothing."""

    async def faults(self) -> list[str]:
        """What is wrong with the policy as it is now; nothing: ``reload`` takes over just that."""

    async def reload(self) -> None:
        """Raises ``PolicyBroken``, and then the policy of before stays."""


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """A signed permission to send bytes: ``fields`` for a POST form, ``headers`` for a PUT."""

    url: str
    fields: Mapping[str, str]
    headers: Mapping[str, str]


class ObjectStore(Protocol):
    """Where documents' bytes are. Presigning is pure CPU; the rest raises ``StorageUnavailable``.

    What is presigned holds the client to what it announced: key, size, content type, checksum,
    and the filename as metadata and ``Content-Disposition``. ``expires_in_s`` is in seconds.
    """

    def presign_post(
        self, key: str, announced: Announced, *, expires_in_s: int
    ) -> PresignedUpload: ...

    def presign_put(
        self, key: str, announced: Announced, *, expires_in_s: int
    ) -> PresignedUpload: ...

    def presign_part(
        self, key: str, *, upload_id: str, n: int, size: int, expires_in_s: int
    ) -> PresignedUpload: ...

    def presign_read(
        self,
        key: str,
        *,
        version_id: str | None,
        filename: str,
        content_type: str,
        head: bool,
        expires_in_s: int,
    ) -> str:
        """A URL of one version of the object, for GET, or with ``head`` for HEAD.

        The store answers with these ``filename`` (as an attachment) and ``content_type``, whatever
        the object was stored with. ``None``: the version that is the newest when it is used.
        """

    async def create_multipart(self, key: str, announced: Announced, deadline: Deadline) -> str:
        """Gives the upload id."""

    async def complete_multipart(
        self, key: str, *, upload_id: str, parts: Sequence[tuple[int, str]], deadline: Deadline
    ) -> None:
        """``parts`` are (n, etag). ``Conflict`` when the store refuses the list.

        An upload that is gone is no error: it was completed (``head`` finds the object, in a moment
        if that is happening right now) or aborted.
        """

    async def abort_multipart(self, key: str, *, upload_id: str, deadline: Deadline) -> None:
        """Gone already is success."""

    async def head(self, key: str, deadline: Deadline) -> ObjectHead | None: ...

    async def delete(self, key: str, deadline: Deadline) -> None:
        """Removes the object with all its versions; nothing there is success."""

    async def check(self, deadline: Deadline) -> None: ...


class Workflows(Protocol):
    """``UploadWorkflow`` seen from here. Raises ``TemporalUnavailable`` or ``TemporalTimeout``."""

    async def start(self, ref: DocumentRef, announced: Announced, deadline: Deadline) -> None:
        """``Conflict`` when the id was ever used."""

    async def describe(self, ref: DocumentRef, deadline: Deadline) -> UploadStatus | None:
        """From the memo, with no worker alive; ``None`` when no such workflow is known."""

    async def progress(self, ref: DocumentRef, deadline: Deadline) -> UploadStatus | None:
        """Asks the running workflow; ``None`` when no worker answers in time."""

    async def signal_completed(
        self, ref: DocumentRef, head: ObjectHead, deadline: Deadline
    ) -> None:
        """``NotFound`` when the workflow is over or unknown."""

    async def cancel(self, ref: DocumentRef, deadline: Deadline) -> None:
        """Gone or closed already is success."""

    async def list_open(
        self, tenant: str, owner: str, deadline: Deadline
    ) -> Sequence[UploadStatus]: ...

    async def check(self, deadline: Deadline) -> None: ...


@dataclass(frozen=True, slots=True)
class OnBehalfOf:
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


class SharedState(Protocol):
    """What is counted together by all workers: of all replicas in Redis, of one in its memory.

    Raises ``SharedStateUnavailable``. Keys are short texts that name what is counted, such as
    ``"query:run/subject/acme/ada"``. A lease is free by itself ``LEASE_S`` after its worker last
    renewed it; what this worker holds is told apart from what all others do.
    """

    async def admit(
        self, charges: Sequence[Charge], leases: Sequence[Lease] = ()
    ) -> Sequence[Outcome]:
        """Asks for all of them in one round trip; nothing is charged or leased unless all pass.

        Gives an outcome for each, charges first, in the order of the arguments.
        """

    async def peek(
        self, charges: Sequence[Charge], leases: Sequence[Lease] = ()
    ) -> Sequence[Outcome]:
        """The outcomes that ``admit`` would give; changes nothing."""

    def release(self, keys: Sequence[str]) -> None:
        """Gives back one lease of each key; waits for nothing, and may be repeated by a renewal."""

    async def renew(self, held: Mapping[str, int]) -> None:
        """How many leases this worker holds of each key: all of them, whatever was known before."""

    async def reset(self, keys: Sequence[str]) -> None:
        """Forgets what was counted under these keys: charges, leases and failures."""

    async def wait_s(self, keys: Sequence[str]) -> Sequence[float]:
        """How long the next attempt under each key has to wait after its failures, in seconds."""

    async def failed(self, keys: Sequence[str], penalty: Penalty) -> Sequence[float]:
        """Counts one more failure under each key; gives the delays that follow, in seconds."""

    async def forgive(self, keys: Sequence[str]) -> None:
        """Forgets the failures under these keys."""

    async def check(self) -> None:
        """Raises what is wrong with it."""
