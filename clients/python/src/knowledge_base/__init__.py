"""The client of a knowledge base: upload documents, ask about them, read answers as they stream.

``KnowledgeBase`` is for code that waits, ``AsyncKnowledgeBase`` for asyncio; both do the same.
"""

from knowledge_base import errors
from knowledge_base._answers import StreamLimits
from knowledge_base._io import Timeouts
from knowledge_base._retries import Retries
from knowledge_base._version import VERSION as __version__
from knowledge_base.async_client import AsyncAnswerStream, AsyncKnowledgeBase
from knowledge_base.client import AnswerStream, KnowledgeBase
from knowledge_base.errors import (
    AnswerIncomplete,
    ApiError,
    IngestFailed,
    KnowledgeBaseError,
    UploadInterrupted,
)
from knowledge_base.events import Citation, Done, Event, Meta, Passage, Sources, Token, Usage
from knowledge_base.models import (
    AccessToken,
    Answer,
    Document,
    DocumentPage,
    Identity,
    Key,
    Progress,
    Uploaded,
    UploadState,
    UsageReport,
)

__all__ = [
    "AccessToken",
    "Answer",
    "AnswerIncomplete",
    "AnswerStream",
    "ApiError",
    "AsyncAnswerStream",
    "AsyncKnowledgeBase",
    "Citation",
    "Document",
    "DocumentPage",
    "Done",
    "Event",
    "Identity",
    "IngestFailed",
    "Key",
    "KnowledgeBase",
    "KnowledgeBaseError",
    "Meta",
    "Passage",
    "Progress",
    "Retries",
    "Sources",
    "StreamLimits",
    "Timeouts",
    "Token",
    "UploadInterrupted",
    "UploadState",
    "Uploaded",
    "Usage",
    "UsageReport",
    "__version__",
    "errors",
]
