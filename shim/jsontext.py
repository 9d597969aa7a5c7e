"""JSON without the json package, whose own imports (re, enum, functools) are a third of a shim's start.

The C functions under that package are not public. They are tried once on a sample; where one is missing, takes other
arguments or does something else, the package is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Loads = Callable[[bytes], Any]
    Dumps = Callable[[Any], bytes]

_WHITESPACE = " \t\n\r"
_SAMPLE = {"a": [1, -2.5, None, True], "b": {"c": 'ü"\n'}}
_SAMPLE_TEXT = b'{"a": [1, -2.5, null, true], "b": {"c": "\\u00fc\\"\\n"}}'


class _Grammar:
    """What the scanner asks the decoder of the package for."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {name: float(name) for name in ("NaN", "Infinity", "-Infinity")}.__getitem__


def _by_functions() -> tuple[Loads, Dumps]:
    from _json import encode_basestring_ascii, make_encoder, make_scanner

    scan: Any = make_scanner(_Grammar)  # type: ignore[arg-type]  # it reads attributes, whoever has them
    encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, True)

    def loads(data: bytes) -> Any:
        text = data.decode().strip(_WHITESPACE)
        try:
            value, end = scan(text, 0)
        except Exception as error:
            # Whatever it is: to make its own error the scanner imports the package, which may be gone by then.
            raise ValueError(f"not JSON: {text[:80]!r}") from error
        if end != len(text):
            raise ValueError(f"more than one JSON document: {text[:80]!r}")
        return value

    return loads, lambda document: "".join(encode(document, 0)).encode()


def _by_package() -> tuple[Loads, Dumps]:
    import json

    return json.loads, lambda document: json.dumps(document).encode()


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _chosen() -> tuple[Loads, Dumps]:
    try:
        loads, dumps = _by_functions()
        if loads(_SAMPLE_TEXT) == _SAMPLE and dumps(_SAMPLE) == _SAMPLE_TEXT:
            return loads, dumps
    except (ImportError, AttributeError, TypeError, ValueError):
        pass
    return _by_package()


loads, dumps = _chosen()
