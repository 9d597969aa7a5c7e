"""What a process is started with when its caller says nothing: the operator's settings."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from claude import command
from claude.identity import conversation_id
from runtime.settings import Settings
from shim.paths import HostDirectory


class Defaults:
    """Reads the settings when the first of them is needed, so that a caller who gives everything needs none."""

    @cached_property
    def settings(self) -> Settings:
        return Settings.from_env()

    @property
    def host(self) -> HostDirectory:
        return HostDirectory(state=self.settings.state_directory, run=self.settings.run_directory)

    @property
    def environment(self) -> Mapping[str, str]:
        return command.environment(self.settings.environ, self.settings.pass_environment)

    @property
    def roots(self) -> tuple[Path, ...]:
        return self.settings.roots

    @property
    def lease_ttl_seconds(self) -> float:
        return self.settings.lease_ttl_seconds

    def command(self, session_id: str, environment: Mapping[str, str]) -> list[str]:
        """A claude for the session's conversation, resumed if it has a transcript by now."""
        conversation = conversation_id(session_id)
        return command.arguments(
            command.find_executable(self.settings.executable, environment.get("PATH", "")),
            conversation_id=conversation,
            resume="resume" if command.has_transcript(environment, conversation) else "new",
            permission_mode=self.settings.permission_mode,
        )
