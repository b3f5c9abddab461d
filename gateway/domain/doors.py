"""The doors: protocols that clients speak, all of which lead to the same pipeline and flows.

All other routes (documents, keys, logins) are plain HTTP, which is no door of its own.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Door = Literal["http", "sse", "json", "ws", "openai", "mcp", "grpc"]

# In the order of ``docs/protocol.md``; plain HTTP first.
DOORS: Final[tuple[str, ...]] = get_args(Door)
