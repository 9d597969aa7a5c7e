"""What is left of settings that cannot be meant, for who must look at a machine all the same."""

from __future__ import annotations

import re

from runtime.reader import PREFIX
from runtime.settings import Settings, SettingsError


def salvaged() -> tuple[Settings, tuple[str, ...]]:
    """The settings without what cannot be meant, and all that was said of that."""
    try:
        return Settings.from_env(), ()
    except SettingsError as error:
        blamed = {name for problem in error.problems for name in re.findall(PREFIX + "[A-Z_]+", problem)}
        kept = {name: value for name, value in error.environ.items() if name not in blamed}
        return Settings.from_env(kept), error.problems
