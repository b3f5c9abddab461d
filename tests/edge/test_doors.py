"""What must be the same at every door: who is let in, what ends an answer, what a client may do.

Each test is asked of each entry of ``doors.DOORS``, on real sockets before a whole gateway. How the
events of an answer are told is in ``test_conformance.py``; faults of processes are in
``test_doors_served.py``, isolation on the real core is in ``tests/system/test_doors.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import gateway as package
from gateway.domain import doors
from gateway.domain.company import unlisted
from gateway.edge.http.routes import endpoints
from tests.company import NOW, SigningKey, hmac_with

from .company import IssuerServer, issuer_server
from .conftest import Gateway, running_gateway
from .doors import DOORS, Credential, Door, Progress, Told, all_open
from .forging import forge
from .grpc_core import speaking_grpc
from .keeping_core import keeping_core, settled
from .raw import TIMEOUT_S, Where, stops
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk, stub_core
from .test_logs import Lines, lines, uncached

__all__ = ["lines", "uncached"]

EDGE = Path(str(package.__file__)).parent / "edge"
# Packages of the edge that are what the doors stand in, and none of them.
NO_DOORS = {"http", "observe", "wire"}

every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())


@pytest.fixture(params=["own tokens", "company tokens", "core over gRPC"])
def world(request: pytest.FixtureRequest) -> str:
    """What makes no difference at any door: each is the only thing that is not as usual."""
    return str(request.param)


@pytest.fixture
async def issuer(world: str) -> AsyncIterator[IssuerServer | None]:
    """Who gives out the tokens that are asked with: the gateway itself, or a company's provider.

    API keys, which some of these tests make, are theirs then, too.
    """
    if world != "company tokens":
        yield None
        return
    async with issuer_server() as running:
        yield running


@pytest.fixture
async def core(world: str) -> AsyncIterator[StubCore]:
    async with stub_core() as running:
        if world != "core over gRPC":
            yield running
            return
        async with speaking_grpc(running):
            yield running


@pytest.fixture
async def gateway(core: StubCore, issuer: IssuerServer | None) -> AsyncIterator[Gateway]:
    async with running_gateway(core, issuer=issuer, **all_open()) as running:
        yield running


async def test_no_door_is_left_out(gateway: Gateway) -> None:
    """A package of the edge, a route where questions come in or a name in the log: each is a door
    of the table, and so asked all that is asked here."""
    packages = {path.parent.name for path in EDGE.glob("*/__init__.py")} - NO_DOORS
    routes = {
        endpoint.door
        for _, _, endpoint in endpoints(gateway.app)
        if endpoint is not None and (endpoint.action == "query:run" or endpoint.door != "http")
    }
    assert packages | routes <= DOORS.keys()
    assert set(doors.DOORS) - {"http"} == DOORS.keys()


class Question:
    """One that is asked, and goes on by itself."""

    def __init__(self, door: Door, where: Where, credential: Credential) -> None:
        self.progress = Progress(blind=door.blind)
        self._asking = asyncio.ensure_future(door.ask(where, credential, self.progress))

    async def told(self) -> Told:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._asking


async def asked(door: Door, where: Where, credential: Credential) -> Told:
    """One question to its end."""
    return await Question(door, where, credential).told()


async def begun(
    door: Door, gateway: Gateway, credential: Credential
) -> tuple[Question, asyncio.Event]:
    """A question whose answer is under way; the event ends it well."""
    event = gateway.core.holds(STREAM_HEAD, chunk(META), then=chunk(DONE) + END)
    question = Question(door, gateway, credential)
    async with asyncio.timeout(TIMEOUT_S):
        await gateway.core.asked.wait()
        await question.progress.until(1)
    return question, event


async def left_by(gateway: Gateway) -> None:
    """Waits until the core was left."""
    async with asyncio.timeout(TIMEOUT_S):
        await gateway.core.closed.wait()


# --- who are you, may you -------------------------------------------------------------------------


async def new_key(gateway: Gateway, *scopes: str) -> tuple[str, Credential]:
    """A key of alice's: its id and its header."""
    body = {"name": "k", "scopes": list(scopes)}
    made = await gateway.client.post("/api/v1/keys", json=body, headers=await gateway.bearer())
    return made.json()["key_id"], {"X-API-Key": made.json()["secret"]}


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def missing(_: Gateway) -> Credential:
    return {}


async def malformed(_: Gateway) -> Credential:
    return bearing("nonsense")


async def wrong_signature(_: Gateway) -> Credential:
    return bearing(forge(secret=b"somebody else's secret of forty bytes.."))


async def expired(gateway: Gateway) -> Credential:
    then = int(gateway.clock.now) - 90_000
    return bearing(forge(exp=then + 3600, iat=then, nbf=then))


async def logged_out(gateway: Gateway) -> Credential:
    headers = await gateway.bearer()
    await gateway.client.post("/api/v1/auth/logout", headers=headers)
    return headers


async def revoked_key(gateway: Gateway) -> Credential:
    key_id, header = await new_key(gateway, "query:run")
    await gateway.client.delete(f"/api/v1/keys/{key_id}", headers=await gateway.bearer())
    return header


async def ambiguous(gateway: Gateway) -> Credential:
    _, header = await new_key(gateway, "query:run")
    return {**header, **await gateway.bearer()}


# What makes it, the error's code, the log's reason.
FAULTS: Mapping[str, tuple[Callable[[Gateway], Awaitable[Credential]], str, str]] = {
    "missing": (missing, "UNAUTHENTICATED", "missing"),
    "malformed": (malformed, "UNAUTHENTICATED", "malformed"),
    "wrong signature": (wrong_signature, "UNAUTHENTICATED", "signature"),
    "expired": (expired, "TOKEN_EXPIRED", "expired"),
    "logged out": (logged_out, "UNAUTHENTICATED", "token_revoked"),
    "revoked key": (revoked_key, "UNAUTHENTICATED", "key_revoked"),
    "ambiguous": (ambiguous, "AMBIGUOUS_CREDENTIALS", "ambiguous"),
}


@every_door
async def test_a_faulty_credential_is_refused(door: Door, gateway: Gateway, lines: Lines) -> None:
    """By the code of its fault, before anybody is asked anything; the log knows the reason."""
    for name, (fault, code, _) in FAULTS.items():
        told = await asked(door, gateway, await fault(gateway))
        assert (told.ends, told.events) == (code, []), name
    assert not gateway.core.asked.is_set()
    reasons = [line["auth_reason"] for line in lines.requests() if "auth_reason" in line]
    assert reasons == [reason for _, _, reason in FAULTS.values()]


@every_door
async def test_what_the_policy_refuses_is_not_asked(
    door: Door, gateway: Gateway, lines: Lines
) -> None:
    """The action is ``query:run``, whatever the protocol calls it."""
    _, header = await new_key(gateway, "auth:me")
    told = await asked(door, gateway, header)
    assert (told.ends, told.events) == ("FORBIDDEN", [])
    assert not gateway.core.asked.is_set()
    (line,) = [line for line in lines.requests() if line.get("action") == "query:run"]
    assert (line["decision"], line["error"]) == ("deny", "FORBIDDEN")


@every_door
async def test_an_answer_is_logged_with_its_door(
    door: Door, gateway: Gateway, lines: Lines
) -> None:
    """One line, with who asked, what was decided and how it ended."""
    told = await asked(door, gateway, await gateway.bearer())
    assert told.ends == "done"
    (line,) = [line for line in lines.requests() if "stream_end" in line]
    assert (line["door"], line["stream_end"], line["status"]) == (door.name, "done", 200)
    alice = gateway.subject("alice")
    assert (line["principal"], line["action"]) == (alice, "query:run")
    assert line["auth"] == ("oidc" if gateway.issuer else "jwt")
    assert gateway.core.headers_of_query()["x-kb-subject"] == alice


# --- limits ---------------------------------------------------------------------------------------


@every_door
async def test_a_limit_holds_over_all_doors(
    door: Door, core: StubCore, issuer: IssuerServer | None
) -> None:
    """What was asked at one counts at the others; who is refused learns when to come back."""
    limits = "query:run 1/h burst 1 per subject"
    async with running_gateway(core, issuer=issuer, **all_open(), LIMITS=limits) as gateway:
        alice, bob = await gateway.bearer(), await gateway.bearer("bob")
        assert (await asked(DOORS["sse"], gateway, alice)).ends == "done"
        told = await asked(door, gateway, alice)
        assert told.ends == "RATE_LIMITED"
        assert told.retry_after_s
        assert (await asked(door, gateway, bob)).ends == "done"


@every_door
async def test_an_open_answer_holds_its_place_until_it_ends(door: Door, core: StubCore) -> None:
    """One more is refused; a client that leaves makes room, and so does an answer's end."""
    async with running_gateway(
        core, **all_open(), LIMITS="query:run 1 open per subject"
    ) as gateway:
        alice = await gateway.bearer()
        question, _ = await begun(door, gateway, alice)
        assert (await asked(door, gateway, alice)).ends == "RATE_LIMITED"
        question.progress.leave()
        await left_by(gateway)
        assert (await question.told()).ends is None
        await settled(lambda: not gateway.state.held)
        question, go_on = await begun(door, gateway, alice)
        go_on.set()
        assert (await question.told()).ends == "done"
        await settled(lambda: not gateway.state.held)


# --- what ends an answer --------------------------------------------------------------------------


@every_door
async def test_a_stop_ends_an_answer_and_lets_none_begin(door: Door, gateway: Gateway) -> None:
    alice = await gateway.bearer()
    question, _ = await begun(door, gateway, alice)
    await gateway.drain()
    assert (await question.told()).ends == "DRAINING"
    assert (await asked(door, gateway, alice)).ends == "DRAINING"
    await left_by(gateway)


@every_door
async def test_a_token_that_expires_ends_its_answer(
    door: Door, core: StubCore, issuer: IssuerServer | None
) -> None:
    """Wherever it is by then: on a busy machine that may be before its first event."""
    async with running_gateway(core, issuer=issuer, **all_open(), JWT_EXPIRATION="1s") as gateway:
        core.holds(STREAM_HEAD, chunk(META))
        told = await asked(door, gateway, await gateway.bearer())
        assert told.ends == "TOKEN_EXPIRED"
        if core.asked.is_set():
            await left_by(gateway)


@every_door
async def test_a_revocation_ends_an_answer_at_once(door: Door, gateway: Gateway) -> None:
    """No clock moves here; another credential of the same user goes on."""
    credential = await gateway.bearer()
    question, _ = await begun(door, gateway, credential)
    ended = await gateway.client.post("/api/v1/auth/logout", headers=credential)
    assert ended.status_code == 204
    assert (await question.told()).ends == "CREDENTIAL_REVOKED"
    await left_by(gateway)
    gateway.core.script = gateway.core.answer_well
    assert (await asked(door, gateway, await gateway.bearer())).ends == "done"


# --- what a client may do -------------------------------------------------------------------------


@every_door
async def test_a_client_that_leaves_stops_the_core(
    door: Door, gateway: Gateway, lines: Lines
) -> None:
    question, _ = await begun(door, gateway, await gateway.bearer())
    question.progress.leave()
    await left_by(gateway)
    assert (await question.told()).ends is None
    await settled(lambda: "stream_end" in lines.text)
    (line,) = [line for line in lines.requests() if "stream_end" in line]
    assert (line["door"], line["stream_end"]) == (door.name, "client_left")


@every_door
async def test_a_slow_client_loses_nothing(door: Door) -> None:
    """While it takes nothing the core is not read, so that its socket fills up and not our memory;
    then all comes, in order. An answer that is told as a whole waits in memory, up to its limit."""
    events = 200 if door.blind else 4000
    async with keeping_core() as core, running_gateway(core, **all_open()) as gateway:
        sent = core.counts(events)
        progress = Progress(blind=door.blind, rests_at=0 if door.blind else 1)
        asking = asyncio.ensure_future(door.ask(gateway, await gateway.bearer(), progress))
        went_out = await stops(sent)
        if not door.blind:
            assert went_out < events
            held = [one.transport.get_write_buffer_size() for one in gateway.server.connections]
            assert max(held) < 512 * 1024
        progress.go_on.set()
        async with asyncio.timeout(TIMEOUT_S):
            told = await asking
    assert told.ends == "done"
    assert told.raw.count(b"x" * 4000) == events
    place = 0
    for number in range(events):
        place = told.raw.index(b"%06dx" % number, place)


# --- the company's people -------------------------------------------------------------------------


@every_door
async def test_a_faulty_token_of_the_company_is_refused(
    door: Door, core: StubCore, lines: Lines
) -> None:
    """By the code of its fault, like any other; what cannot be judged is not the token's fault."""
    async with (
        issuer_server() as issuer,
        running_gateway(core, issuer=issuer, **all_open()) as gateway,
    ):
        away = SigningKey(number=1, key_id="not published")
        no = "UNAUTHENTICATED"
        faults: dict[str, tuple[str, str, str | None]] = {
            "another audience": (
                issuer.token_of("alice", aud="payroll"),
                "UNAUTHENTICATED",
                "audience",
            ),
            "another issuer": (
                issuer.token_of("alice", iss="https://x"),
                "UNAUTHENTICATED",
                "issuer",
            ),
            "another key": (issuer.token(key=SigningKey(number=1)), no, "signature"),
            "an unknown key": (issuer.token(key=away), no, "signing_key"),
            "another algorithm": (issuer.token({"alg": "RS512"}), no, "algorithm"),
            "no algorithm": (issuer.token({"alg": "none"}), no, "signature"),
            "the public key as a secret": (
                issuer.token({"alg": "HS256"}, sign=hmac_with(issuer.keys[0].pem)),
                no,
                "signature",
            ),
            "expired": (issuer.token_of("alice", NOW - 3600), "TOKEN_EXPIRED", "expired"),
            "not yet": (issuer.token_of("alice", NOW + 60), no, "not_yet_valid"),
            "nobody's tenant": (
                issuer.token_of("alice", organization=7),
                "UNAUTHENTICATED",
                "claim_tenant",
            ),
            "no role": (issuer.token_of("alice", groups=["canteen"]), "FORBIDDEN", None),
        }
        for name, (token, code, _) in faults.items():
            told = await asked(door, gateway, bearing(token))
            assert (told.ends, told.events) == (code, []), name
        assert not gateway.core.asked.is_set()
        found = [line.get("auth_reason") for line in lines.requests() if "error" in line]
        assert found == [reason for _, _, reason in faults.values()]


@every_door
async def test_a_person_who_is_disabled_loses_his_answers(door: Door, core: StubCore) -> None:
    """By an entry in the users file, which is all that is there of him."""
    async with (
        issuer_server() as issuer,
        running_gateway(core, issuer=issuer, **all_open()) as gateway,
    ):
        question, _ = await begun(door, gateway, await gateway.bearer())
        alice = gateway.subject("alice")
        gateway.users.users[alice] = replace(unlisted(alice), disabled=True)
        gateway.users.revision += 1
        assert (await question.told()).ends == "CREDENTIAL_REVOKED"
        told = await asked(door, gateway, await gateway.bearer())
        assert told.ends == "UNAUTHENTICATED"
