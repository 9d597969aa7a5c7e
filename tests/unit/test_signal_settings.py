"""Settings of the Signal handler: who may do what, and which projects have names."""

from pathlib import Path

import pytest

from runtime.settings import Settings, SettingsError

HOME = {"HOME": "/home/ada"}
ACI = "11111111-1111-4111-8111-111111111111"
PREFIX = "DURABLE_CLAUDE_SIGNAL_"


def test_people_are_named_by_number_or_aci() -> None:
    """Numbers as people write them, ACIs in any case, each with one role; described by how many they are."""
    given = {"ACCOUNT": "+1 (555) 000/0000", "OWNERS": f"+15550001111, {ACI.upper()}", "WATCHERS": "+15550002222"}
    settings = Settings.from_env(HOME | {PREFIX + name: value for name, value in given.items()})

    assert settings.signal.account == "+15550000000"
    assert settings.signal.people == {"+15550001111": "owner", ACI: "owner", "+15550002222": "watcher"}
    described = settings.signal.describe()
    assert (described[PREFIX + "OWNERS"], described[PREFIX + "WATCHERS"]) == ("(2)", "(1)")
    assert not any("5550001111" in value for value in described.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIGNAL_ACCOUNT", "0555 123"),
        ("SIGNAL_OWNERS", "ada"),
        ("SIGNAL_OWNERS", "+15550001111,1111-2222"),
        ("SIGNAL_NOTE_TO_SELF", "perhaps"),
        ("PROJECTS", "app"),
        ("PROJECTS", "a b=/srv"),
        ("PROJECTS", "app=srv"),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, value: str) -> None:
    """A sentence names the setting."""
    with pytest.raises(SettingsError, match=name):
        Settings.from_env(HOME | {"DURABLE_CLAUDE_" + name: value})


def test_nobody_has_two_roles() -> None:
    """Which of them counts would be anybody's guess; the sentence shows no whole number."""
    with pytest.raises(SettingsError, match="already") as refused:
        Settings.from_env(HOME | {PREFIX + "OWNERS": "+15550001111", PREFIX + "WATCHERS": "+15550001111"})

    assert "0001111" not in str(refused.value)


def test_projects_have_names_and_places() -> None:
    """A tilde is the home directory."""
    settings = Settings.from_env(HOME | {"DURABLE_CLAUDE_PROJECTS": "shop=~/shop, site=/srv/site"})

    assert settings.signal.projects == {"shop": Path("/home/ada/shop"), "site": Path("/srv/site")}
