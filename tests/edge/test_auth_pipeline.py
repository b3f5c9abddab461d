"""Authentication and the policy, on every route and for every role; nothing bypasses them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blueprints.docs import SCRIPT, assets
from gateway.adapters.policy_bundle import policy_files
from gateway.adapters.policy_cache import CachedPolicy
from gateway.domain.actions import ACTIONS
from gateway.domain.identity import User
from gateway.domain.policy import Decision, PolicyQuestion
from gateway.edge.http.endpoint import BY_MESSAGE, CONSOLE_ROUTES, PUBLIC, WELL_KNOWN
from gateway.edge.http.routes import endpoints
from gateway.errors import NotFound, PolicyUnavailable

from .conftest import Gateway, running_gateway
from .fakes import PASSWORD
from .forging import NOW
from .raw import Answer, assert_error_shape, exchange, request
from .stub_core import StubCore

DOCUMENT = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
KEY = "aaaaaaaaaaaaaaaa"
CHAT = "/api/v1/openai/v1/chat/completions"
BODIES: dict[str, Any] = {
    "/api/v1/query": {"query": "hi"},
    "/api/v1/search": {"query": "hi"},
    CHAT: {"model": "knowledge-base", "messages": [{"role": "user", "content": "hi"}]},
    "/api/v1/documents": {"filename": "a.txt", "content_type": "text/plain", "size": 5},
    "/api/v1/documents/<document_id:str>/parts": {"parts": [1]},
    "/api/v1/keys": {"name": "k", "scopes": ["query:run"]},
}
# What each role may do, told here a second time on purpose: the policy's data is what is tested.
EVERYBODYS = {
    *("auth:logout", "auth:me", "probe:run", "query:run", "search:run", "usage:read"),
    *(f"documents:{verb}" for verb in ("list", "read", "content")),
    *(f"keys:{verb}" for verb in ("create", "list", "revoke", "rotate")),
}
EDITORS = EVERYBODYS | {"documents:create", "documents:complete", "documents:delete"}
MAY = {"bob": EVERYBODYS, "alice": EDITORS, "root": set(ACTIONS)}


def not_public(gateway: Gateway) -> Iterator[tuple[str, str, str, bool]]:
    """Every route that is not public: method, template, action, whether it takes ``?owner=``.

    Where the messages name the action, ``test_mcp.py`` asks for each.
    """
    for method, path, endpoint in endpoints(gateway.app):
        if (method, path) not in PUBLIC | CONSOLE_ROUTES | BY_MESSAGE:
            assert endpoint is not None
            assert endpoint.action is not None
            yield method, path, endpoint.action, endpoint.any_owner


async def call(
    gateway: Gateway,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    query: str = "",
) -> Answer:
    """A well-formed request of a route by its template; HEAD is held to be answered as GET is."""
    if method == "HEAD":
        got = await call(gateway, "GET", path, headers, query)
        head = await _send(gateway, "HEAD", path, headers, query)
        assert (head.status, head.body) == (got.status, b""), path
        return got
    return await _send(gateway, method, path, headers, query)


async def _send(
    gateway: Gateway, method: str, path: str, headers: dict[str, str] | None, query: str
) -> Answer:
    target = path.replace("<document_id:str>", DOCUMENT).replace("<key_id:str>", KEY)
    body = BODIES.get(path) if method == "POST" else None
    typed = {"Content-Type": "application/json"} if body is not None else {}
    return await exchange(
        gateway.address,
        request(
            method,
            target + query,
            {**typed, **(headers or {})},
            json.dumps(body).encode() if body is not None else None,
        ),
    )


async def api_key(gateway: Gateway, owner: str, *scopes: str) -> dict[str, str]:
    response = await gateway.client.post(
        "/api/v1/keys",
        json={"name": "test", "scopes": list(scopes)},
        headers=await gateway.bearer(owner),
    )
    assert response.status_code == 201, response.text
    return {"X-API-Key": response.json()["secret"]}


# --- who are you ----------------------------------------------------------------------------------


async def test_no_route_but_the_public_ones_answers_without_a_credential(gateway: Gateway) -> None:
    """401 with a challenge, whatever the body or the id: the caller is identified first."""
    routes = list(not_public(gateway))
    assert len(routes) >= 12
    for method, path, _, _ in routes:
        answer = await call(gateway, method, path)
        assert (answer.status, answer.code) == (401, "UNAUTHENTICATED"), path
        assert (answer.header("www-authenticate") or "").startswith("Bearer")
        assert_error_shape(answer)


async def test_a_bad_body_without_a_credential_is_a_401(gateway: Gateway) -> None:
    """A stranger learns nothing of what a route would take."""
    for body in (b"{", b"", b'{"query": 1}'):
        headers = {"Content-Type": "application/json"}
        answer = await exchange(
            gateway.address, request("POST", "/api/v1/query?x=1", headers, body)
        )
        assert answer.status == 401


async def test_the_public_routes_need_no_credential_and_mind_none(gateway: Gateway) -> None:
    """A wrong credential on a public route changes nothing: it is not looked at."""
    file = f"{assets().digest}/{SCRIPT}"
    for method, route in PUBLIC:
        path = route.replace("<asset:path>", file)
        answer = await call(gateway, method, path, {"Authorization": "Bearer nonsense"})
        # What only upgrades has nothing else to give, and this gateway has no company sign-in.
        usual = 426 if path.endswith("/ws") else 404 if path.startswith(WELL_KNOWN) else 200
        assert answer.status == (415 if method == "POST" else usual)


async def test_me_tells_who_the_gateway_takes_you_for(gateway: Gateway) -> None:
    """For a token the scopes are null: it is not narrowed."""
    answer = await call(gateway, "GET", "/api/v1/auth/me", await gateway.bearer("bob"))
    assert answer.json() == {
        "subject": "bob",
        "tenant": "acme",
        "roles": ["reader"],
        "scopes": None,
        "auth_method": "jwt",
        "expires_at": "2027-01-16T08:00:00Z",
        "name": None,
    }


@pytest.mark.parametrize("place", ["/auth/login", "/api/v1/auth/login"])
async def test_both_logins_give_the_same_token(gateway: Gateway, place: str) -> None:
    """The seed's path and the API's lead to the same login."""
    response = await gateway.client.post(place, json={"username": "bob", "password": PASSWORD})
    told = response.json()
    assert response.status_code == 200
    assert told.keys() == {"access_token", "token_type", "expires_in", "expires_at"}
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 86400)


def removed(gateway: Gateway) -> None:
    del gateway.users.users["alice"]


def disabled(gateway: Gateway) -> None:
    gateway.users.users["alice"] = replace(gateway.users.users["alice"], disabled=True)


def password_changed(gateway: Gateway) -> None:
    gateway.users.users["alice"] = replace(gateway.users.users["alice"], password_hash="another")


def disabled_and_enabled(gateway: Gateway) -> None:
    alice = gateway.users.users["alice"]
    gateway.users.users["alice"] = replace(alice, tokens_valid_after=NOW + 1)


def moved(gateway: Gateway) -> None:
    gateway.users.users["alice"] = replace(gateway.users.users["alice"], tenant="other")


@pytest.mark.parametrize(
    "change", [removed, disabled, disabled_and_enabled, password_changed, moved]
)
async def test_a_token_ends_with_what_it_was_given_for(gateway: Gateway, change: Any) -> None:
    """A user removed, disabled, moved or with another password is refused on the next request."""
    headers = await gateway.bearer()
    assert (await call(gateway, "GET", "/api/v1/auth/me", headers)).status == 200
    change(gateway)
    answer = await call(gateway, "GET", "/api/v1/auth/me", headers)
    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("ahead_s", [1, 600])
@pytest.mark.parametrize("name", ["password_changed_at", "tokens_valid_after"])
async def test_a_login_gives_a_living_token_whatever_clock_wrote_the_users_file(
    gateway: Gateway, name: str, ahead_s: int
) -> None:
    """In the second of the change, or with the time of a machine that is ahead."""
    alice = replace(gateway.users.users["alice"], **{name: NOW + ahead_s})  # type: ignore[arg-type]
    gateway.users.users["alice"] = alice
    headers = await gateway.bearer()
    assert (await call(gateway, "GET", "/api/v1/auth/me", headers)).status == 200


@pytest.mark.parametrize("change", [removed, disabled, moved])
async def test_a_key_ends_with_its_owner(gateway: Gateway, change: Any) -> None:
    """A key has its owner's present rights. A new password is no reason to end it."""
    headers = await api_key(gateway, "alice", "auth:me")
    assert (await call(gateway, "GET", "/api/v1/auth/me", headers)).status == 200
    change(gateway)
    assert (await call(gateway, "GET", "/api/v1/auth/me", headers)).status == 401


async def test_a_token_has_no_role_its_user_lost(gateway: Gateway) -> None:
    """Roles are the claim ∩ the file, on each request."""
    headers = await gateway.bearer("root")
    old = gateway.users.users["root"]
    gateway.users.users["root"] = replace(old, roles=frozenset({"reader", "editor"}))
    answer = await call(gateway, "GET", "/api/v1/auth/me", headers)
    assert answer.json()["roles"] == []
    answer = await call(gateway, "GET", "/api/v1/documents", headers)
    assert (answer.status, answer.code) == (403, "FORBIDDEN")


async def test_a_token_ends_at_exp(gateway: Gateway) -> None:
    """A verification is cached, and not a second longer than the token is valid."""
    headers = await gateway.bearer()
    gateway.clock.now += 86399
    assert (await call(gateway, "GET", "/api/v1/auth/me", headers)).status == 200
    gateway.clock.now += 1
    answer = await call(gateway, "GET", "/api/v1/auth/me", headers)
    assert (answer.status, answer.code) == (401, "TOKEN_EXPIRED")


# --- may you --------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", MAY)
async def test_each_action_is_for_the_roles_that_have_it(gateway: Gateway, who: str) -> None:
    """Every route, as each role: 403 with a decision id exactly where the role has no right."""
    seen: set[str] = set()
    for method, path, action, any_owner in not_public(gateway):
        headers = await gateway.bearer(who)  # one of the routes ends it
        asked = [(action, "")] + ([(f"{action}:any-owner", "?owner=carla")] if any_owner else [])
        for wanted, query in asked:
            answer = await call(gateway, method, path, headers, query)
            seen.add(wanted)
            if wanted in MAY[who]:
                assert answer.status not in (401, 403), (wanted, answer.body)
            else:
                assert (answer.status, answer.code) == (403, "FORBIDDEN"), wanted
                assert answer.json()["error"]["details"]["decision_id"]
    assert seen == ACTIONS


async def test_a_stranger_to_all_roles_may_only_ask_who_he_is_and_leave(gateway: Gateway) -> None:
    """No role, no right: the default is deny."""
    gateway.users.users["eve"] = User("eve", "acme", frozenset(), PASSWORD)
    may = {"auth:me": 200, "auth:logout": 204}
    for method, path, action, _ in not_public(gateway):
        answer = await call(gateway, method, path, await gateway.bearer("eve"))
        assert answer.status == may.get(action, 403), path


async def test_a_key_does_what_its_scopes_name_and_no_more(gateway: Gateway) -> None:
    """Scopes narrow: an admin's key for one action is refused every other."""
    headers = await api_key(gateway, "root", "documents:list")
    for method, path, action, _ in not_public(gateway):
        answer = await call(gateway, method, path, headers)
        if action == "documents:list":
            assert answer.status not in (401, 403)
        else:
            assert (answer.status, answer.code) == (403, "FORBIDDEN"), path
    answer = await call(gateway, "GET", "/api/v1/documents", headers, "?owner=bob")
    assert answer.status == 403


async def test_scopes_give_no_right_the_owner_lacks(gateway: Gateway) -> None:
    """A reader's key with an editor's scope stays a reader's, and follows its owner's roles."""
    headers = await api_key(gateway, "bob", "documents:create", "auth:me")
    assert (await call(gateway, "POST", "/api/v1/documents", headers)).status == 403
    gateway.users.users["bob"] = replace(gateway.users.users["bob"], roles=frozenset({"editor"}))
    assert (await call(gateway, "POST", "/api/v1/documents", headers)).status == 201


async def test_a_key_works_in_either_header(gateway: Gateway) -> None:
    """``X-API-Key``, or as a bearer token."""
    key = (await api_key(gateway, "alice", "auth:me"))["X-API-Key"]
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        answer = await call(gateway, "GET", "/api/v1/auth/me", headers)
        assert answer.status == 200
        assert (answer.json()["auth_method"], answer.json()["scopes"]) == ("api_key", ["auth:me"])


async def test_a_key_never_makes_or_rotates_a_key(gateway: Gateway) -> None:
    """There is no scope for it, and an admin's key is refused as well."""
    for scope in ("keys:create", "keys:rotate"):
        response = await gateway.client.post(
            "/api/v1/keys",
            json={"name": "k", "scopes": [scope]},
            headers=await gateway.bearer("root"),
        )
        assert response.status_code == 400
    headers = await api_key(gateway, "root", "keys:list", "keys:revoke")
    own = next(iter(gateway.keys.records))
    assert (await call(gateway, "POST", "/api/v1/keys", headers)).status == 403
    rotated = await exchange(
        gateway.address, request("POST", f"/api/v1/keys/{own}/rotate", headers, b"")
    )
    assert (rotated.status, len(gateway.keys.records)) == (403, 1)


async def test_a_revoked_key_is_refused_when_its_five_seconds_are_over(gateway: Gateway) -> None:
    """A look-up is cached for that long."""
    headers = await api_key(gateway, "alice", "auth:me")
    assert (await call(gateway, "GET", "/api/v1/auth/me", headers)).status == 200
    key_id = next(iter(gateway.keys.records))
    response = await gateway.client.delete(f"/api/v1/keys/{key_id}", headers=await gateway.bearer())
    assert response.status_code == 204
    gateway.clock.now += 5
    assert (await call(gateway, "GET", "/api/v1/auth/me", headers)).status == 401


# --- which one ------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[PolicyQuestion]:
    """The questions the policy is asked; it is still asked them."""
    questions: list[PolicyQuestion] = []
    decide = CachedPolicy.decide

    async def note(policy: CachedPolicy, question: PolicyQuestion) -> Decision:
        questions.append(question)
        return await decide(policy, question)

    monkeypatch.setattr(CachedPolicy, "decide", note)
    return questions


async def test_the_policy_is_asked_about_the_id_in_the_path(
    gateway: Gateway, asked: list[PolicyQuestion]
) -> None:
    """On every route with an id, under whatever name it stands there; elsewhere about none."""
    for method, path, _, _ in not_public(gateway):
        await call(gateway, method, path, await gateway.bearer("root"))
        named = DOCUMENT if "<document_id:" in path else KEY if "<key_id:" in path else None
        assert asked[-1].resource.id == named, path


@pytest.mark.parametrize("who", MAY)
async def test_a_misspelled_id_is_404_before_the_policy_is_asked(
    gateway: Gateway, asked: list[PolicyQuestion], who: str
) -> None:
    """Whatever the caller may do: no such thing can exist, so there is nothing to decide."""
    headers = await gateway.bearer(who)
    with_id = [(method, path) for method, path, _, _ in not_public(gateway) if "<" in path]
    assert len(with_id) >= 6
    for method, path in with_id:
        for spelled in (DOCUMENT.upper(), KEY.upper(), f"{KEY}%0A", "not-an-id"):
            target = path.replace("<document_id:str>", spelled).replace("<key_id:str>", spelled)
            stranger = await call(gateway, method, target)
            assert (stranger.status, stranger.code) == (401, "UNAUTHENTICATED"), target
            answer = await call(gateway, method, target, headers)
            assert (answer.status, answer.code) == (404, "NOT_FOUND"), target
            assert_error_shape(answer)
    assert asked == []


# --- ?owner= --------------------------------------------------------------------------------------


async def test_owner_is_the_same_403_whatever_is_named(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For all but an admin: no look-up, and the same for oneself, another and an unknown name."""
    lookups: list[str] = []

    def refuse(name: str) -> Any:
        async def looked_up(*_: object, **__: object) -> None:
            lookups.append(name)
            raise NotFound

        return looked_up

    for fake in (gateway.workflows, gateway.store, gateway.keys):
        for name in ("get", "list", "head", "describe", "list_open"):
            if hasattr(fake, name):
                monkeypatch.setattr(fake, name, refuse(name))
    for who in ("alice", "bob", "carol"):
        headers = await gateway.bearer(who)
        for method, path, _, any_owner in not_public(gateway):
            if not any_owner:
                continue
            answers = [
                await call(gateway, method, path, headers, f"?owner={owner}")
                for owner in (who, "root", "carol", "nobody")
            ]
            assert {(answer.status, answer.code) for answer in answers} == {(403, "FORBIDDEN")}
            bodies = [answer.json()["error"] for answer in answers]
            assert len({told["message"] for told in bodies}) == 1
            assert all(told["details"].keys() == {"decision_id", "request_id"} for told in bodies)
    assert lookups == []


async def test_an_admin_looks_after_others_in_his_own_tenant_only(gateway: Gateway) -> None:
    """For another tenant's user he sees what he sees for a name that does not exist."""
    for owner in ("alice", "carol"):
        response = await gateway.client.post(
            "/api/v1/keys",
            json={"name": owner, "scopes": ["auth:me"]},
            headers=await gateway.bearer(owner),
        )
        assert response.status_code == 201
    headers = await gateway.bearer("root")
    listed = {
        owner: (await call(gateway, "GET", "/api/v1/keys", headers, f"?owner={owner}")).json()
        for owner in ("alice", "carol", "nobody")
    }
    assert [key["name"] for key in listed["alice"]["keys"]] == ["alice"]
    assert listed["carol"] == listed["nobody"] == {"keys": []}


@pytest.mark.usefixtures("opa_on_path")
async def test_the_policy_is_asked_about_the_owner_that_is_named(
    core: StubCore, tmp_path: Path
) -> None:
    """A policy that is for one owner's documents alone, in the place of ours.

    Asked about the caller it would open everybody's documents to whoever may name an owner, and
    close them to who may not touch his own.
    """
    folder = Path(shutil.copytree(policy_files(), tmp_path / "policy"))
    rules = folder / "gateway" / "authz.rego"
    rule = 'input.resource.owner == "bob"'
    rules.write_text(rules.read_text().replace("conditions.owner_may", rule))
    async with running_gateway(core, POLICY_DIR=str(folder)) as gateway:
        headers = await gateway.bearer("root")
        for query, status in (("?owner=bob", 200), ("?owner=alice", 403), ("", 403)):
            answer = await call(gateway, "GET", "/api/v1/keys", headers, query)
            assert answer.status == status, query


# --- no way round ---------------------------------------------------------------------------------


async def test_no_method_but_the_declared_one_reaches_a_route(gateway: Gateway) -> None:
    """GET brings HEAD, nothing brings OPTIONS; another's method is 405, one of no route 501."""
    headers = await gateway.bearer("root")
    declared: dict[str, set[str]] = {}
    for method, path, _ in endpoints(gateway.app):
        declared.setdefault(path, set()).add(method)
    for path, methods in declared.items():
        for method in {"GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"} - methods:
            answer = await call(gateway, method, path, headers)
            known = method not in ("PUT", "PATCH")
            assert answer.status == (405 if known else 501), (method, path)
            assert answer.header("allow") == (", ".join(sorted(methods)) if known else None)


async def test_the_public_list_is_exactly_what_the_router_has(gateway: Gateway) -> None:
    """A route without an action is public by being named in one constant, or does not exist."""
    open_routes = {
        (method, path)
        for method, path, endpoint in endpoints(gateway.app)
        if endpoint is None or endpoint.action is None
    }
    assert open_routes == PUBLIC | CONSOLE_ROUTES | BY_MESSAGE


# --- without a policy -----------------------------------------------------------------------------


async def test_no_answer_from_the_policy_is_never_an_allow(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with a time to try again, and not readiness: the policy is down, not broken."""

    async def unavailable(*_: object) -> None:
        raise PolicyUnavailable

    monkeypatch.setattr("gateway.adapters.wasm_policy.WasmPolicy.decide", unavailable)
    answer = await call(gateway, "GET", "/api/v1/auth/me", await gateway.bearer())
    assert (answer.status, answer.code) == (503, "POLICY_UNAVAILABLE")
    assert answer.header("retry-after")
    assert_error_shape(answer)


BROKEN = {
    "does not parse": "package gateway.authz\nallow if {",
    "conflicts": "package gateway.authz\nallow := true if true\nallow := false if true\n",
    "says nothing": "package gateway.elsewhere\nx := 1\n",
}


@pytest.mark.usefixtures("opa_on_path")
@pytest.mark.parametrize("rego", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_policy_denies_and_says_so_in_readiness(
    core: Any, tmp_path: Path, rego: str
) -> None:
    """503 on every route that is not public and in ``/readyz``; the other public ones answer."""
    (tmp_path / "authz.rego").write_text(rego)
    async with running_gateway(core, POLICY_DIR=str(tmp_path)) as gateway:
        headers = await gateway.bearer("root")
        for method, path, _, _ in not_public(gateway):
            answer = await call(gateway, method, path, headers)
            assert (answer.status, answer.code) == (503, "POLICY_UNAVAILABLE"), path
        ready = await call(gateway, "GET", "/readyz")
        assert ready.status == 503
        assert ready.json()["dependencies"]["policy"] == "broken"
        assert (await call(gateway, "GET", "/healthz")).status == 200


async def test_a_route_that_declares_nothing_is_closed_to_everybody(gateway: Gateway) -> None:
    """The start-up check finds such a route; were there one all the same, the policy could not be
    asked about it: a stranger is a stranger there, and nobody is allowed."""
    (found,) = (route for route in gateway.app.router.routes if route.path == "api/v1/auth/me")
    del found.ctx.endpoint
    assert (await call(gateway, "GET", "/api/v1/auth/me")).status == 401
    answer = await call(gateway, "GET", "/api/v1/auth/me", await gateway.bearer("root"))
    assert (answer.status, answer.code) == (403, "FORBIDDEN")
