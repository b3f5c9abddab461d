"""What is used of Temporal's SDK, imported without grpcio.

The SDK speaks gRPC by itself. Where grpcio is installed, its generated stubs, which nobody calls,
would import it: 9 MB in every worker.
"""

from __future__ import annotations

from gateway.optional_imports import hidden_packages

with hidden_packages("grpc"):
    from temporalio.api.common.v1 import Payload
    from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
    from temporalio.client import (
        Client,
        Interceptor,
        OutboundInterceptor,
        SignalWorkflowInput,
        StartWorkflowInput,
        WorkflowExecution,
        WorkflowExecutionDescription,
        WorkflowExecutionStatus,
        WorkflowHandle,
        WorkflowQueryFailedError,
        WorkflowQueryRejectedError,
    )
    from temporalio.common import WorkflowIDReusePolicy
    from temporalio.converter import PayloadConverter
    from temporalio.exceptions import WorkflowAlreadyStartedError
    from temporalio.service import (
        KeepAliveConfig,
        RetryConfig,
        RPCError,
        RPCStatusCode,
        TLSConfig,
    )

__all__ = [
    "Client",
    "DescribeNamespaceRequest",
    "Interceptor",
    "KeepAliveConfig",
    "NamespaceNotFoundFailure",
    "OutboundInterceptor",
    "Payload",
    "PayloadConverter",
    "RPCError",
    "RPCStatusCode",
    "RetryConfig",
    "SignalWorkflowInput",
    "StartWorkflowInput",
    "TLSConfig",
    "WorkflowAlreadyStartedError",
    "WorkflowExecution",
    "WorkflowExecutionDescription",
    "WorkflowExecutionStatus",
    "WorkflowHandle",
    "WorkflowIDReusePolicy",
    "WorkflowQueryFailedError",
    "WorkflowQueryRejectedError",
]
