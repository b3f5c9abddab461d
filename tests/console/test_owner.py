"""An admin looks at another user's things, and comes back; nobody else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.async_api import Locator, expect

from devstack.stack import Stack
from gateway.adapters.users_file import editing
from tests.system.people import until

from .documents_pages import record, row
from .tabs import PASSWORD, Tab, Tabs
from .test_screens import faults, settled

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("console"),
]


def banner(tab: Tab) -> Locator:
    return tab.page.get_by_role("region", name="Another user")


async def look_at(admin: Tab, owner: str) -> None:
    await admin.open("#/account")
    await admin.page.get_by_label("User's name").fill(owner)
    await admin.page.get_by_role("button", name="Look at this user's").click()
    await expect(banner(admin)).to_contain_text(f"You are looking at {owner}'s documents")


async def test_an_admin_sees_and_revokes_anothers_keys_and_comes_back(tabs: Tabs) -> None:
    """He neither makes nor rotates them, and a page that is loaded again says whose they are."""
    alice = await tabs()
    admin = await tabs(role="admin", beside=alice)
    await alice.api("POST", "/api/v1/keys", name="of alice", scopes=["auth:me"])
    await admin.api("POST", "/api/v1/keys", name="of the admin", scopes=["auth:me"])
    await look_at(admin, alice.name)
    page = admin.page

    await admin.open("#/keys")
    await settled(page)
    assert await faults(page) == {}
    row = page.get_by_role("row", name="of alice")
    await expect(row).to_be_visible()
    await expect(page.get_by_text("of the admin")).to_have_count(0)
    for name in ("New key", "Rotate"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    await page.reload()
    await expect(banner(admin)).to_contain_text(alice.name)
    await row.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(row).to_contain_text("Revoked")
    await admin.open("#/usage")
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Usage of {alice.name}")

    await page.get_by_role("button", name="Back to mine").click()
    await expect(banner(admin)).to_have_count(0)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Usage and limits")
    await admin.open("#/keys")
    await expect(page.get_by_role("row", name="of the admin")).to_be_visible()
    assert (await alice.api("GET", "/api/v1/keys"))["keys"][0]["revoked_at"]


async def test_an_admin_sees_and_deletes_anothers_documents(tabs: Tabs, stack: Stack) -> None:
    """He adds none, and his own stay where they are."""
    alice = await tabs()
    admin = await tabs(role="admin", beside=alice)
    page = admin.page
    record(stack, alice, ["of alice.txt"])
    record(stack, admin, ["of the admin.txt"])
    await look_at(admin, alice.name)
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Documents of {alice.name}")
    await expect(page.get_by_role("button", name="Choose files")).to_have_count(0)
    await expect(row(page, "of the admin.txt")).to_have_count(0)
    await row(page, "of alice.txt").get_by_role("link").click()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text(f"{alice.name} has no documents")).to_be_visible()
    assert (await alice.api("GET", "/api/v1/documents"))["documents"] == []
    await page.get_by_role("button", name="Back to mine").click()
    await expect(row(page, "of the admin.txt")).to_be_visible()


async def test_who_is_no_admin_is_not_offered_it(tabs: Tabs) -> None:
    tab = await tabs()
    await tab.open("#/account")
    await expect(tab.page.get_by_text(tab.name).first).to_be_visible()
    await expect(tab.page.get_by_label("User's name")).to_have_count(0)
    # What is left in the tab's storage by hand makes nobody an admin.
    kept = f"{tab.tenant}/{tab.name} somebody"
    await tab.page.evaluate("(kept) => sessionStorage.setItem('console.owner', kept)", kept)
    await tab.page.reload()
    await expect(tab.page.get_by_role("button", name="Sign out everywhere")).to_be_visible()
    assert not await banner(tab).is_visible()


async def test_who_is_an_admin_no_more_is_told_so_in_words(tabs: Tabs, stack: Stack) -> None:
    """The roles are those of now, not those of the sign-in; and the way back is open."""
    admin = await tabs(role="admin")
    await look_at(admin, "somebody")
    await is_no_admin_any_more(admin, stack)
    await admin.open("#/keys")
    refusal = admin.page.get_by_role("alert").filter(has_text="You may not look at somebody's")
    await expect(refusal).to_contain_text("not allowed")
    await admin.page.get_by_role("button", name="Back to mine").click()
    await expect(admin.page.get_by_role("heading", level=1)).to_have_text("API keys")
    assert not await banner(admin).is_visible()


async def is_no_admin_any_more(admin: Tab, stack: Stack) -> None:
    with editing(stack.env_for_gateway(1, 1)["GATEWAY_USERS_FILE"]) as users:
        users[admin.name] = replace(users[admin.name], roles=frozenset({"editor"}))

    async def is_known() -> bool:
        return bool((await admin.api("GET", "/api/v1/auth/me"))["roles"] != ["admin"])

    await until(is_known)


async def test_the_next_who_signs_in_looks_at_his_own(tabs: Tabs) -> None:
    """Another admin in the same tab, too."""
    admin, other = await tabs(role="admin"), await tabs(role="admin")
    page = admin.page
    await look_at(admin, "somebody")
    await page.get_by_role("banner").get_by_role("button", name="Sign out").click()
    await page.get_by_label("Name").fill(other.name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("link", name=other.name)).to_be_visible()
    await expect(banner(admin)).to_have_count(0)
    assert "somebody" not in await page.evaluate("JSON.stringify({...sessionStorage})")


async def test_signing_out_everywhere_ends_the_other_machines_too(tabs: Tabs) -> None:
    tab = await tabs()
    elsewhere = await tabs(beside=tab)
    assert elsewhere.name == tab.name
    await elsewhere.open("#/usage")
    await tab.open("#/account")
    page = tab.page
    await page.get_by_role("button", name="Sign out everywhere").click()
    await page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
    await expect(page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()
    await elsewhere.page.get_by_role("link", name="API keys").click()
    await expect(elsewhere.page.get_by_text("Your session has ended")).to_be_visible()
