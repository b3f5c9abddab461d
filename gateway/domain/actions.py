"""Every action there is (contract, section 4): what routes declare, scopes name, roles grant.

This is the one list in Python. ``opa/data.json`` says which role grants which of them, and a test
holds the two together.
"""

from __future__ import annotations

from typing import Final

# What a caller may do whatever his roles are.
FOR_EVERYONE: Final = frozenset({"auth:me"})

# What takes a person: a key never begets a key.
PERSON_ONLY: Final = frozenset({"keys:create", "keys:rotate"})

ANY_OWNER: Final = ":any-owner"

ACTIONS: Final = frozenset(
    {
        "auth:me",
        "documents:complete",
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
        "query:run",
    }
)


def is_action(text: str) -> bool:
    """Whether ``text`` may be declared by a route or listed in a key's scopes."""
    return text in ACTIONS
