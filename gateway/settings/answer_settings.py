"""The settings of kept answers: for how long, and how much memory they may take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.settings import parsers as p
from gateway.settings.faults import Fault
from gateway.settings.login_settings import LoginSettings
from gateway.settings.spec import group

_answers = group("Kept answers")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AnswerSettings(LoginSettings):
    """Part of ``Settings``: answers that need not be made twice."""

    answer_cache_ttl: float = _answers(
        p.duration("0s", "7d"),
        "0s",
        "How long a worker keeps an answer, to give it again to the same user for the same question"
        " while his documents are the same: see docs/answer-cache.md. 0: none is kept.",
    )
    answer_cache_size: int = _answers(
        p.size("64KiB", "16GiB"),
        "16MiB",
        "How much memory of each worker kept answers may take, those being copied with them.",
    )
    answer_cache_answer_limit: int = _answers(
        p.size("1KiB", "64MiB"),
        "256KiB",
        "The longest answer that is kept; longer ones pass as if none were.",
    )


def answer_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Of the settings that were read without a fault: those that do not go together."""
    whole, one = values.get("answer_cache_size"), values.get("answer_cache_answer_limit")
    if whole is not None and one is not None and one > whole:
        expected = "no more than GATEWAY_ANSWER_CACHE_SIZE"
        yield Fault("GATEWAY_ANSWER_CACHE_ANSWER_LIMIT", str(one), expected)
