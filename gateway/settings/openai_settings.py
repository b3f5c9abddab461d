"""The setting of the door for OpenAI's clients."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings import parsers as p
from gateway.settings.answer_settings import AnswerSettings
from gateway.settings.spec import group

_openai = group("OpenAI's clients")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OpenAiSettings(AnswerSettings):
    """Part of ``Settings``: what clients get that do not say what they want."""

    openai_footnotes: bool = _openai(
        p.BOOLEAN,
        "false",
        "Whether citations stand in the text for clients that do not say `footnotes`: chat"
        " interfaces show nothing else of them, and most cannot be told to send a field.",
    )
