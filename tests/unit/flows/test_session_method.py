"""Sessions of browsers: whom they stand for as time goes on, and what ends them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.aes_seals import AesSeals
from gateway.domain.company import unlisted
from gateway.errors import Unauthenticated
from gateway.flows.credentials import Credential
from gateway.flows.provider_keys import RENEW_S
from gateway.flows.session_method import SessionMethod
from tests.company import AUDIENCE, NOW, SigningKey, public_keys, rules
from tests.unit.identity_fakes import MemoryPeople

from .test_company_method import ERIN, World, deadline

SECRET, OTHER = b"a secret of thirty-two bytes....", b"another secret of its own......."


class Browsers(World):
    """A worker at which browsers sign in."""

    def __init__(self, people: MemoryPeople | None = None, **limits: int) -> None:
        super().__init__(people, **limits)
        self.seals = AesSeals([SECRET])
        self.sessions = SessionMethod(
            self.method,
            self.seals,
            self.revocations.known,
            self.clock,
            self.authenticator.verified,
            client_id="kb-console",
        )
        self.authenticator.add("session", self.sessions)

    async def sign_in(self, **changes: Any) -> Credential:
        id_token = self.token(aud="kb-console", azp="kb-console", **changes)
        claims, _ = await self.sessions.identify(id_token.text, deadline())
        _, sealed = self.sessions.begin(claims)
        return Credential("session", sealed)


@pytest.fixture
async def world() -> Browsers:
    return Browsers()


async def test_a_session_is_whom_the_id_token_was_about(world: Browsers) -> None:
    """The same subject as by the provider's other tokens, which documents and keys belong to."""
    session, token = await world.who(await world.sign_in()), await world.who(world.token())
    assert (session.auth, token.auth) == ("session", "oidc")
    assert replace(session, auth="oidc") == token
    assert session.subject == ERIN


async def test_one_that_was_seen_before_costs_no_second_look_inside(world: Browsers) -> None:
    """One principal for all requests of a session, as for a token."""
    credential = await world.sign_in()
    assert await world.who(credential) is await world.who(credential)
    assert world.authenticator.token_count.hits == 1


async def test_a_worker_that_knows_no_keys_yet_lets_sessions_in(world: Browsers) -> None:
    """The provider may be away: it was asked when the session began."""
    credential = await world.sign_in()
    fresh = Browsers()
    fresh.provider.down = True
    assert (await fresh.who(credential)).subject == ERIN
    assert fresh.provider.asked <= 1


async def test_a_key_that_the_provider_withdrew_ends_its_sessions(world: Browsers) -> None:
    """Within the time in which it ends tokens."""
    credential = await world.sign_in()
    world.provider.published = public_keys(SigningKey(number=1, key_id="new"))
    assert (await world.who(credential)).subject == ERIN
    world.clock.passed_s += RENEW_S
    await world.who(credential)
    await world.background.done()
    assert await world.refusal(credential) == "signature"


async def test_the_users_file_changes_roles_and_closes(world: Browsers) -> None:
    """With the next request, for a session that was seen before and one that was not."""
    seen, unseen = await world.sign_in(), await world.sign_in(jti="another")
    await world.who(seen)
    listed = unlisted(ERIN)
    world.accounts.put(replace(listed, roles=frozenset({"admin"}), roles_of_claims=False))
    for one in (seen, unseen):
        assert (await world.who(one)).roles == {"admin"}
    world.accounts.put(replace(listed, disabled=True))
    for one in (seen, unseen):
        assert await world.refusal(one) == "user_disabled"
    with pytest.raises(Unauthenticated):
        await world.sign_in(jti="a-third")


async def test_a_session_that_made_room_in_the_cache_is_still_good() -> None:
    """What runs with it is checked by what was retained."""
    world = Browsers(max_tokens=1)
    credential = await world.sign_in()
    await world.who(credential)
    retained = world.authenticator.retain(credential)
    await world.who(world.token())
    assert (await world.authenticator.again(retained, deadline(), within_s=1))[1].subject == ERIN
    assert world.authenticator.retain(credential).kind == "session"


async def test_logging_out_ends_session_and_id_token(world: Browsers) -> None:
    """The token may be known elsewhere: it is accepted as a bearer where its audience is ours."""
    credential = await world.sign_in(jti="the-one")
    token = world.token(aud=[AUDIENCE, "kb-console"], jti="the-one")
    other = await world.sign_in(jti="another")
    await world.who(token)
    await world.logout.log_out(credential, deadline(), all_tokens=False)
    assert await world.refusal(credential) == "token_revoked"
    assert await world.refusal(token) == "token_revoked"
    await world.who(other)


async def test_another_reading_of_claims_ends_what_runs(world: Browsers) -> None:
    """The roles in it are those of the old one."""
    credential = await world.sign_in()
    await world.who(credential)
    retained = world.authenticator.retain(credential)
    assert world.authenticator.is_unchanged(retained)
    world.method.use_rules(replace(rules(), audience="another"))
    assert not world.authenticator.is_unchanged(retained)
    with pytest.raises(Unauthenticated):
        await world.authenticator.again(retained, deadline(), within_s=1)


async def test_a_secret_that_is_retired_ends_what_it_sealed(world: Browsers) -> None:
    """What runs with it, too, and no session of the secret that took its place."""
    old = await world.sign_in()
    await world.who(old)
    retained = world.authenticator.retain(old)
    world.seals.use([OTHER, SECRET], ())
    new = await world.sign_in(jti="another")
    await world.who(new)
    kept = world.authenticator.retain(new)
    assert world.authenticator.is_unchanged(retained)
    world.seals.use([OTHER], ())
    assert not world.authenticator.is_unchanged(retained)
    with pytest.raises(Unauthenticated):
        await world.authenticator.again(retained, deadline(), within_s=1)
    assert await world.refusal(old) == "session"
    assert world.authenticator.is_unchanged(kept)
    assert (await world.who(new)).subject == ERIN


async def test_a_shorter_lifetime_holds_for_sessions_of_before(world: Browsers) -> None:
    """As it does for tokens: for as long a logout is remembered."""
    credential = await world.sign_in()
    await world.who(credential)
    world.method.use_rules(replace(rules(), lifetime_s=600))
    assert (await world.who(credential)).expires_at == NOW + 600
    world.clock.passed_s += 600
    assert await world.refusal(credential) == "expired"


async def test_keys_go_by_a_sign_in_with_a_browser_too(world: Browsers) -> None:
    """It is a sign-in like any other."""
    await world.sign_in()
    await world.background.done()
    seen = await world.people.get(ERIN, deadline())
    assert seen is not None
    assert seen.roles == {"editor", "reader"}
