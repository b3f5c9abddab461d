"""The Ask screen: answers as they come, what they are from, how they end, and what is kept."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Request, expect

from devstack.sample import SAMPLES
from devstack.stack import Stack
from tests.components import running_redis
from tests.system.test_workers import serving

from .asking import LIGHTHOUSE, add, answer, ask, copied, is_complete, overflows, signed_out
from .scripted_model import ScriptedModel
from .tabs import PASSWORD, PHONE, Tab, Tabs
from .test_screens import faults

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("console")]

WHO = "Who built the lighthouse?"
WHEN = "When was the lighthouse lit?"
DOCK = "When does the ship go into dry dock?"
NOTICES = SAMPLES[2]
LIT = "It was lit in 1826 [1]."


def body_of(request: Request) -> dict[str, object]:
    return dict(json.loads(request.post_data or "{}"))


async def test_an_answer_shows_as_it_comes_and_its_citation_opens_the_page(
    tabs: Tabs, model: ScriptedModel
) -> None:
    """Over a slow network the first words are there before the last are made; a number in the
    text opens the passage, with its page, and the file at that page."""
    tab = await tabs()
    page = tab.page
    await add(tab, NOTICES.read_bytes(), NOTICES.name, "application/pdf")
    go_on = asyncio.Event()
    model.says(DOCK, "The **ship** goes ", go_on, "into dry dock ", "in November [1].")
    await tab.open("#/ask")
    slow = await tab.context.new_cdp_session(page)
    await slow.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 400, "downloadThroughput": 6250, "uploadThroughput": 6250},
    )
    turn = await ask(page, DOCK)
    await expect(answer(turn)).to_have_text("The ship goes ")
    await expect(answer(turn).locator("strong")).to_have_text("ship")
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    go_on.set()
    await is_complete(turn)
    await slow.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    )
    await expect(turn).to_contain_text("1,234 tokens read")
    await expect(page.get_by_role("log")).to_contain_text("The answer is complete.")
    await turn.get_by_role("button", name=re.compile("^Source 1: .*page 2")).first.click()
    passage = page.get_by_role("dialog", name=re.compile("Source 1: tidewater-library-notices.pdf"))
    await expect(passage).to_contain_text("Page 2")
    await expect(passage).to_contain_text("dry dock")
    async with tab.context.expect_page() as opened:
        await passage.get_by_role("button", name="Open the file at page 2").click()
    assert (await opened.value).url.endswith("#page=2")
    await page.keyboard.press("Escape")
    await expect(passage).to_be_hidden()


async def test_an_answer_that_is_stopped_ends_at_its_source(tab: Tab, model: ScriptedModel) -> None:
    """Escape closes the connection, by which core and model stop, too; what was told stays."""
    await add(tab, LIGHTHOUSE, "skellig.txt")
    script = model.says(WHO, "The sisters ", asyncio.Event())
    await tab.open("#/ask")
    turn = await ask(tab.page, WHO)
    await expect(answer(turn)).to_have_text("The sisters ")
    await tab.page.keyboard.press("Escape")
    await expect(turn.get_by_text("Stopped", exact=True)).to_be_visible()
    await expect(answer(turn)).to_have_text("The sisters ")
    async with asyncio.timeout(30):
        await script.left.wait()
    model.says(WHO, "The sisters Byrne [1].")
    await turn.get_by_role("button", name="Ask again").click()
    await is_complete(tab.page.get_by_role("article").last)
    await expect(tab.page.get_by_role("article")).to_have_count(2)


async def test_an_answer_whose_core_dies_is_marked_incomplete(
    tab: Tab, model: ScriptedModel, stack: Stack
) -> None:
    """What was told stays, with the request id to copy; it can be asked again."""
    await add(tab, LIGHTHOUSE, "skellig.txt")
    model.says(WHO, "The sisters ", asyncio.Event())
    await tab.open("#/ask")
    turn = await ask(tab.page, WHO)
    await expect(answer(turn)).to_have_text("The sisters ")
    await stack.stop("core")
    try:
        await expect(turn.get_by_text("Incomplete", exact=True)).to_be_visible()
    finally:
        await stack.start("core")
    await expect(answer(turn)).to_have_text("The sisters ")
    await expect(turn).to_contain_text("CORE_TRUNCATED")
    await tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    request_id = await copied(turn.get_by_role("button", name="Copy request id"))
    assert request_id
    await expect(turn).to_contain_text(request_id)
    model.says(WHO, "The sisters Byrne [1].")
    await turn.get_by_role("button", name="Ask again").click()
    await is_complete(tab.page.get_by_role("article").last)


async def test_conversations_stay_in_the_tab_until_signing_out(
    tab: Tab, model: ScriptedModel
) -> None:
    """Loading the page anew keeps them, a follow-up belongs to them, signing out forgets them."""
    page = tab.page
    await add(tab, LIGHTHOUSE, "skellig.txt")
    model.says(WHO, "The sisters Byrne [1].")
    model.says(WHEN, LIT)
    sent: list[dict[str, object]] = []
    page.on("request", lambda one: one.url.endswith("/query") and sent.append(body_of(one)))
    await tab.open("#/ask")
    await is_complete(await ask(page, WHO))
    await page.reload()
    await expect(page.get_by_role("article")).to_contain_text("The sisters Byrne")
    await is_complete(await ask(page, WHEN))
    await expect(page.get_by_role("article")).to_have_count(2)
    assert sent[0]["conversation_id"] == sent[1]["conversation_id"]
    await page.get_by_role("link", name="New conversation").click()
    await expect(page.get_by_role("article")).to_have_count(0)
    history = page.get_by_role("complementary", name="Conversations")
    await history.get_by_role("link", name=WHO).click()
    await expect(page.get_by_role("article")).to_have_count(2)
    # What is still coming is kept as a part over a reload, and not behind the sign-out.
    script = model.says(WHO, "The sisters ", asyncio.Event())
    await expect(answer(await ask(page, WHO))).to_have_text("The sisters ")
    await page.reload()
    cut = page.get_by_role("article").last
    await expect(answer(cut)).to_have_text("The sisters ")
    await expect(cut.get_by_text("Incomplete", exact=True)).to_be_visible()
    await expect(answer(await ask(page, WHO))).to_have_text("The sisters ")
    await signed_out(page)
    async with asyncio.timeout(30):
        await script.left.wait()
    assert await page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})") == "{}"
    await page.get_by_label("Name").fill(tab.name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Ask your documents something.")).to_be_visible()
    await expect(page.get_by_role("article")).to_have_count(0)


async def test_two_users_at_once_read_their_own_answers(tabs: Tabs, model: ScriptedModel) -> None:
    """Two answers come at the same time, each where it was asked for and from its own documents."""
    ada, ben = await tabs(), await tabs()
    both = asyncio.Event()
    for who, name in ((ada, "Byrne"), (ben, "O'Shea")):
        text = f"The lighthouse was built by the sisters {name}.\n"
        await add(who, text.encode(), f"{name.lower()}.txt")
        question = f"Who built the lighthouse, says {who.name}?"
        model.says(question, "The sisters ", both, f"{name} [1].")
        await who.open("#/ask")
        await expect(answer(await ask(who.page, question))).to_have_text("The sisters ")
    both.set()
    for who, own, other in ((ada, "Byrne", "O'Shea"), (ben, "O'Shea", "Byrne")):
        turn = who.page.get_by_role("article")
        await is_complete(turn)
        await expect(turn).to_contain_text(f"The sisters {own}")
        await expect(who.page.locator("main")).not_to_contain_text(other)


LIMITS = "query:run 1/m burst 1 per subject, 1000 tokens/day per subject"


async def test_a_limit_is_said_in_words_with_the_time_it_goes_on(
    tabs: Tabs, stack: Stack, tmp_path: Path
) -> None:
    """A rate that is reached holds the question until it can be asked again, a budget too."""
    async with (
        running_redis(tmp_path) as redis,
        serving(stack, 1, LIMITS=LIMITS, REDIS_URL=f"redis://{redis.launch.address}") as gateway,
    ):
        hasty, thorough = [await tabs(base_url=gateway.base_url) for _ in range(2)]
        await is_held(hasty)
        await has_spent(thorough)


async def is_held(tab: Tab) -> None:
    """Where nothing is found no model is asked, which costs next to nothing."""
    page = tab.page
    await page.clock.install()
    await tab.open("#/ask")
    await is_complete(await ask(page, WHO))
    refused = await ask(page, WHEN)
    await expect(refused).to_contain_text("as often as you may ask for now (once a minute)")
    await expect(refused).to_contain_text(re.compile(r"You can ask again in .+, at \d+:\d+"))
    again = refused.get_by_role("button", name="Ask again")
    await expect(again).to_be_disabled()
    assert await faults(page) == {}
    await page.clock.fast_forward("01:05")
    await expect(refused).to_contain_text("You can ask again now.")
    await expect(again).to_be_enabled()


async def has_spent(tab: Tab) -> None:
    await add(tab, LIGHTHOUSE, "skellig.txt")
    await tab.open("#/ask")
    await is_complete(await ask(tab.page, WHO))
    spent = await ask(tab.page, WHEN)
    await expect(spent).to_contain_text("Your tokens for today are spent.")
    await expect(spent).to_contain_text(re.compile("1,23. of 1,000 are used.*You can ask again in"))


HOSTILE = (
    '<img src=x onerror="window.hacked = 1"><script>window.hacked = 2</script>\n\n'
    "[click](javascript:window.hacked=3) ![i](http://127.0.0.1:1/x.png)\n\n"
    "\u0007bell \u202eright to left\u202c " + "W" * 3000 + "\n\n"
    "שלום `</code><b>` עולם [1]\n\n```\n</pre><svg onload=alert(1)>\n```\n"
)


async def test_hostile_answers_and_documents_are_nothing_but_text(
    tabs: Tabs, model: ScriptedModel
) -> None:
    """Markup, addresses that run scripts, control characters and endless words are only shown."""
    tab = await tabs(size=PHONE)
    page = tab.page
    name = "<b onmouseover=alert(1)>שלום " + "x" * 100 + ".txt"
    await add(tab, b"<script>lighthouse</script> " + HOSTILE.encode(), name)
    model.says(WHO, HOSTILE)
    await tab.open("#/ask")
    turn = await ask(page, WHO)
    await is_complete(turn)
    made = "img, script, svg, b, iframe, a[href^='javascript']"
    await expect(answer(turn).locator(made)).to_have_count(0)
    await expect(answer(turn)).to_contain_text("<script>window.hacked = 2</script>")
    await expect(answer(turn)).to_contain_text("[click](javascript:window.hacked=3)")
    await expect(answer(turn).locator("code").first).to_have_text("</code><b>")
    link = answer(turn).get_by_role("link")
    assert "noopener" in (await link.get_attribute("rel") or "")
    await expect(turn).to_contain_text("127.0.0.1:1")
    assert not await overflows(page)
    await turn.locator(".source").first.click()
    passage = page.get_by_role("dialog")
    await expect(passage).to_contain_text("<script>lighthouse</script>")
    await expect(passage.locator(made)).to_have_count(0)
    assert not await overflows(page)
    assert await page.evaluate("window.hacked") is None


async def test_only_the_chosen_documents_are_asked(tab: Tab, model: ScriptedModel) -> None:
    """Who has nothing is led to the documents; who has some chooses among them, by keys alone."""
    page = tab.page
    await tab.open("#/ask")
    await expect(page.get_by_role("link", name="Add documents")).to_have_attribute(
        "href", "#/documents"
    )
    chosen = await add(tab, LIGHTHOUSE, "skellig.txt")
    await add(tab, b"The lighthouse of Hook is older.\n", "hook.txt")
    model.says(WHO, "The sisters Byrne [1].")
    await page.get_by_role("button", name="In: all documents").focus()
    await page.keyboard.press("Enter")
    await page.get_by_label("Find by name").fill("SKELL")
    await expect(page.get_by_role("checkbox")).to_have_count(1)
    await page.get_by_label("skellig.txt").press("Space")
    await page.get_by_role("button", name="Only these").press("Enter")
    await expect(page.get_by_role("button", name="In: skellig.txt")).to_be_visible()
    async with page.expect_request("**/api/v1/query") as sent:
        turn = await ask(page, WHO)
    assert body_of(await sent.value)["document_ids"] == [chosen]
    await is_complete(turn)
    await expect(turn.locator(".source")).to_have_count(1)


async def test_a_question_has_lines_and_an_end(tab: Tab) -> None:
    """Shift+Enter begins a line; what is too long is said before it is sent, in characters."""
    page = tab.page
    await tab.open("#/ask")
    field = page.get_by_label("Question")
    await field.fill("First")
    await field.press("Shift+Enter")
    await field.press("a")
    assert await field.input_value() == "First\na"
    await field.fill("🌊" * 8200)
    await expect(page.get_by_role("status").filter(has_text="8 too many")).to_be_visible()
    await field.press("Enter")
    await expect(page.get_by_role("article")).to_have_count(0)


MARKDOWN = """
# Head
a **b *c*** `d**e` x_y_z __init__ \\*f\\*
next 1987. line

- one
  - two

  more
1. first
   2. deep
> said

| k | v |
|---|---|
| 1 | [t](https://a.example/x) |

```py
<b> [1]
```
"""


SHOWN = """async (texts) => {
    const script = document.querySelector("script[type=module]").src;
    const { AnswerView } = await import(new URL("screens/ask/answer_view.js", script));
    const number = (source) => {
        const made = document.createElement("sup");
        made.append(source + 1);
        return made;
    };
    return texts.map(([model, text, citations]) => {
        const place = document.createElement("div");
        new AnswerView(place, number).show({ text, model, citations, sources: [{}, {}] });
        const left = / (dir|class|tabindex|role|aria-label|rel|target)="[^"]*"/g;
        return place.innerHTML.replaceAll(left, "");
    });
}"""


async def test_markdown_of_answers_becomes_elements_with_their_citations(tab: Tab) -> None:
    """Blocks and emphasis are elements; citations stand where they count to, in code points, and
    take the place of the mark that a model wrote. What is quoted of documents stays as it is."""
    await tab.open("#/ask")
    text = "🌊 It is. [1] **Both** were.[2][9]\nend"
    cited = [{"source": 0, "start": 0, "end": 8}, {"source": 1, "start": 13, "end": 27}]
    texts = [["m", text, cited], ["extractive", "*a*  b\n\n- c", []], ["m", MARKDOWN, []]]
    shown = await tab.page.evaluate(SHOWN, texts)
    assert shown[0] == (
        "<p>🌊 It is.<sup>1</sup> <strong>Both</strong> were.<sup>2</sup>[9]\nend</p>"
    )
    assert shown[1] == "<p>*a*  b</p><p>- c</p>"
    for piece in (
        "<h3>Head",
        "a <strong>b <em>c</em></strong> <code>d**e</code> x_y_z <strong>init</strong> *f*\n",
        "\nnext 1987. line</p>",
        "<ul><li><span>one</span><ul><li><span>two</span></li></ul><p>more</p></li></ul>",
        "<blockquote><p>said</p></blockquote>",
        "<th>k</th><th>v</th>",
        '<td><span><a href="https://a.example/x">t</a><span> (a.example)</span></span></td>',
        "<pre><code>&lt;b&gt; [1]</code></pre>",
    ):
        assert piece in shown[2]
