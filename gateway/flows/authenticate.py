"""Who is asking? A credential becomes a principal, afresh for every request.

Two steps: ``credentials`` finds the one credential among the raw headers, without I/O, and
``Authenticator`` checks it. What is expensive is cached (a token's verification, a key's look-up);
what may change is not: the user behind the credential is looked up every time, and so is whether
the credential was ended (``known_revocations``).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from gateway.domain.api_keys import (
    PREFIX,
    KeyRecord,
    KeySecret,
    earliest,
    is_over,
)
from gateway.domain.hit_count import HitCount
from gateway.domain.identity import AuthMethod, Principal, User
from gateway.domain.key_checksums import KeyChecksums
from gateway.domain.revocations import token_mark
from gateway.domain.tokens import (
    TOKEN_LIMIT_BYTES,
    Claims,
    TokenSettings,
    is_under,
    stands_for,
    verify,
)
from gateway.errors import AmbiguousCredentials, Named, TokenExpired, Unauthenticated
from gateway.flows.key_lookups import KeyLookups
from gateway.flows.key_matching import KeyMatching, match_of, unknown_key
from gateway.flows.known_revocations import KnownRevocations
from gateway.flows.unknown_keys import UnknownKeys
from gateway.ports import Clock, Deadline, KeyStore, Users

# RFC 6750, section 2.1: SP and HTAB are what may separate scheme and token.
_BLANKS = " \t"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request brought to prove who it is."""

    kind: AuthMethod
    text: str = field(repr=False)


def credentials(authorization: Sequence[str], api_key: Sequence[str]) -> Credential | None:
    """The one credential among the values of ``Authorization`` and ``X-API-Key``; ``None``: none.

    Raises:
        AmbiguousCredentials: a header twice (also joined by a proxy, with a comma), or both.
        Unauthenticated: another scheme than Bearer, or nothing behind the header's name.
    """
    sent = [*authorization, *api_key]
    if not sent:
        return None
    if len(sent) > 1 or "," in sent[0]:
        raise AmbiguousCredentials(reason="ambiguous")
    text = sent[0].strip(_BLANKS)
    if authorization:
        text = _bearer(text)
    if not text:
        raise Unauthenticated(reason="empty")
    is_key = bool(api_key) or text.startswith(PREFIX)
    return Credential("api_key" if is_key else "jwt", text)


def _bearer(text: str) -> str:
    scheme, _, rest = text.replace("\t", " ").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated(reason="scheme")
    return rest.strip(_BLANKS)


class VerifiedToken(NamedTuple):
    """What is kept of a verified token: enough to check it again without its text.

    Attributes:
        user: the account at that time; a ``User`` is never changed in place.
        settings: what the token was verified under.
        ends_at: in Unix seconds.
        mark: what stands for the token's id where ended tokens are listed.
    """

    principal: Principal
    user: User
    claims: Claims
    settings: TokenSettings
    ends_at: float
    mark: str


# What is kept of a credential while its stream runs, to check it again.
RetainedCredential = Credential | VerifiedToken


class Authenticator:
    """Turns a credential into a principal.

    Args:
        tokens: see ``use_tokens`` for changing them later.
        key_ttl_s: how long an API key's look-up is good for, counted from when it was sent.
        max_keys: how many found keys are cached, and how many ids that no key has.
        max_tokens: how many verified tokens are cached; the least recently used one makes room.
        checksums: tell made-up keys; ``use_checksums`` changes them later.
        unknown: limits the look-ups for keys that nobody has seen; without it none is.
    """

    def __init__(
        self,
        users: Users,
        tokens: TokenSettings,
        keys: KeyStore,
        clock: Clock,
        revoked: KnownRevocations,
        *,
        key_ttl_s: float,
        max_keys: int,
        max_tokens: int,
        checksums: KeyChecksums | None = None,
        unknown: UnknownKeys | None = None,
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._clock = clock
        self._revoked = revoked
        self._lookups = KeyLookups(keys, clock, ttl_s=key_ttl_s, max_entries=max_keys)
        revoked.on_key_change(self._lookups.forget)
        self._key_ttl_s = key_ttl_s
        self._keys = KeyMatching(self._lookups, clock, checksums, unknown)
        self._max_tokens = max_tokens
        self._verified: OrderedDict[bytes, VerifiedToken] = OrderedDict()
        self._users_revision = users.revision
        self.token_count = HitCount()

    @property
    def key_count(self) -> HitCount:
        return self._lookups.count

    def use_tokens(self, tokens: TokenSettings) -> None:
        """Verifies with other secrets from now on, and forgets what the old ones verified."""
        self._tokens = tokens
        self._verified.clear()

    def use_checksums(self, checksums: KeyChecksums) -> None:
        self._keys.checksums = checksums

    async def authenticate(
        self, credential: Credential, deadline: Deadline, address: str | None = None
    ) -> Principal:
        """The principal of ``credential`` at this moment; ``address`` is the client's.

        Raises:
            RateLimited: there are too many look-ups for unknown keys.
            Unauthenticated: it is not valid; ``reason`` says why, for the log.
            TokenExpired: it was valid once.
            StorageUnavailable: an API key cannot be looked up now.
        """
        if credential.kind == "jwt":
            return self._by_token(credential.text).principal
        return await self._by_key(credential.text, deadline, address=address)

    def retain(self, credential: Credential) -> RetainedCredential:
        """What to keep of a credential that was accepted just now, to check it again later."""
        return self._by_token(credential.text) if credential.kind == "jwt" else credential

    async def again(
        self, retained: RetainedCredential, deadline: Deadline, *, within_s: float
    ) -> tuple[RetainedCredential, Principal]:
        """``authenticate`` for a retained credential; also returns what to keep from now on.

        Args:
            within_s: seconds until the next check. A cached look-up of a key must be young enough
                that a revocation is noticed within ``key_ttl_s`` all the same.

        Raises:
            As ``authenticate``.
        """
        known = self.known(retained, within_s=within_s)
        if known is not None:
            return known
        assert isinstance(retained, Credential)
        return retained, await self._by_key(retained.text, deadline, self._sent_after(within_s))

    def known(
        self, retained: RetainedCredential, *, within_s: float
    ) -> tuple[RetainedCredential, Principal] | None:
        """What ``again`` would return without waiting; ``None``: the key store has to be asked.

        Always known of a token. Raises as ``authenticate``, but for ``StorageUnavailable``.
        """
        if isinstance(retained, VerifiedToken):
            renewed = self._checked_again(retained)
            return renewed, renewed.principal
        if retained.kind == "jwt":
            verified = self._by_token(retained.text)
            return verified, verified.principal
        presented = self._keys.presented(retained.text)
        self._revoked.catch_up()
        kept = self._lookups.kept(presented.key_id, sent_after=self._sent_after(within_s))
        if kept is None:
            return None
        match = match_of(kept.record, presented)
        if match is not None:
            return retained, self._by_record(*match)
        if kept.record is not None:
            return None  # it may be older than a rotation, as in ``key_matching``
        raise unknown_key(presented)

    def account(self, subject: str, tenant: str, credential_id: str) -> User:
        """The account behind a credential, where nothing else of it can be checked now.

        Raises:
            Unauthenticated: it was removed, disabled or moved to another tenant.
        """
        user = self._enabled_user(subject, credential_id)
        if user.tenant != tenant:
            named = Named(subject, credential_id)
            raise Unauthenticated(reason="key_owner_moved", named=named)
        return user

    def _sent_after(self, within_s: float) -> float:
        """When the look-up of a key must have been sent that is good until the next check."""
        return self._clock.monotonic() - max(self._key_ttl_s - within_s, 0.0)

    def is_unchanged(self, retained: RetainedCredential) -> bool:
        """Whether a check would give the same result: known of tokens, without doing it."""
        return (
            isinstance(retained, VerifiedToken)
            and retained.settings is self._tokens
            and self._users.get(retained.principal.subject) is retained.user
            and self._clock.time() < retained.ends_at
            and not self._revoked.ends_token(retained.mark, retained.claims)
            and self._revoked.outdates(retained.user) is None
        )

    def _by_token(self, text: str) -> VerifiedToken:
        """Verified now or cached; a cached one is checked against time and user again."""
        if len(text) > TOKEN_LIMIT_BYTES:
            raise Unauthenticated(reason="too_long")
        if self._users.revision != self._users_revision:
            self._verified.clear()
            self._users_revision = self._users.revision
        now = self._clock.time()
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        kept = self._verified.get(digest)
        if kept is None:
            self.token_count.misses += 1
            kept = self._verified[digest] = self._accepted(verify(text, now, self._tokens))
            while len(self._verified) > self._max_tokens:
                self._verified.popitem(last=False)
        elif now >= kept.ends_at:
            del self._verified[digest]
            raise TokenExpired(reason="expired", named=_named_by(kept.claims))
        else:
            self.token_count.hits += 1
            self._verified.move_to_end(digest)
            if self._users.get(kept.principal.subject) is not kept.user:
                kept = self._verified[digest] = self._accepted(kept.claims)
        self._refuse_ended(kept)
        return kept

    def _checked_again(self, kept: VerifiedToken) -> VerifiedToken:
        """The token checked again under the present settings."""
        if not is_under(kept.claims, kept.settings, self._tokens):
            raise Unauthenticated(reason="signature")
        ends_at = min(kept.ends_at, kept.claims.issued_at + self._tokens.lifetime_s)
        if self._clock.time() >= ends_at:
            raise TokenExpired(reason="expired")
        renewed = self._accepted(replace(kept.claims, expires_at=int(ends_at)))
        self._refuse_ended(renewed)
        return renewed

    def _refuse_ended(self, kept: VerifiedToken) -> None:
        """Two looks into dictionaries; whoever ended the token, and in which worker."""
        if self._revoked.ends_token(kept.mark, kept.claims):
            raise Unauthenticated(reason="token_revoked", named=_named_by(kept.claims))
        change = self._revoked.outdates(kept.user)
        if change is not None and change.closed:
            raise Unauthenticated(reason="user_disabled", named=_named_by(kept.claims))
        if change is not None:
            raise Unauthenticated(reason="superseded", named=_named_by(kept.claims))

    def _accepted(self, claims: Claims) -> VerifiedToken:
        """The claims of a verified token, checked against the user's present account."""
        user = self._enabled_user(claims.subject, claims.token_id)
        if not stands_for(claims, user, self._tokens):
            raise Unauthenticated(reason="superseded", named=_named_by(claims))
        if claims.roles == user.roles:
            # One set for all of a user's tokens; thousands of them are kept.
            claims = replace(claims, roles=user.roles, tenant=user.tenant, subject=user.subject)
        principal = Principal(
            subject=claims.subject,
            tenant=claims.tenant,
            roles=claims.roles if claims.roles is user.roles else claims.roles & user.roles,
            auth="jwt",
            credential_id=claims.token_id,
            expires_at=claims.expires_at,
        )
        mark = token_mark(claims.token_id)
        return VerifiedToken(principal, user, claims, self._tokens, claims.expires_at, mark)

    async def _by_key(
        self,
        text: str,
        deadline: Deadline,
        sent_after: float = float("-inf"),
        address: str | None = None,
    ) -> Principal:
        presented = self._keys.presented(text)
        self._revoked.catch_up()
        return self._by_record(*await self._keys.find(presented, deadline, sent_after, address))

    def _by_record(self, record: KeyRecord, secret: KeySecret) -> Principal:
        """Whom a key stands for at this moment, by its record and the secret that was presented."""
        ends, named = earliest(record.expires_at, secret.expires_at), _named_by(record)
        if record.revoked_at is not None:
            raise Unauthenticated(reason="key_revoked", named=named)
        if is_over(ends, self._clock.time()):
            raise TokenExpired("The API key has expired.", reason="key_expired", named=named)
        owner = self.account(record.owner, record.tenant, record.key_id)
        return Principal(
            subject=record.owner,
            tenant=record.tenant,
            roles=owner.roles,
            auth="api_key",
            credential_id=record.key_id,
            scopes=record.scopes,
            expires_at=ends,
        )

    def _enabled_user(self, subject: str, credential_id: str) -> User:
        user = self._users.get(subject)
        named = Named(subject, credential_id)
        if user is None:
            raise Unauthenticated(reason="user_removed", named=named)
        if user.disabled or self._is_closed_elsewhere(user):
            raise Unauthenticated(reason="user_disabled", named=named)
        return user

    def _is_closed_elsewhere(self, user: User) -> bool:
        """Whether another replica's users file has the account disabled, moved or removed."""
        change = self._revoked.outdates(user)
        return change is not None and change.closed


def _named_by(proved: Claims | KeyRecord) -> Named:
    """Whom a credential names whose signature or secret was right."""
    if isinstance(proved, Claims):
        return Named(proved.subject, proved.token_id)
    return Named(proved.owner, proved.key_id)
