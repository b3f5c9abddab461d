"""What the gateway needs of the world, named for what it wants and not for who sells it.

Adapters implement these protocols and map their vendor's exceptions to ``gateway.errors``; flows
and the edge know nothing else of the outside. A ``Deadline`` is an absolute time of the running
loop's clock (``loop.time()``): all S3 and Temporal work of one request shares one, and an adapter
waits under ``asyncio.timeout_at(deadline)``. Everybody else imports from here, whatever the file.
"""

from __future__ import annotations

from gateway.ports.callers import KeyStore, PasswordVerifier, Policy, PolicyEngine, Users
from gateway.ports.company import IdentityProvider, People
from gateway.ports.core import Core, CorePage, CoreSink, CoreStream, OnBehalfOf
from gateway.ports.documents import ObjectStore, PresignedUpload, Workflows
from gateway.ports.repeats import RepeatStore
from gateway.ports.revocations import Announcements, Board, Heard, Read, RevocationStore
from gateway.ports.shared_state import SharedState
from gateway.ports.sign_in import Codes, Opened, Seals
from gateway.ports.time import Clock, Deadline
from gateway.ports.usage import UsageStore

__all__ = [
    "Announcements",
    "Board",
    "Clock",
    "Codes",
    "Core",
    "CorePage",
    "CoreSink",
    "CoreStream",
    "Deadline",
    "Heard",
    "IdentityProvider",
    "KeyStore",
    "ObjectStore",
    "OnBehalfOf",
    "Opened",
    "PasswordVerifier",
    "People",
    "Policy",
    "PolicyEngine",
    "PresignedUpload",
    "Read",
    "RepeatStore",
    "RevocationStore",
    "Seals",
    "SharedState",
    "UsageStore",
    "Users",
    "Workflows",
]
