"""Encryption of all that Temporal keeps: arguments, results, memos, heartbeats, summaries and messages of failures.

Without keys nothing is encrypted. What cannot be decrypted is passed on as it is and fails where its value is needed:
a message under an unknown key is then refused by itself, and the session that got it goes on.
"""

import os
from collections.abc import Sequence
from typing import Any, Final

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    PayloadCodec,
    PayloadConverter,
)
from temporalio.exceptions import TemporalError

from runtime.keys import Key

ENCODING: Final = "binary/encrypted"
KEY_ID: Final = "encryption-key-id"
# What AES-GCM is specified for; random ones are safe for four thousand million payloads under one key.
_NONCE_BYTES: Final = 12


class Locked(TemporalError):
    """What was read is encrypted and cannot be decrypted here; the text says with which key it could."""


class Codec(PayloadCodec):
    """AES-256-GCM. Encrypts with the newest key, decrypts with any."""

    def __init__(self, keys: Sequence[Key]) -> None:
        # Whoever sets no key needs no library for it, and every command would pay for loading it.
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ModuleNotFoundError as error:
            raise Locked("keys are set and nothing can use them: install durable-claude[encryption]") from error

        self._ciphers = {key.key_id: AESGCM(key.secret) for key in reversed(keys)}
        self._newest = keys[0].key_id
        self._invalid = InvalidTag

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each payload whole, its own metadata included."""
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt what can be; what was never encrypted, or is locked, stays as it is."""
        return [self._decrypted(payload) for payload in payloads]

    def _encrypted(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        # The name of the key is vouched for as well: a payload cannot be passed off as another key's.
        sealed = self._ciphers[self._newest].encrypt(nonce, payload.SerializeToString(), self._newest.encode())
        metadata = {"encoding": ENCODING.encode(), KEY_ID: self._newest.encode()}
        return Payload(metadata=metadata, data=nonce + sealed)

    def _decrypted(self, payload: Payload) -> Payload:
        key_id = payload.metadata.get(KEY_ID, b"").decode("ascii", "replace")
        if not is_encrypted(payload) or key_id not in self._ciphers:
            return payload
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(self._ciphers[key_id].decrypt(nonce, sealed, key_id.encode()))
        except (self._invalid, ValueError):
            return payload


class LockedPayloadConverter(EncodingPayloadConverter):
    """Stands for all that is still encrypted when its value is needed."""

    @property
    def encoding(self) -> str:
        """What encrypted payloads say of themselves."""
        return ENCODING

    def to_payload(self, value: Any) -> Payload | None:
        """Encrypt nothing: that is the codec's."""
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Say what is missing."""
        raise Locked(_sentence(payload))


class SessionPayloadConverter(CompositePayloadConverter):
    """JSON as usual, and a sentence for what is locked."""

    def __init__(self) -> None:
        super().__init__(*DefaultPayloadConverter.default_encoding_payload_converters, LockedPayloadConverter())


class SessionFailureConverter(DefaultFailureConverter):
    """Failures as usual; one whose message is locked says so instead of nothing."""

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """Read a failure."""
        if failure.HasField("encoded_attributes") and is_encrypted(failure.encoded_attributes):
            told = Failure()
            told.CopyFrom(failure)
            told.message = f"a failure that cannot be read here: {_sentence(failure.encoded_attributes)}"
            told.ClearField("encoded_attributes")
            failure = told
        return super().from_failure(failure, payload_converter)


class SecretFailureConverter(SessionFailureConverter):
    """Messages and stack traces of failures go where the codec reaches them: they may quote a prompt."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


def converter(keys: Sequence[Key]) -> DataConverter:
    """What every client, worker and replayer of ours uses."""
    return DataConverter(
        payload_converter_class=SessionPayloadConverter,
        payload_codec=Codec(keys) if keys else None,
        failure_converter_class=SecretFailureConverter if keys else SessionFailureConverter,
    )


def is_encrypted(payload: Payload) -> bool:
    """Whether a payload is one of ours."""
    return payload.metadata.get("encoding") == ENCODING.encode()


def _sentence(payload: Payload) -> str:
    key_id = payload.metadata.get(KEY_ID, b"").decode("ascii", "replace")
    return (
        f"this was encrypted with key {key_id!r}, and is damaged or that key is not here: add the key to the file "
        "that DURABLE_CLAUDE_ENCRYPTION_KEY_FILE names"
    )
