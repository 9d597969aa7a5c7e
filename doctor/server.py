"""Temporal as sessions need it: within reach, with their namespace, with workers, on time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    GetSystemInfoRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

import worker
from doctor.clock import measured
from doctor.finding import Finding, green, red, yellow
from doctor.queues import polled
from runtime.settings import Settings
from runtime.temporal import TemporalAway, TemporalRefused, connect_once
from workflows.attributes import KINDS

# Both together stay below what a check may take.
_CONNECT_SECONDS: Final = 4.0
_ANSWER_SECONDS: Final = 5.0
# Slower than this, every step of every session is felt.
_SLOW_SECONDS: Final = 0.5
# A session that ended can be looked at for so long; below a day, not even on the next morning.
_SHORT_RETENTION: Final = timedelta(days=1)
_OUT_OF_REACH: Final = ("temporal-version", "namespace", "search-attributes", "workers", "live-output", "keys", "clock")
_RPC: Final = timedelta(seconds=3)


async def examine(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Connect as the worker does, then ask everything at once."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            client = await connect_once(environ=environ, keys=settings.encryption_keys)
            began = time.perf_counter()
            described = await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=client.namespace), timeout=_RPC
            )
            reached = _reached(client, time.perf_counter() - began)
    except (TemporalAway, TemporalRefused, RPCError, TimeoutError) as error:
        why = str(error) or f"Temporal does not answer within {_CONNECT_SECONDS:g} s"
        remedy = "start one with `durable-claude up`, or set TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE to one that runs"
        lost = [
            yellow(name, "not checked: Temporal is out of reach", "mend `temporal` first") for name in _OUT_OF_REACH
        ]
        return [red("temporal", why, remedy), *lost]
    others = await asyncio.gather(
        *(
            _answered(name, finding)
            for name, finding in (
                ("temporal-version", _version(client)),
                ("search-attributes", registered(client)),
                ("workers", polled(client, settings)),
                ("keys", _keys(client)),
                ("clock", measured(client)),
            )
        )
    )
    return [reached, _namespace(client, described), _live_output(described), *others]


async def _answered(name: str, finding: Awaitable[Finding]) -> Finding:
    """The finding, or why the server gave no answer to this one question."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await finding
    except RPCError as error:
        return yellow(name, f"not checked: Temporal says {error.message!r}", "ask for the right, or look by hand")
    except TimeoutError:
        return yellow(name, f"not checked: no answer within {_ANSWER_SECONDS:g} s", "try again; the server is slow")


def _reached(client: Client, seconds: float) -> Finding:
    text = f"{client.service_client.config.target_host} answers in {seconds * 1000:.0f} ms"
    if seconds > _SLOW_SECONDS:
        return yellow("temporal", text, "use a server that is nearer, or expect every step to take as long")
    return green("temporal", text)


async def _version(client: Client) -> Finding:
    info = await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=_RPC)
    return green("temporal-version", f"server {info.server_version or 'that tells no version'}")


def _namespace(client: Client, described: DescribeNamespaceResponse) -> Finding:
    retention = described.config.workflow_execution_retention_ttl.ToTimedelta()
    days = retention / timedelta(days=1)
    text = f"{client.namespace!r} keeps what ended for {days:g} day{'' if days == 1 else 's'}"
    if retention < _SHORT_RETENTION:
        remedy = f"`temporal operator namespace update -n {client.namespace} --retention 30d`"
        return yellow("namespace", text, remedy)
    return green("namespace", text)


def _live_output(described: DescribeNamespaceResponse) -> Finding:
    if described.namespace_info.capabilities.standalone_activities:
        return green("live-output", "the server has standalone activities")
    text = "the server has no standalone activities: `logs -f` from other machines and live output are coarse"
    return yellow("live-output", text, "use a server from 1.31 on")


async def registered(client: Client) -> Finding:
    """Whether the namespace knows the search attributes of sessions."""
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        known = (await client.operator_service.list_search_attributes(request, timeout=_RPC)).custom_attributes
    except RPCError as error:
        if error.status not in (RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED):
            raise
        names = ", ".join(name for name in KINDS)
        return yellow("search-attributes", f"cannot be listed here: {error.message}", f"see that it has {names}")
    return judged_attributes({name: IndexedValueType.Name(kind) for name, kind in known.items()})


def judged_attributes(known: Mapping[str, str]) -> Finding:
    """Whether sessions can be found by what they are; types are named as Temporal's API does."""
    wanted = {name: f"INDEXED_VALUE_TYPE_{kind.upper()}" for name, kind in KINDS.items()}
    if other := [name for name in wanted if known.get(name, wanted[name]) != wanted[name]]:
        remedy = "remove them with `temporal operator search-attribute remove`, then `durable-claude setup`"
        return red("search-attributes", f"of another type than ours: {', '.join(other)}", remedy)
    if missing := [name for name in wanted if name not in known]:
        return yellow("search-attributes", f"not registered: {', '.join(missing)}", "`durable-claude setup`")
    return green("search-attributes", f"all {len(wanted)} are registered")


async def _keys(client: Client) -> Finding:
    looked_at, locked = await worker.locked_sessions(client)
    if not looked_at:
        return green("keys", "no session lives that a key would be needed for")
    if not locked:
        return green("keys", f"the newest {looked_at} living sessions can be read")
    name, why = next(iter(locked.items()))
    remedy = "add the key that was used to DURABLE_CLAUDE_ENCRYPTION_KEY_FILE"
    text = f"{len(locked)} of {looked_at} living sessions cannot be read, {name} for one: {why}"
    return red("keys", text, remedy) if looked_at == len(locked) else yellow("keys", text, remedy)
