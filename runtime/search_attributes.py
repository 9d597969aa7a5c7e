"""Search attributes on a server: by what its lists can be filtered. Registering them again does no harm."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

# A server that is up answers in milliseconds, and one with many parts tells them all before it answers.
_ANSWER_TIMEOUT: Final = timedelta(seconds=30)
_PREFIX: Final = "INDEXED_VALUE_TYPE_"


class AttributesRefused(RuntimeError):
    """The server does not take the search attributes; the text says what a person can do."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What came of it, by name."""

    added: list[str]
    present: list[str]


async def register(client: Client, wanted: Mapping[str, str]) -> Registered:
    """Register what the client's namespace lacks of these, name to type such as Keyword."""
    try:
        known = await _known(client)
        missing = {name: kind for name, kind in wanted.items() if name not in known}
        # The server takes a second type for a known name without a word, and changes nothing.
        if wrong := {name: known[name] for name in wanted if name in known and known[name] != wanted[name]}:
            raise AttributesRefused(_wrong(client, wrong, wanted))
        if missing:
            await _add(client, missing)
    except RPCError as error:
        raise AttributesRefused(_sentence(error, client, wanted)) from error
    return Registered(added=list(missing), present=[name for name in wanted if name in known])


async def _known(client: Client) -> dict[str, str]:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    listed = await client.operator_service.list_search_attributes(request, retry=True, timeout=_ANSWER_TIMEOUT)
    return {name: _type_name(kind) for name, kind in listed.custom_attributes.items()}


async def _add(client: Client, missing: Mapping[str, str]) -> None:
    types = {name: IndexedValueType.Value(_PREFIX + kind.upper()) for name, kind in missing.items()}
    request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=types)
    await client.operator_service.add_search_attributes(request, retry=True, timeout=_ANSWER_TIMEOUT)


def _type_name(kind: "IndexedValueType.ValueType") -> str:
    words = IndexedValueType.Name(kind).removeprefix(_PREFIX).split("_")
    return "".join(word.capitalize() for word in words)


def _wrong(client: Client, wrong: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    found = ", ".join(f"{name} as {kind} (wanted: {wanted[name]})" for name, kind in wrong.items())
    name = next(iter(wrong))
    return (
        f"namespace {client.namespace!r} has {found}: use another namespace, or, if nothing else needs it, "
        f"`temporal operator search-attribute remove --name {name}` and try again"
    )


def _sentence(error: RPCError, client: Client, wanted: Mapping[str, str]) -> str:
    if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.UNIMPLEMENTED):
        names = ", ".join(f"{name} ({kind})" for name, kind in wanted.items())
        return (
            f"Temporal lets nobody register search attributes this way ({error.message}): "
            f"ask who runs it to add these to namespace {client.namespace!r}: {names}"
        )
    if "cannot have more than" in error.message:
        return (
            f"namespace {client.namespace!r} has no room for the search attributes ({error.message}): "
            "remove some that nobody needs, or use a namespace of its own"
        )
    return f"Temporal did not register the search attributes: {error.message}"
