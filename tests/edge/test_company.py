"""The company's sign-in as clients meet it: who they are, where they are sent, their API keys."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.commands.check import connect
from gateway.domain.company import company_subject
from gateway.settings import Settings

from .company import KEYS, WELL_KNOWN, IssuerServer, issuer_server
from .conftest import ENVIRONMENT, Gateway, running_gateway
from .stub_core import StubCore

CHECKOUT = Path(__file__).parents[2]
METADATA = "/.well-known/oauth-protected-resource"
POINTER = f'resource_metadata="https://kb.example.com{METADATA}'


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerServer]:
    async with issuer_server() as running:
        yield running


@pytest.fixture
async def company(core: StubCore, issuer: IssuerServer) -> AsyncIterator[Gateway]:
    async with running_gateway(core, issuer=issuer) as running:
        yield running


async def test_a_person_is_told_who_he_is_taken_for(company: Gateway) -> None:
    """By the digest, with the name beside it; the core is told the digest alone."""
    issuer = company.issuer
    assert issuer is not None
    me = (await company.client.get("/api/v1/auth/me", headers=await company.bearer())).json()
    assert me == {
        "subject": company_subject(issuer.name, "alice"),
        "tenant": "acme",
        "roles": ["editor"],
        "scopes": None,
        "auth_method": "oidc",
        "expires_at": "2027-01-15T09:00:00Z",
        "name": "alice",
    }


async def test_a_refusal_leads_to_the_provider(company: Gateway, gateway: Gateway) -> None:
    """RFC 9728: the 401 names the document, and that the issuer; agents have their own."""
    issuer = company.issuer
    assert issuer is not None
    for path, document in (("/mcp", f"{METADATA}/mcp"), ("/api/v1/documents", METADATA)):
        method = "POST" if path == "/mcp" else "GET"
        refused = await company.client.request(method, path)
        challenge = refused.headers["WWW-Authenticate"]
        assert (refused.status_code, challenge.startswith("Bearer realm=")) == (401, True)
        assert f'resource_metadata="https://kb.example.com{document}"' in challenge
        found = (await company.client.get(document)).json()
        assert found["authorization_servers"] == [issuer.name]
        assert found["resource"] == "https://kb.example.com" + document.removeprefix(METADATA)
    assert (
        "resource_metadata"
        not in (await gateway.client.get("/api/v1/documents")).headers["WWW-Authenticate"]
    )
    for path in (METADATA, f"{METADATA}/mcp"):
        assert (await gateway.client.get(path)).status_code == 404


async def test_own_tokens_and_logins_go_on_beside_it(company: Gateway) -> None:
    """Nobody who had an account has to change anything."""
    own = await company.client.post(
        "/auth/login", json={"username": "bob", "password": "correct horse battery staple"}
    )
    headers = {"Authorization": f"Bearer {own.json()['access_token']}"}
    me = (await company.client.get("/api/v1/auth/me", headers=headers)).json()
    assert (me["subject"], me["auth_method"], me["name"]) == ("bob", "jwt", None)


async def test_a_person_makes_keys_and_an_admin_revokes_them(company: Gateway) -> None:
    """As with any owner; the key has the owner's roles."""
    alice = await company.bearer()
    body = {"name": "k", "scopes": ["auth:me", "documents:create"]}
    made = (await company.client.post("/api/v1/keys", json=body, headers=alice)).json()
    key = {"X-API-Key": made["secret"]}
    me = (await company.client.get("/api/v1/auth/me", headers=key)).json()
    assert (me["subject"], me["roles"]) == (company.subject("alice"), ["editor"])
    owner = f"/api/v1/keys/{made['key_id']}?owner={company.subject('alice')}"
    admin = await company.client.delete(owner, headers=await company.bearer("root"))
    assert admin.status_code == 204
    assert (await company.client.get("/api/v1/auth/me", headers=key)).status_code == 401


async def test_what_a_person_owns_is_under_the_digest(company: Gateway) -> None:
    """So nobody else's name, of a local account or at another provider, reaches it."""
    body = {"filename": "a.txt", "content_type": "text/plain", "size": 5}
    made = await company.client.post(
        "/api/v1/documents", json=body, headers=await company.bearer("alice")
    )
    assert made.status_code == 201
    owner = f"acme/{company.subject('alice')}/{made.json()['document_id']}"
    assert list(company.workflows.started) == [f"upload/{owner}"]
    assert made.json()["upload"]["fields"]["key"] == f"uploads/{owner}"


async def test_a_provider_that_is_away_is_a_503_and_known_keys_go_on(
    core: StubCore, issuer: IssuerServer
) -> None:
    """What nobody can judge is not the token's fault; readiness is degraded, and says why."""
    issuer.answers = {WELL_KNOWN: b"", KEYS: b""}
    async with running_gateway(core, issuer=issuer) as gateway:
        answer = await gateway.client.get("/api/v1/auth/me", headers=await gateway.bearer())
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "SIGN_IN_UNAVAILABLE"
        assert answer.headers["Retry-After"]
        ready = await gateway.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["dependencies"]["oidc"] == "down"


async def test_check_tells_what_it_knows_of_the_provider(
    core: StubCore, issuer: IssuerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which keys it has, or why there are none."""
    monkeypatch.setattr("gateway.commands.check.PROBE_LIMIT_S", 20.0)
    environ = {f"GATEWAY_{name}": text for name, text in issuer.settings.items()}
    environ |= {**ENVIRONMENT, "GATEWAY_SERVICES_CORE": core.url}
    environ["GATEWAY_S3_ENDPOINT"] = "http://127.0.0.1:1"
    settings = Settings.load(environ)

    async def said() -> str:
        probes = await connect(settings)
        (found,) = (str(probe) for probe in probes if probe.name == "oidc")
        return found

    found = await said()
    assert found.startswith("  oidc       ok, ")
    assert found.endswith(", 1 keys (RS256)")
    issuer.answers = {WELL_KNOWN: issuer.metadata(issuer="https://another.example.com")}
    assert "SIGN_IN_UNAVAILABLE" in (found := await said())
    assert "the metadata names another issuer" in found


SCRIPT = """
import sys
sys.path.append({checkout!r})
from gateway import app
from tests.unit.valid_settings import load
settings = load(**{settings!r})
app.import_for(settings)
app.create_app(settings)
ours = {{"gateway.adapters.oidc_provider", "gateway.flows.company_method"}}
print("cryptography" in sys.modules, sorted(ours & sys.modules.keys()))
"""


@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
def test_nothing_is_loaded_where_it_is_off(on: bool) -> None:
    """Neither the package for public keys, 9 MiB, nor the code that has a use for it."""
    issuer = IssuerServer()
    settings = {f"GATEWAY_{name}": text for name, text in issuer.settings.items()} if on else {}
    script = SCRIPT.format(checkout=str(CHECKOUT), settings=settings)
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    modules = ["gateway.adapters.oidc_provider", "gateway.flows.company_method"]
    assert said.strip() == f"{on} {modules if on else []}"
