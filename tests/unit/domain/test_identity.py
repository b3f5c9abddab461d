"""Names: what may become part of an object key, a workflow id or a header."""

from __future__ import annotations

import pytest

from gateway.domain.identity import User, is_name, is_role


@pytest.mark.parametrize("text", ["a", "0", "alice", "a-b_c", "a" * 64])
def test_names_that_are_safe_everywhere(text: str) -> None:
    """Lower-case letters, digits, hyphen and underscore, 64 at most."""
    assert is_name(text)


@pytest.mark.parametrize(
    "text", ["", "-a", "_a", "A", "a" * 65, "a/b", "a.b", "..", "a b", "a\n", "é", "a\0", "٣"]
)
def test_names_that_could_mean_something_elsewhere(text: str) -> None:
    """A slash would leave the owner's folder, a newline split a header."""
    assert not is_name(text)


@pytest.mark.parametrize(("text", "good"), [("admin", True), ("a-b", True), ("a" * 32, True)])
def test_role_names(text: str, good: bool) -> None:
    """Lower-case letters and hyphens, 32 at most."""
    assert is_role(text) is good


@pytest.mark.parametrize("text", ["", "Admin", "-a", "a1", "a_b", "a" * 33, "a\n", "a,b"])
def test_what_is_no_role_name(text: str) -> None:
    """Roles travel in one header, separated by commas."""
    assert not is_role(text)


def test_a_user_never_shows_his_password_hash() -> None:
    """``repr`` ends in logs and tracebacks."""
    assert "argon2" not in repr(User("a", "t", frozenset(), "$argon2id$x"))
