"""OpenAI's client before the whole stack: a conversation about a document that was uploaded."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from devstack.stack import Stack

from .conftest import People

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

LAMP = b"The warranty of the Quokka-77 lamp lasts nineteen months. The lamp weighs 812 grams.\n"


async def test_it_is_found_and_its_citation_leads_to_the_file(stack: Stack, people: People) -> None:
    """With an API key; the second question leaves out what it is about."""
    alice = await people("alice")
    document_id = await alice.add(LAMP, "lamp `77`.txt")
    scopes = ["query:run", "documents:content"]
    made = await alice.call("POST", "/api/v1/keys", json={"name": "chat", "scopes": scopes})
    messages: Any = [
        {"role": "user", "content": "How long is the warranty of the Quokka-77 lamp?"},
        {"role": "assistant", "content": "Nineteen months.", "refusal": None},
        {"role": "user", "content": "And what does it weigh?"},
    ]
    async with AsyncOpenAI(
        base_url=f"{stack.base_url}/api/v1/openai/v1", api_key=made.json()["secret"]
    ) as client:
        found = await client.chat.completions.create(
            model="knowledge-base", messages=messages, extra_body={"footnotes": True}
        )
    text, notes = str(found.choices[0].message.content).split("\n\n", 1)
    assert "812 grams" in text
    assert notes == "- [1] `lamp '77'.txt`"
    cited: Any = found.choices[0].message.annotations
    about = cited[0].url_citation
    assert about.title == "lamp `77`.txt"
    assert text[about.start_index : about.end_index] in LAMP.decode()
    assert document_id in about.url
    answer = await alice.http.get(about.url)
    assert answer.status_code == 302
    async with httpx.AsyncClient(timeout=60, trust_env=False) as s3:
        assert (await s3.get(answer.headers["Location"])).content == LAMP
