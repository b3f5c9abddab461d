"""What a session is made of, and that a cookie holds it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.aes_seals import AesSeals
from gateway.domain.cookies import CookieNames
from gateway.domain.sessions import SESSION, Session, decoded, encoded
from gateway.errors import Forbidden

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
sessions = st.builds(
    Session,
    subject=names,
    tenant=names,
    roles=st.lists(st.from_regex(r"[a-z][a-z-]{0,31}", fullmatch=True), max_size=200).map(tuple),
    name=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=128),
    issued_at=st.integers(0, 2**38),
    expires_at=st.integers(0, 2**38),
    token_id=st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True),
    generation=st.integers(0, 2**48),
    key=st.just("f" * 64),
)
SEALS = AesSeals([b"a secret of thirty-two bytes...."])
NAMES = CookieNames(secure=True)


@given(sessions)
def test_what_is_sealed_fits_a_cookie_or_is_refused(session: Session) -> None:
    """The whole line, as browsers count it at their strictest; and it comes back as it was."""
    try:
        content = encoded(session)
    except Forbidden:
        assert len(msgspec.json.encode(session)) > 2_500
        return
    text = SEALS.seal(SESSION, content)
    assert len(NAMES.set(NAMES.session, text, 86_400)) < 4096
    opened = SEALS.opened(SESSION, text)
    assert opened is not None
    assert opened.content == content
    assert decoded(opened.content) == session


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'["a"]', b"[1,2,3,4,5,6,7,8,9]", b"\xff"])
def test_what_another_version_sealed_is_none(content: bytes) -> None:
    assert decoded(content) is None
