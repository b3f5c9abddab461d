"""The metrics of the company's sign-in; ``catalogue`` takes them up."""

from __future__ import annotations

from gateway.domain.company import OUTCOMES
from gateway.telemetry.metric import Counter, sets_of

SIGN_INS = Counter(
    "gateway_company_sign_ins_total",
    "Tokens of the company's provider that a worker had not seen before, by what became of them.",
    labels=("outcome",),
    series=sets_of(OUTCOMES),
    sparse=True,
)
SIGN_INS_LOST = Counter(
    "gateway_company_sign_ins_lost_total",
    "Sign-ins that could not be remembered, for too many waited to be.",
    sparse=True,
)
KEY_REFRESHES = Counter(
    "gateway_company_key_refreshes_total",
    "Times a worker asked the company's provider for its keys.",
    labels=("result",),
    series=sets_of(("ok", "failed")),
    sparse=True,
)
BROWSER_SIGN_INS = Counter(
    "gateway_browser_sign_ins_total",
    "Browsers that came back from the company's provider, by what became of them.",
    labels=("outcome",),
    series=sets_of(OUTCOMES),
    sparse=True,
)
