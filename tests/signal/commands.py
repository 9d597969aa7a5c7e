"""What signal-cli does when it is asked, with the network and its people behind it."""

import base64
from collections.abc import Callable
from typing import Any

from tests.signal.faults import SUCCESS, Failed, Failure, Violation
from tests.signal.network import Edit, File, GroupOfPeople, Message, Network, Room
from tests.signal.phone import Person
from tests.signal.rules import file_of, listed

# Further edits of a message are ignored by Signal's clients.
EDITS_CAP = 10

Params = dict[str, Any]


def execute(network: Network, method: str, params: Params, failure: Failure | None) -> Any:
    """The result; Failed or Violation otherwise."""
    if failure is not None and not failure.types:
        raise Failed(failure.code, failure.text)
    if method in _MESSAGES:
        return _deliver(network, params, _MESSAGES[method], failure)
    assert failure is None, f"{method} reaches nobody who could fail with {failure}"
    return _ANSWERS[method](network, params)


def _deliver(
    network: Network, params: Params, act: Callable[[Network, Params, Room, int], None], failure: Failure | None
) -> Params:
    """Do it in each chat that is meant, unless nobody there can be reached."""
    results = _results(network, params, failure)
    response: Params = {"timestamp": network.now(), "results": results}
    if results and all(result["type"] != SUCCESS for result in results):
        raise _nobody(results, failure, response)
    for key in _keys(network, params):
        act(network, params, network.room(key), response["timestamp"])
    network.changed()
    return response


def _results(network: Network, params: Params, failure: Failure | None) -> list[Params]:
    group = _group(network, params)
    people = list(group.members) if group else [network.find_person(name) for name in _names(network, params)]
    results = []
    for index, person in enumerate(people):
        kind = failure.type_of(index) if failure else _natural(person)
        extras = failure.extras if failure and kind != SUCCESS else {}
        about = {"groupId": group.group_id} if group else {}
        results.append({"recipientAddress": _address(person), **about, "type": kind, **extras})
    return results


def _natural(person: Person | None) -> str:
    if person is None:
        return "UNREGISTERED_FAILURE"
    return SUCCESS if person.trusted else "IDENTITY_FAILURE"


def _nobody(results: list[Params], failure: Failure | None, response: Params) -> Failed:
    data = {"response": response}
    if failure is not None:
        return Failed(failure.code, failure.text, data)
    code = -4 if any(result["type"] == "IDENTITY_FAILURE" for result in results) else -1
    return Failed(code, "Failed to send message", data)


def _names(network: Network, params: Params) -> list[str]:
    # Oneself is reached by the own devices, which do not show up among the results.
    names = listed(params.get("recipient", [])) + listed(params.get("username", []))
    return [name for name in names if name not in (network.account, network.aci)]


def _keys(network: Network, params: Params) -> list[str]:
    if (group := _group(network, params)) is not None:
        return [f"g:{group.group_id}"]
    people = [person for name in _names(network, params) if (person := network.find_person(name)) is not None]
    return [person.key() for person in people] or [f"d:{network.aci}"]


def _group(network: Network, params: Params) -> GroupOfPeople | None:
    if not params.get("groupId"):
        return None
    (group_id,) = listed(params["groupId"])
    if group_id not in network.groups:
        raise Failed(-1, f"Group not found: {group_id}")
    return network.groups[group_id]


def _address(person: Person | None) -> Params:
    return {"uuid": person.aci if person else None, "number": person.number if person else None, "username": None}


def _send(network: Network, params: Params, room: Room, timestamp: int) -> None:
    version = Edit(timestamp, params.get("message", ""), tuple(listed(params.get("textStyle", []))))
    if "editTimestamp" in params:
        _own(network, room, params["editTimestamp"], EDITS_CAP).versions.append(version)
        return
    if "quoteTimestamp" in params:
        _existing(network, room, params["quoteTimestamp"], params["quoteAuthor"])
    files = [_file(given) for given in listed(params.get("attachments", []))]
    message = Message(network.aci, timestamp, [version], files, params.get("quoteTimestamp"))
    message.silent = params.get("noUrgent", False)
    room.messages.append(message)
    room.typing = False
    network.sent.append((next(key for key, known in network.rooms.items() if known is room), message))


def refuse_empty(method: str, params: Params) -> None:
    """signal-cli's answer to a message that says nothing, before it looks at whom it is for."""
    if method == "send" and not params.get("message") and not params.get("attachments"):
        raise Failed(-1, "Sending empty message is not allowed, either a message, attachment or sticker must be given.")


def _file(given: str) -> File:
    found = file_of(given)
    if found is None:
        raise Violation(f"send: {given[:40]!r} is no data: URI, and the daemon may not see our files")
    kind, name, data = found
    return File(name, kind, data)


def _own(network: Network, room: Room, timestamp: int, edits: int | None = None) -> Message:
    message = _existing(network, room, timestamp, network.aci)
    if edits is not None and message.edits >= edits:
        raise Violation(f"send: {timestamp} was edited {edits} times, Signal's clients take no more")
    return message


def _existing(network: Network, room: Room, timestamp: int, author: str) -> Message:
    message = room.find(timestamp)
    person = network.find_person(author)
    aci = network.aci if author in (network.aci, network.account) else person.aci if person else author
    if message is None or message.author != aci or message.deleted:
        raise Violation(f"there is no message {timestamp} of {author} in this chat")
    return message


def _react(network: Network, params: Params, room: Room, _timestamp: int) -> None:
    message = _existing(network, room, params["targetTimestamp"], params["targetAuthor"])
    message.reactions.pop(network.aci, None)
    if not params.get("remove"):
        message.reactions[network.aci] = params["emoji"]


def _type(_network: Network, params: Params, room: Room, _timestamp: int) -> None:
    room.typing = not params.get("stop", False)
    room.typings += 1


def _receipt(_network: Network, params: Params, room: Room, _timestamp: int) -> None:
    room.receipts.update(listed(params["targetTimestamp"]))


def _delete(network: Network, params: Params, room: Room, _timestamp: int) -> None:
    _own(network, room, params["targetTimestamp"]).deleted = True


def _attachment(network: Network, params: Params) -> Params:
    if params["id"] not in network.files:
        raise Failed(-32603, f"An error occurred reading attachment: {params['id']}")
    return {"data": base64.b64encode(network.files[params["id"]]).decode()}


def _list_groups(network: Network, params: Params) -> list[Params]:
    wanted = listed(params.get("groupId", list(network.groups)))
    return [_described(network, network.groups[group_id]) for group_id in wanted if group_id in network.groups]


def _described(network: Network, group: GroupOfPeople) -> Params:
    own = [{"number": network.account, "uuid": network.aci, "isAdmin": True}] if group.with_bot else []
    members = [{"number": person.number, "uuid": person.aci, "isAdmin": False} for person in group.members]
    about = {"id": group.group_id, "name": group.name, "description": group.description, "isMember": group.with_bot}
    empty: Params = {"pendingMembers": [], "requestingMembers": [], "admins": own, "banned": []}
    rest = {"permissionAddMember": "EVERY_MEMBER", "groupInviteLink": None}
    return {**about, "isBlocked": False, "messageExpirationTime": 0, "members": [*members, *own], **empty, **rest}


def _update_group(network: Network, params: Params) -> Params:
    group = _group(network, params)
    members = [network.find_person(name) for name in listed(params.get("member", []))]
    if None in members:
        raise Failed(-1, "Failed to create group: unregistered user")
    people = [person for person in members if person is not None]
    if group is None:
        group = network.group(params["name"], people, params.get("description", ""))
    else:
        group.name, group.members = params["name"], [*group.members, *people]
    network.changed()
    results = [{"recipientAddress": _address(person), "type": SUCCESS} for person in group.members]
    return {"groupId": group.group_id, "timestamp": network.now(), "results": results}


def _trust(network: Network, params: Params) -> Params:
    person = network.find_person(params["recipient"])
    if person is None or not (params.get("trustAllKnownKeys") or params.get("verifiedSafetyNumber")):
        raise Failed(-1, "Failed to set the trust for this number, make sure the number and the fingerprint are right")
    person.is_trusted()
    return {}


_MESSAGES = {
    "send": _send,
    "sendReaction": _react,
    "sendTyping": _type,
    "sendReceipt": _receipt,
    "remoteDelete": _delete,
}
_ANSWERS: dict[str, Callable[[Network, Params], Any]] = {
    "getAttachment": _attachment,
    "listGroups": _list_groups,
    "updateGroup": _update_group,
    "trust": _trust,
    "version": lambda _network, _params: {"version": "0.14.6"},
    "listAccounts": lambda network, _params: [{"number": network.account}],
}
