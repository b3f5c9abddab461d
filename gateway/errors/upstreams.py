"""501 to 504: what the gateway itself asks gives no answer, a wrong one, or cannot do it."""

from __future__ import annotations

from gateway.errors.base import GatewayError


class CoreLacks(GatewayError):
    """The core behind this gateway does not have what is asked of it; another one may."""

    status = 501
    code = "NOT_IMPLEMENTED"
    default_message = "The core of this knowledge base cannot do that."


class CoreUnavailable(GatewayError):
    """The core could not be reached, or it refused or reset the connection before it answered."""

    status = 502
    code = "CORE_UNAVAILABLE"
    default_message = "The knowledge base core cannot be reached."


class CoreProtocolError(GatewayError):
    """The core's answer does not follow the contract."""

    status = 502
    code = "CORE_PROTOCOL_ERROR"
    default_message = "The knowledge base core gave an answer that makes no sense."


class CoreTimeout(GatewayError):
    status = 504
    code = "CORE_TIMEOUT"
    default_message = "The knowledge base core took too long to answer."


class TemporalUnavailable(GatewayError):
    status = 503
    code = "TEMPORAL_UNAVAILABLE"
    default_message = "The workflow service cannot be reached."
    default_retry_after_s = 2


class TemporalTimeout(GatewayError):
    status = 504
    code = "TEMPORAL_TIMEOUT"
    default_message = "The workflow service took too long to answer."


class StorageUnavailable(GatewayError):
    status = 503
    code = "STORAGE_UNAVAILABLE"
    default_message = "The object storage cannot be reached."
    default_retry_after_s = 2


class PolicyUnavailable(GatewayError):
    """The policy gave no answer. Without one a request is never allowed."""

    status = 503
    code = "POLICY_UNAVAILABLE"
    default_message = "Whether this is allowed cannot be found out at the moment."
    default_retry_after_s = 2


class PolicyBroken(PolicyUnavailable):
    """The policy was loaded but cannot answer: the gateway is not ready until it is repaired."""


class SharedStateUnavailable(GatewayError):
    """What the workers count together (Redis) gives no answer, and this cannot be done without."""

    status = 503
    code = "SHARED_STATE_UNAVAILABLE"
    default_message = "What all replicas share cannot be reached: try again in a moment."
    default_retry_after_s = 1


class SignInUnavailable(GatewayError):
    """The company's identity provider gives no answer that is needed to say who this is."""

    status = 503
    code = "SIGN_IN_UNAVAILABLE"
    default_message = "The company's sign-in cannot be reached: try again in a moment."
    default_retry_after_s = 5
