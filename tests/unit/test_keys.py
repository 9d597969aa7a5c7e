"""Encryption keys: read from a file that is the owner's alone or from the environment, and shown to nobody."""

import base64
from pathlib import Path

import pytest

from runtime.keys import Key, parse_keys, read_keys
from runtime.settings import Settings, SettingsError

OLD, NEW = Key(secret=b"o" * 32), Key(secret=b"n" * 32)


def written(*keys: Key) -> str:
    return "\n".join(base64.b64encode(key.secret).decode() for key in keys)


def key_file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "keys"
    path.write_text(text)
    path.chmod(mode)
    return path


def problem_of(**environ: str) -> str:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({f"DURABLE_CLAUDE_{name}": value for name, value in environ.items()})
    (problem,) = raised.value.problems
    return problem


def test_a_file_holds_several_keys_the_newest_first(tmp_path: Path) -> None:
    """One key a line; comments and empty lines do not count."""
    path = key_file(tmp_path, f"# since May\n{written(NEW)}\n\n{written(OLD)}  # until May\n")

    assert read_keys(path) == (NEW, OLD)
    settings = Settings.from_env({"DURABLE_CLAUDE_ENCRYPTION_KEY_FILE": str(path)})
    assert settings.encryption_keys == (NEW, OLD)


def test_the_environment_may_hold_them_as_well() -> None:
    """With commas or spaces between them, for those who have a place for secrets but no file."""
    settings = Settings.from_env({"DURABLE_CLAUDE_ENCRYPTION_KEYS": f"{written(NEW)}, {written(OLD)}"})

    assert settings.encryption_keys == (NEW, OLD)


def test_a_key_is_called_by_its_fingerprint() -> None:
    """The same key has the same name everywhere, two keys never share one, and the name is not part of the key."""
    assert NEW.key_id != OLD.key_id
    assert Key(secret=NEW.secret).key_id == NEW.key_id
    assert NEW.key_id not in NEW.secret.hex()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that others can read protects nothing: it is not used, and the sentence says what to do."""
    path = key_file(tmp_path, written(NEW), mode)

    assert "may be read by others" in problem_of(ENCRYPTION_KEY_FILE=str(path))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        ("too short", "place 1"),
        (f"{written(NEW)}\n{written(OLD)[:-8]}", "place 2 that is not 32 bytes"),
    ],
    ids=["empty", "comment", "words", "cut"],
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, text: str, sentence: str) -> None:
    """The sentence says which key is wrong and shows nothing of any."""
    problem = problem_of(ENCRYPTION_KEY_FILE=str(key_file(tmp_path, text)))

    assert sentence in problem
    assert "openssl rand -base64 32" in problem
    assert not any(word in problem for word in (written(NEW)[:8], written(OLD)[:8], "too short"))


def test_a_file_that_is_not_there_is_named() -> None:
    """A wrong path is told with the reason."""
    problem = problem_of(ENCRYPTION_KEY_FILE="/nowhere/keys")

    assert problem == "DURABLE_CLAUDE_ENCRYPTION_KEY_FILE='/nowhere/keys' cannot be read: No such file or directory"


def test_a_key_in_the_variable_for_the_file_is_not_shown() -> None:
    """A mix-up of the two variables does not bring the key into a log."""
    assert written(NEW)[:8] not in problem_of(ENCRYPTION_KEY_FILE=written(NEW))


def test_two_places_for_keys_are_refused(tmp_path: Path) -> None:
    """Nobody has to guess which of the two counts."""
    path = key_file(tmp_path, written(NEW))

    assert "both set" in problem_of(ENCRYPTION_KEY_FILE=str(path), ENCRYPTION_KEYS=written(OLD))


def test_keys_are_printed_nowhere() -> None:
    """Neither settings nor a key's own text hold it; only its name does."""
    text = written(NEW)
    settings = Settings.from_env({"DURABLE_CLAUDE_ENCRYPTION_KEYS": text})
    printed = repr(settings) + repr(settings.describe()) + repr(parse_keys(text))

    assert text[:8] not in printed
    assert "nnnn" not in printed
    assert NEW.key_id in settings.describe()["DURABLE_CLAUDE_ENCRYPTION_KEYS"]
