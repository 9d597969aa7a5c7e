"""Who sends no traces has no part in them, and who cannot is told once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runtime import tracing
from runtime.settings import Settings
from runtime.tracing import TracingMissing
from workflows.traced import traced

ROOT = Path(__file__).parents[2]
ASKED = Settings.from_env({"HOME": "/home/ada", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})


def test_a_command_without_traces_loads_nothing_for_them() -> None:
    """Neither the library nor our own interceptor is imported, which would take longer than the rest."""
    program = "import sys, handlers.cli, worker; print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'workflows.spans'))])"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert ran.stdout == "[]\n"


def test_a_library_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces are asked for and the extra is not installed: one sentence, and work goes on without."""
    monkeypatch.setattr(tracing, "_providers", [])
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingMissing, match=r"install durable-claude\[tracing\]"):
        tracing.prepare(ASKED)

    assert traced(tracing.tracer()) == []


def test_a_flush_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the library would wait, nobody waits longer than was said."""
    gate = threading.Event()

    class Provider:
        def force_flush(self) -> None:
            gate.wait()

    monkeypatch.setattr(tracing, "_providers", [Provider()])
    since = time.monotonic()
    tracing.flush(0.1)
    took = time.monotonic() - since
    gate.set()

    assert 0.1 <= took < 5
