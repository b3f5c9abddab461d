"""For all tests: properties are tried alike on slow machines and fast ones, at any time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Fresh examples are for fuzzing (GATEWAY_FUZZ_MINUTES), where somebody waits for what they find.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")
