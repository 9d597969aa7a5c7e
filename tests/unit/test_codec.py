"""The codec: what goes in comes out, only with the key, and what cannot be read says why."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError

from runtime.codec import KEY_ID, Locked, converter
from runtime.keys import Key

OLD, NEW, OTHER = Key(secret=b"o" * 32), Key(secret=b"n" * 32), Key(secret=b"x" * 32)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    text: str


async def sealed(secrets: DataConverter, text: str = "the prompt") -> list[Payload]:
    return await secrets.encode([Prompt(text=text)])


async def test_nothing_is_in_the_clear_and_all_of_it_comes_back() -> None:
    """Value and type information are encrypted; who has the key reads the same value."""
    secrets = converter([NEW])
    [payload] = await sealed(secrets)

    assert b"prompt" not in payload.SerializeToString()
    assert b"json" not in payload.SerializeToString()
    assert payload.metadata[KEY_ID] == NEW.key_id.encode()
    assert await secrets.decode([payload], [Prompt]) == [Prompt(text="the prompt")]


async def test_the_same_text_never_looks_the_same() -> None:
    """Who sees two payloads does not learn that they are equal."""
    secrets = converter([NEW])

    assert (await sealed(secrets))[0].data != (await sealed(secrets))[0].data


async def test_an_old_key_reads_and_the_newest_writes() -> None:
    """After a rotation both generations can be read; a host that still writes with the old key is understood."""
    before, after = converter([OLD]), converter([NEW, OLD])
    prepared = converter([OLD, NEW])

    assert await after.decode(await sealed(before), [Prompt]) == [Prompt(text="the prompt")]
    assert await prepared.decode(await sealed(after), [Prompt]) == [Prompt(text="the prompt")]


async def test_what_was_never_encrypted_is_read_as_before() -> None:
    """Encryption can be switched on while sessions live."""
    assert await converter([NEW]).decode(await sealed(converter([])), [Prompt]) == [Prompt(text="the prompt")]


@pytest.mark.parametrize("keys", [[], [OTHER]], ids=["no key", "another key"])
async def test_without_the_key_a_sentence_says_which_one_is_missing(keys: list[Key]) -> None:
    """Reading names the key and where to put it."""
    with pytest.raises(Locked, match=rf"encrypted with key '{NEW.key_id}'.*DURABLE_CLAUDE_ENCRYPTION_KEY_FILE"):
        await converter(keys).decode(await sealed(converter([NEW])), [Prompt])


async def test_a_payload_that_was_tampered_with_is_not_believed() -> None:
    """One flipped bit, a cut payload or another key's name: nothing is decrypted."""
    [payload] = await sealed(converter([NEW, OLD]))
    flipped = Payload(metadata=payload.metadata, data=payload.data[:-1] + bytes([payload.data[-1] ^ 1]))
    cut = Payload(metadata=payload.metadata, data=payload.data[:5])
    renamed = Payload(metadata={**payload.metadata, KEY_ID: OLD.key_id.encode()}, data=payload.data)

    for spoiled in (flipped, cut, renamed):
        with pytest.raises(Locked, match="damaged"):
            await converter([NEW, OLD]).decode([spoiled], [Prompt])


async def test_messages_of_failures_are_encrypted() -> None:
    """A failure quotes what it failed on; its message, trace, details and causes are read with the key only."""
    secrets, failure = converter([NEW]), Failure()
    try:
        raise ApplicationError("cannot do: the prompt", "the detail", type="Kind") from ValueError("the cause")
    except ApplicationError as error:
        await secrets.encode_failure(error, failure)
    bare = Failure.FromString(failure.SerializeToString())
    read = await secrets.decode_failure(failure)
    blind = await converter([]).decode_failure(Failure.FromString(strip_details(bare).SerializeToString()))

    assert not [word for word in (b"prompt", b"detail", b"cause") if word in bare.SerializeToString()]
    assert isinstance(read, ApplicationError)
    assert (read.message, read.details, read.type) == ("cannot do: the prompt", ("the detail",), "Kind")
    assert f"key '{NEW.key_id}'" in str(blind)


def strip_details(failure: Failure) -> Failure:
    failure.application_failure_info.ClearField("details")
    return failure


def test_who_has_no_key_loads_no_library() -> None:
    """Commands stay quick for those who encrypt nothing."""
    source = "import sys, runtime.temporal, runtime.settings; sys.exit('cryptography' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
