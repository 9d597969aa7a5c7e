"""Receives traces by OTLP over HTTP on 127.0.0.1, as strictly as the protocol is written; can also hang."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF = "application/x-protobuf"


class Collector:
    """Keeps every span it was sent, and every reason to refuse one."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.refused: list[str] = []
        self.requests = 0
        self.url = ""
        self.gate = threading.Event()
        """Requests wait for it: while it is not set, the collector hangs."""

    def named(self, name: str) -> list[Span]:
        """The spans of this name, in the order in which they began."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_time_unix_nano)

    def parent(self, span: Span) -> str:
        """The name of the span that this one belongs to; empty for the first of its trace."""
        found = [other for other in self.spans if other.span_id == span.parent_span_id]
        assert all(other.trace_id == span.trace_id for other in found)
        return found[0].name if found else ""

    def take(self, path: str, kind: str, body: bytes) -> bytes:
        """One request, answered as the protocol wants it."""
        if (path, kind) != ("/v1/traces", PROTOBUF):
            self.refused.append(f"{kind} to {path}")
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services.add(attributes(resource.resource)["service.name"])
            for scope in resource.scope_spans:
                self.refused += [why for span in scope.spans for why in wrong(span)]
                self.spans += scope.spans
        return ExportTraceServiceResponse().SerializeToString()


@contextlib.contextmanager
def collecting(*, hangs: bool = False) -> Iterator[Collector]:
    """A collector at an address of its own."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.requests += 1
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.gate.wait()
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            answer = collector.take(self.path, self.headers["content-type"], body)
            # A client that has waited long enough is gone.
            with contextlib.suppress(OSError):
                self.send_response(200)
                self.send_header("content-type", PROTOBUF)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *about: Any) -> None:
            """Say nothing."""

    if not hangs:
        collector.gate.set()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield collector
        finally:
            collector.gate.set()
            server.shutdown()
            serving.join()


def wrong(span: Span) -> Iterator[str]:
    """What the protocol does not allow in a span."""
    if len(span.trace_id) != 16 or len(span.span_id) != 8 or len(span.parent_span_id) not in (0, 8):
        yield f"{span.name}: ids of a wrong length"
    if not 0 < span.start_time_unix_nano <= span.end_time_unix_nano:
        yield f"{span.name}: ends before it begins"


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in thing.attributes}
