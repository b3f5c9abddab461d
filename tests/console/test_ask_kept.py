"""What the Ask screen keeps, and how it looks in each of its states."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, expect

from devstack.sample import SAMPLES

from .asking import LIGHTHOUSE, add, answer, ask, copied, is_complete
from .scripted_model import BREAKS, ScriptedModel
from .tabs import PASSWORD, Tab, Tabs
from .test_screens import LOOKS, faults, picture

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("console")]

WHO = "Who built the lighthouse?"
BORROW = "How many books may a member borrow, and for how long?"
CARD = "What does a replacement card cost?"
# Written as a model writes, and true of the document.
SAID = """A member may borrow up to **eight books** at a time, and may keep them for two rounds of \
the ship, which is *twenty-eight days*. [1]

- A loan can be renewed **twice** unless somebody else has asked for the book. [1]
- There are no fines. [1]

| What | Counts as |
|---|---|
| Charts, films | books |

```
8 × 28 days = two rounds
```
"""
QUOTED = "A member may borrow up to eight books at a time"


async def is_shown(page: Page) -> None:
    await expect(page.get_by_text("No answer", exact=True)).to_be_visible()


async def test_every_state_of_an_answer_is_for_anybody(tabs: Tabs, model: ScriptedModel) -> None:
    """Answered, stopped, broken off and refused, the passage and the choice of documents: axe
    finds nothing and nothing is wider than the window, in light and dark, wide and narrow."""
    first = await tabs()
    handbook, notices = SAMPLES[0], SAMPLES[2]
    await add(first, handbook.read_bytes(), handbook.name, "text/markdown")
    await add(first, notices.read_bytes(), notices.name, "application/pdf")
    kept = await conversation_of(first, model)
    found = {}
    for look, (size, dark) in LOOKS.items():
        tab = await tabs(beside=first, size=size, dark=dark)
        await tab.page.evaluate("(kept) => Object.assign(sessionStorage, kept)", kept)
        await tab.open("#/ask")
        await is_shown(tab.page)
        name = look.replace(", ", "-")
        found[look, "answers"] = await faults(tab.page)
        await tab.page.evaluate("window.scrollTo(0, 0)")
        await picture(tab, f"console-ask-{name}")
        await tab.page.get_by_role("button", name=re.compile("^Source 1: ")).first.click()
        await expect(tab.page.get_by_role("dialog")).to_be_visible()
        await expect(tab.page.locator("mark").filter(has_text=QUOTED)).to_be_visible()
        found[look, "passage"] = await faults(tab.page)
        await picture(tab, f"console-passage-{name}")
        await tab.page.keyboard.press("Escape")
        await tab.page.get_by_role("button", name="In: all documents").click()
        await expect(tab.page.get_by_role("checkbox")).to_have_count(2)
        found[look, "choice"] = await faults(tab.page)
    assert {state: wrong for state, wrong in found.items() if wrong} == {}


async def conversation_of(tab: Tab, model: ScriptedModel) -> dict[str, str]:
    """A conversation with an answer of each kind, as the tab keeps it."""
    page = tab.page
    await tab.open("#/ask")
    model.says(BORROW, SAID)
    await is_complete(await ask(page, BORROW))
    model.says(CARD, "A replacement card ", asyncio.Event())
    turn = await ask(page, CARD)
    await expect(answer(turn)).to_contain_text("A replacement card")
    await page.keyboard.press("Escape")
    await expect(turn.get_by_text("Stopped", exact=True)).to_be_visible()
    model.says(CARD, "A replacement card costs ", BREAKS)
    turn = await ask(page, CARD)
    await expect(turn.get_by_text("Incomplete", exact=True)).to_be_visible()
    await expect(answer(turn)).to_contain_text("A replacement card costs")
    await tab.context.set_offline(True)
    turn = await ask(page, CARD)
    await is_shown(page)
    await tab.context.set_offline(False)
    kept: dict[str, str] = await page.evaluate("({...sessionStorage})")
    return {name: text for name, text in kept.items() if "conversation" in name}


async def test_a_session_that_ends_in_mid_answer_leads_back_to_it(
    tab: Tab, model: ScriptedModel
) -> None:
    """The sign-in says why; whoever signs in again finds what was told, marked incomplete."""
    page = tab.page
    await add(tab, LIGHTHOUSE, "skellig.txt")
    model.says(WHO, "The sisters ", asyncio.Event())
    await tab.open("#/ask")
    await expect(answer(await ask(page, WHO))).to_have_text("The sisters ")
    await tab.api("POST", "/api/v1/auth/logout")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.get_by_text("Your session has ended.")).to_be_visible()
    await page.get_by_label("Name").fill(tab.name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    turn = page.get_by_role("article")
    await expect(answer(turn)).to_have_text("The sisters ")
    await expect(turn.get_by_text("Incomplete", exact=True)).to_be_visible()
    await expect(turn).to_contain_text("CREDENTIAL_REVOKED")


async def test_a_passage_has_an_address_and_a_document_can_be_asked_alone(
    tab: Tab, model: ScriptedModel
) -> None:
    """The address shows the passage with its document, as long as the tab has the conversation."""
    page = tab.page
    chosen = await add(tab, LIGHTHOUSE, "skellig.txt")
    model.says(WHO, "It was built by the sisters Byrne [1].")
    await tab.open(f"#/ask?document={chosen}")
    await expect(page.get_by_role("button", name="In: skellig.txt")).to_be_visible()
    turn = await ask(page, WHO)
    await is_complete(turn)
    await tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await turn.get_by_role("button", name="Source 1: skellig.txt").first.click()
    address = await copied(page.get_by_role("dialog").get_by_role("button", name="Copy link"))
    await page.goto(address)
    passage = page.get_by_role("dialog", name="Passage: skellig.txt")
    await expect(passage).to_contain_text("built by the sisters Byrne")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("heading", level=1)).to_have_text("skellig.txt")
    await page.evaluate(
        "sessionStorage.removeItem(Object.keys(sessionStorage).find("
        "(name) => name.includes('conversation')))"
    )
    await page.reload()
    await expect(passage).to_contain_text("It is in the file.")
    await tab.api("DELETE", f"/api/v1/documents/{chosen}")
    await passage.get_by_role("button", name="Open the file").click()
    await expect(passage.get_by_role("alert")).to_contain_text("NOT_FOUND")


FULL = """() => {
    for (let size = 2 ** 22; size > 0; size = size >> 1) {
        for (const name of ["a", "b", "c"]) {
            try {
                sessionStorage.setItem(`full-${size}-${name}`, "x".repeat(size));
            } catch {}
        }
    }
}"""
BOUNDED = """async () => {
    const script = document.querySelector("script[type=module]").src;
    const { Conversations } = await import(new URL("screens/ask/conversations.js", script));
    const of = (subject) => new Conversations({ tenant: "t", subject });
    const sources = [{ document_id: "d", filename: "f", chunk_id: "c", text: "x".repeat(9e4) }];
    const turn = { state: "done", question: "q", text: "a", sources, citations: [] };
    const talk = (n, turns) => ({ id: `${n}`, at: `${1000 + n}`, documents: [], turns });
    const ada = of("ada");
    for (let n = 0; n < 25; n++) ada.save(talk(n, [turn]));
    ada.save(talk(24, Array(9).fill(turn)));
    const texts = ada.load("24").turns.map(({ sources }) => sources[0].text.length > 0);
    const kept = ada.list().map(({ id }) => id);
    return { kept, texts, others: of("ben").list().length, left: of("ada").list().length };
}"""


async def test_what_is_kept_is_bounded_and_its_owners(tab: Tab, model: ScriptedModel) -> None:
    """The oldest make room, long ones lose passages first, and another user finds none of them.
    Where the browser has no room at all it is said, and the answer is there all the same."""
    await add(tab, LIGHTHOUSE, "skellig.txt")
    await tab.open("#/ask")
    assert await tab.page.evaluate(BOUNDED) == {
        "kept": [str(n) for n in range(24, 4, -1)],
        "texts": [False] * 5 + [True] * 4,
        "others": 0,
        "left": 0,
    }
    await tab.page.evaluate(FULL)
    turn = await ask(tab.page, WHO)
    # Said when it is asked, for some seconds: the answer may take longer.
    await expect(tab.page.get_by_text("has no room to keep this conversation")).to_be_visible()
    await is_complete(turn)
