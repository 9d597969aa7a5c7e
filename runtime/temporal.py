"""The connection to Temporal, by Temporal's own standard configuration: TEMPORAL_* and the profiles of temporal.toml."""

import asyncio
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, Interceptor
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from runtime.address import is_loopback
from runtime.codec import converter
from runtime.keys import Key

if TYPE_CHECKING:
    # Commands log nothing, and its import costs as much as the rest of ours.
    from structlog.typing import FilteringBoundLogger

DEFAULT_ADDRESS: Final = "localhost:7233"

# A server that is up answers in milliseconds; one behind a slow network in a second or two.
_ANSWER_TIMEOUT = timedelta(seconds=10)

# The first tries come quickly, since the server often starts beside us; later ones burden nobody.
_FIRST_DELAY_SECONDS = 0.2
_LAST_DELAY_SECONDS = 5.0

# What a server means by these does not change by asking again.
_REFUSALS = (
    RPCStatusCode.UNAUTHENTICATED,
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.INVALID_ARGUMENT,
)

# How the same refusals look when they come while the SDK still connects: it passes them on as text only.
_REFUSED_WHILE_CONNECTING = re.compile(
    r'code: (?:Unauthenticated|PermissionDenied|InvalidArgument), message: "([^"]*)"'
)
_TLS_REFUSED = re.compile(r"kind: InvalidData, error: (.*?)\s*\}")


class TemporalAway(ConnectionError):
    """No Temporal answers there (yet): worth another try."""


class TemporalRefused(ConnectionError):
    """Temporal, or its configuration, says no: a person has to change something first."""


async def connect(
    log: "FilteringBoundLogger",
    *,
    environ: Callable[[], Mapping[str, str] | None] = lambda: None,
    keys: Sequence[Key] = (),
    interceptors: Sequence[Interceptor] = (),
) -> Client:
    """Connect, waiting as long as it takes for a server that is not up; raises TemporalRefused where waiting is no use.

    `environ` is asked with each try: a server of this machine may come up at another port than the last one had.
    """
    for delay in _delays():
        try:
            client = await connect_once(environ=environ(), keys=keys, interceptors=interceptors)
        except TemporalAway as away:
            log.warning("waiting for Temporal", reason=str(away), retry_in_seconds=round(delay, 1))
            await asyncio.sleep(delay)
        else:
            log.info(
                "connected to Temporal", address=client.service_client.config.target_host, namespace=client.namespace
            )
            return client
    raise AssertionError("the delays never end")


async def connect_once(
    *,
    environ: Mapping[str, str] | None = None,
    keys: Sequence[Key] = (),
    interceptors: Sequence[Interceptor] = (),
    is_namespace_there: bool = True,
) -> Client:
    """Connect now, or raise TemporalAway or TemporalRefused with a sentence. `environ` stands in for the real one.

    With keys everything that the client sends is encrypted. Whoever is about to create the namespace says so.
    """
    config = _config(environ)
    address, namespace = config["target_host"], config.get("namespace", "default")
    try:
        # The client's own namespace check comes late, from the first poll of a worker: ask right away.
        async with asyncio.timeout(_ANSWER_TIMEOUT.total_seconds()):
            client = await Client.connect(
                **config,
                data_converter=converter(keys),
                interceptors=interceptors,
                grpc_compression=compression(address),
            )
            if is_namespace_there:
                request = DescribeNamespaceRequest(namespace=namespace)
                await client.workflow_service.describe_namespace(request, retry=False)
    except TimeoutError:
        raise TemporalAway(f"{address} does not answer as Temporal does") from None
    except RPCError as error:
        raise _told_apart(error, address, namespace) from error
    except RuntimeError as error:
        raise _told_apart_by_text(str(error), address) from error
    except ValueError as error:
        raise TemporalRefused(f"{address!r} cannot be the address of Temporal: {error}") from error
    return client


def temporal_binary() -> Path | None:
    """Return the `temporal` program: the one beside this interpreter, else one on PATH, else None."""
    beside = Path(sys.executable).with_name("temporal")
    if beside.is_file():
        return beside
    found = shutil.which("temporal")
    return Path(found) if found else None


def compression(address: str) -> GrpcCompression:
    """None within this machine: a start took 4 ms longer with it, and a worker 7 MB more."""
    host = address.rpartition(":")[0].strip("[]")
    return GrpcCompression.NONE if is_loopback(host) else GrpcCompression.GZIP


def _config(environ: Mapping[str, str] | None) -> ClientConnectConfig:
    try:
        config = ClientConfig.load_client_connect_config(override_env_vars=environ)
    except (RuntimeError, ValueError, OSError) as error:
        raise TemporalRefused(f"Temporal's configuration cannot be read: {error}") from error
    config.setdefault("target_host", DEFAULT_ADDRESS)
    return config


def _delays() -> Iterator[float]:
    delay = _FIRST_DELAY_SECONDS
    while True:
        # A little apart, so that the workers of many hosts do not knock at once.
        yield delay * random.uniform(0.8, 1.2)
        delay = min(delay * 2, _LAST_DELAY_SECONDS)


def _told_apart(error: RPCError, address: str, namespace: str) -> ConnectionError:
    if error.status == RPCStatusCode.NOT_FOUND:
        return TemporalRefused(
            f"Temporal at {address} has no namespace {namespace!r}: create it with "
            "`durable-claude setup --create-namespace`, or set TEMPORAL_NAMESPACE to another"
        )
    if error.status in _REFUSALS:
        return _refused(address, error.message)
    return TemporalAway(f"{address} answers, but not for namespace {namespace!r}: {error.message}")


def _told_apart_by_text(text: str, address: str) -> ConnectionError:
    if refusal := _REFUSED_WHILE_CONNECTING.search(text):
        return _refused(address, refusal[1])
    if tls := _TLS_REFUSED.search(text):
        return TemporalRefused(f"{address} and this client cannot agree on TLS: {tls[1]}; check TEMPORAL_TLS_*")
    return TemporalAway(f"no Temporal answers at {address}: {_cause(text)}")


def _refused(address: str, message: str) -> TemporalRefused:
    return TemporalRefused(
        f"Temporal at {address} refuses: {message or 'no reason given'}; check TEMPORAL_API_KEY, TEMPORAL_TLS_* and TEMPORAL_PROFILE"
    )


def _cause(text: str) -> str:
    """Pick the part that a person can use out of the SDK's nested error."""
    inner = re.findall(r'(?:message|error): "([^"]+)"', text)
    return inner[-1] if inner else text.removeprefix("Failed client connect: ")
