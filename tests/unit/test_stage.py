"""What the demo's workers get of a person's environment when they are to use the person's login."""

import base64
from pathlib import Path

from demo.stage import Stage, claudes_environment
from runtime.settings import Settings


def test_a_person_s_temporal_is_not_the_demo_s() -> None:
    """Login and path come along; address, keys, builds and door of the person's own workers do not."""
    theirs = {
        "PATH": "/bin",
        "ANTHROPIC_API_KEY": "login",
        "TEMPORAL_ADDRESS": "example.org:7233",
        "DURABLE_CLAUDE_ENCRYPTION_KEYS": base64.b64encode(b"k" * 32).decode(),
        "DURABLE_CLAUDE_DEPLOYMENT_NAME": "claude",
        "DURABLE_CLAUDE_BUILD_ID": "v1",
        "DURABLE_CLAUDE_HEALTH_ADDRESS": "127.0.0.1:8240",
    }

    kept = claudes_environment(Stage(root=Path("/stage")), Settings.from_env(theirs), None)

    assert kept == {"PATH": "/bin", "ANTHROPIC_API_KEY": "login"}
