"""The cache of answers, where one is wished for; else nothing of it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gateway.adapters.policy_cache import CachedPolicy
from gateway.ports import Clock, Core
from gateway.settings import Settings
from gateway.wiring.dependency import Spawn

if TYPE_CHECKING:
    from gateway.flows.answer_cache import AnswerCache


def import_cache(settings: Settings) -> None:
    """In the process that workers are forked from, so that it is in memory once."""
    if settings.answer_cache_ttl:
        import gateway.domain.kept_answers
        import gateway.flows.answer_cache  # noqa: F401


def answer_cache(
    settings: Settings, core: Core, policy: CachedPolicy, clock: Clock, tasks: Spawn
) -> AnswerCache | None:
    """``None`` unless answers are kept."""
    if not settings.answer_cache_ttl:
        return None
    from gateway.domain.kept_answers import KeptAnswers
    from gateway.flows.answer_cache import AnswerCache
    from gateway.flows.corpus_revisions import CorpusRevisions, RevisedCore

    kept = KeptAnswers(
        limit_bytes=settings.answer_cache_size,
        answer_limit_bytes=settings.answer_cache_answer_limit,
        ttl_s=settings.answer_cache_ttl,
    )
    revisions = CorpusRevisions(cast(RevisedCore, core), clock, kept.superseded)
    return AnswerCache(
        core, kept, revisions, clock, policy_revision=lambda: policy.revision, spawn=tasks.spawn
    )
