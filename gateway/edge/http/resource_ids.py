"""The ids that stand in paths: how each is spelled, for the pipeline and for OpenAPI.

No resource has an id in another spelling: the answer is 404, before the policy or a store is asked
about it (contract, section 1). A new kind of id is one entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.api_keys import KEY_ID_PATTERN, is_key_id
from gateway.domain.ids import UUID7_PATTERN, is_uuid7


@dataclass(frozen=True, slots=True)
class IdSpelling:
    """``accepts`` checks a text; ``schema`` describes the spelling in the OpenAPI document."""

    accepts: Callable[[str], bool]
    schema: Mapping[str, Any]


ID_SPELLINGS: Final[Mapping[str, IdSpelling]] = {
    "document_id": IdSpelling(
        is_uuid7,
        {
            "type": "string",
            "format": "uuid",
            "pattern": UUID7_PATTERN,
            "description": "A lower-case UUIDv7.",
        },
    ),
    "key_id": IdSpelling(
        is_key_id,
        {
            "type": "string",
            "pattern": KEY_ID_PATTERN,
            "description": "The part after `kbg_`.",
        },
    ),
}
