"""The ids that stand in paths: how each is spelled, for the pipeline and for OpenAPI.

No resource has an id in another spelling: the answer is 404, before the policy or a store is asked
about it (contract, section 1). A new kind of id is one entry here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.api_keys import KEY_ID_PATTERN, is_key_id
from gateway.domain.ids import UUID7_PATTERN, is_uuid7

# Of a page's file: a digest, then a path of letters and digits.
ASSET_PATTERN: Final = r"^[0-9a-f]{1,64}(/[A-Za-z0-9_-]{1,40}){1,3}\.[a-z]{2,4}$"
is_asset: Final = re.compile(ASSET_PATTERN.replace("$", r"\Z")).match


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
    "asset": IdSpelling(
        lambda text: is_asset(text) is not None,
        {
            "type": "string",
            "pattern": ASSET_PATTERN,
            "description": "As its page names it; its slashes stand as they are.",
        },
    ),
}
