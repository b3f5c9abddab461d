"""Every action (contract, section 4): what routes declare, scopes name and roles grant.

This is the one list in Python. ``opa/data.json`` says which role grants which of them, and a test
holds the two together.
"""

from __future__ import annotations

from typing import Final

# An API key may not do these: a key that made or rotated keys would outlive its own revocation, and
# one that logged its owner out would have nothing of its own to end.
PERSON_ONLY: Final = frozenset({"auth:logout", "keys:create", "keys:rotate"})

ACTIONS: Final = frozenset(
    {
        "auth:logout",
        "auth:me",
        "documents:complete",
        "documents:content",
        "documents:content:any-owner",
        "documents:create",
        "documents:delete",
        "documents:delete:any-owner",
        "documents:list",
        "documents:list:any-owner",
        "documents:read",
        "documents:read:any-owner",
        "keys:create",
        "keys:list",
        "keys:list:any-owner",
        "keys:revoke",
        "keys:revoke:any-owner",
        "keys:rotate",
        "probe:run",
        "query:run",
        "search:run",
        "usage:read",
        "usage:read:any-owner",
    }
)

# What limits count of those who are nobody yet: a login, and a socket that is opened.
LOGIN: Final = "login"
SOCKET: Final = "socket"
# And of an agent's message before it is read: who sends it is known by then, not what it asks for.
MCP: Final = "mcp"
# Those whose answer is a stream that stays open; the routes say so too, and a test compares them.
STREAMED: Final = frozenset({"probe:run", "query:run"})


def for_any_owner(action: str) -> str:
    """The action that is asked for instead when an admin names another owner (``?owner=``)."""
    return f"{action}:any-owner"
