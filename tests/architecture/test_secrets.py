"""A secret is compared in constant time: no outcome of a comparison shows it, the source does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway

ROOM = Path(str(gateway.__file__)).parent
# What a client sent is compared with what only the gateway knows, or with what follows from it.
SECRET = re.compile(r"(secret|sha256|tag|hash|checksum|sum|signature|digest|presented|password)\b")
COMPARING = {"domain/api_keys.py": 1, "domain/key_checksums.py": 2, "domain/tokens.py": 1}
SIGNATURES = {"domain/tokens.py"}


def words(node: ast.expr) -> Iterator[str]:
    """The names of an operand, without what an index or an argument of it is called."""
    for part in ast.walk(node):
        match part:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                yield name


def compared_by_value(source: str) -> list[str]:
    """Each ``==``, ``!=``, ``in`` or ``not in`` with a secret in it."""
    by_value = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, by_value) for operator in node.ops)
        and any(SECRET.search(word) for word in words(node))
    ]


# Both sides are the gateway's own: a secret it signed with, and those it has now.
OWN = {"claims.signed_with in settings.secrets"}


@pytest.mark.parametrize("file", COMPARING)
def test_secrets_are_compared_in_constant_time(file: str) -> None:
    """``==`` ends at the first byte that differs, and so tells how many were right."""
    source = (ROOM / file).read_text("utf-8")
    assert set(compared_by_value(source)) <= OWN
    assert source.count("hmac.compare_digest(") == COMPARING[file]


@pytest.mark.parametrize(
    "mistake",
    [
        "stored.sha256 == presented",
        "claims.password_tag != tag",
        "claims.password_tag in expected_tags or claims.password_tag in [tag]",
        "_checksum(text[:-6]) != match['sum']",
    ],
)
def test_a_comparison_by_value_is_found(mistake: str) -> None:
    """The check above can fail."""
    assert compared_by_value(mistake)
