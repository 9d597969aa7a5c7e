"""The namespace on a server, created where somebody asks for it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime.temporal import TemporalRefused, connect_once

# How long a server keeps what has ended, in days, unless somebody says otherwise.
RETENTION_DAYS: Final = 30
_ANSWER_TIMEOUT: Final = timedelta(seconds=30)


async def create_namespace(environ: Mapping[str, str], retention_days: int) -> bool:
    """Create the namespace that these settings name; says whether it was not there before."""
    client = await connect_once(environ=environ, is_namespace_there=False)
    kept = Duration(seconds=retention_days * 86400)
    request = RegisterNamespaceRequest(namespace=client.namespace, workflow_execution_retention_period=kept)
    try:
        await client.workflow_service.register_namespace(request, retry=False, timeout=_ANSWER_TIMEOUT)
    except RPCError as error:
        if error.status == RPCStatusCode.ALREADY_EXISTS:
            return False
        raise TemporalRefused(_sentence(error, client)) from error
    return True


def _sentence(error: RPCError, client: Client) -> str:
    return (
        f"Temporal does not create namespace {client.namespace!r} ({error.message}): ask who runs it, "
        "or set TEMPORAL_NAMESPACE to one that is there"
    )
