"""A scripted Messages API on 127.0.0.1: the real CLI talks to it as if it were the model."""

import asyncio
import contextlib
import json
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


@dataclass(frozen=True)
class Text:
    """The model says `text`, word by word, with a pause before each word."""

    text: str
    pause_seconds: float = field(default=0.0, kw_only=True)


@dataclass(frozen=True)
class Tool:
    """The model calls a tool; what follows in the script comes after the tool's answer."""

    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True)
class Tools:
    """The model calls several tools in one message; what follows in the script comes after all their answers."""

    calls: Sequence[Tool]


@dataclass(frozen=True)
class Fails:
    """The API answers with an error in place of a reply, as often as it is asked."""

    status: int
    kind: str
    message: str


@dataclass(frozen=True)
class Hold:
    """The model is silent until `MessagesApi.release` is called for the prompt."""


Step = Text | Tool | Tools | Fails | Hold
Script = Mapping[str, Sequence[Step]] | Callable[[str], Sequence[Step]]


class MessagesApi:
    """Serves a script of replies per prompt and remembers what was asked.

    A reply runs from where the previous one ended to the next `Tool` or `Tools`, or to the end of the script.
    A prompt that the script does not know is answered with `Text("ok")`.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.script = dict(script) if isinstance(script, Mapping) else {}
        """The replies per prompt; they may be added to at any time."""
        self._otherwise = script if callable(script) else _agree
        self._released: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Condition()
        self.asked: Counter[str] = Counter()
        """How many replies each prompt has begun; a turn with two tool calls asks three times."""
        self.answered: Counter[str] = Counter()
        """How many turns of each prompt were answered to the end of their script."""
        self.requests: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        # Connections wait in the backlog from here on, so the address is good before uvicorn has started.
        listener.listen(128)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        routes = [
            Route("/v1/messages", self._reply, methods=["POST"]),
            Route("/v1/messages/count_tokens", _count_tokens, methods=["POST"]),
            Route("/{rest:path}", _nothing_here, methods=["GET", "HEAD", "POST"]),
        ]
        self._server = _QuietServer(
            uvicorn.Config(
                Starlette(routes=routes),
                log_level="critical",
                access_log=False,
                lifespan="off",
                # A killed CLI leaves its reply half read: nobody waits for it at the end.
                timeout_graceful_shutdown=0,
            )
        )
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for released in self._released.values():
            released.set()
        self._server.should_exit = True
        await self._serving

    def release(self, prompt: str) -> None:
        """Lets every `Hold` of this prompt pass, now and later."""
        self._gate(prompt).set()

    async def wait_asked(self, prompt: str, times: int = 1) -> None:
        """Returns once the prompt has begun `times` replies."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.asked[prompt] >= times)

    async def _reply(self, request: Request) -> Response:
        body = await request.json()
        prompt, answers = read_prompt(body["messages"])
        steps = _reply_number(answers, self._steps(prompt))
        async with self._changed:
            self.requests.append(body)
            self.asked[prompt] += 1
            self._changed.notify_all()
        if steps and isinstance(steps[0], Fails):
            return _failure(steps[0])
        return StreamingResponse(self._stream(body, prompt, steps), media_type="text/event-stream")

    def _steps(self, prompt: str) -> Sequence[Step]:
        return self.script.get(prompt) or self._otherwise(prompt)

    async def _stream(self, body: dict[str, Any], prompt: str, steps: Sequence[Step]) -> AsyncIterator[str]:
        number = len(self.requests)
        yield _sse("message_start", message=_empty_message(body, number))
        index = 0
        for step in steps:
            if isinstance(step, Hold):
                await self._gate(prompt).wait()
                continue
            for said in _said_at_once(step):
                async for line in _block(index, said, tool_use_id=f"toolu_{number:06}_{index}"):
                    yield line
                index += 1
        calls_tool = bool(steps) and isinstance(steps[-1], Tool | Tools)
        if not calls_tool:
            self.answered[prompt] += 1
        delta = {"stop_reason": "tool_use" if calls_tool else "end_turn", "stop_sequence": None}
        yield _sse("message_delta", delta=delta, usage={"output_tokens": 10})
        yield _sse("message_stop")

    def _gate(self, prompt: str) -> asyncio.Event:
        return self._released.setdefault(prompt, asyncio.Event())


def read_prompt(messages: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """The newest thing a person said, and how many times tools answered since."""
    answers = 0
    for message in reversed(messages):
        if message["role"] != "user":
            continue
        if isinstance(message["content"], str):
            return message["content"], answers
        # After an interrupt, the tool's refusal and the next prompt share one message: the later block decides.
        blocks = [block for block in message["content"] if block["type"] == "tool_result" or _is_said(block)]
        if blocks and blocks[-1]["type"] == "text":
            return str(blocks[-1]["text"]).removesuffix("\n"), answers
        answers += bool(blocks)
    return "", answers


def _is_said(block: Mapping[str, Any]) -> bool:
    # The CLI puts its own reminders, and where it keeps an image, beside what the person typed.
    return block["type"] == "text" and not block["text"].startswith(("<system-reminder>", "[Image: source: "))


def _reply_number(number: int, steps: Sequence[Step]) -> Sequence[Step]:
    replies: list[list[Step]] = [[]]
    for step in steps:
        replies[-1].append(step)
        if isinstance(step, Tool | Tools):
            replies.append([])
    if number >= len(replies) or not replies[number]:
        return [Text("done")]
    return replies[number]


def _said_at_once(step: Step) -> Sequence[Text | Tool]:
    if isinstance(step, Tools):
        return step.calls
    return [step] if isinstance(step, Text | Tool) else []


def _failure(failure: Fails) -> Response:
    error = {"type": failure.kind, "message": failure.message}
    return JSONResponse({"type": "error", "error": error}, status_code=failure.status)


def _agree(prompt: str) -> Sequence[Step]:
    return [Text("ok")]


async def _block(index: int, step: Text | Tool, *, tool_use_id: str) -> AsyncIterator[str]:
    if isinstance(step, Text):
        yield _sse("content_block_start", index=index, content_block={"type": "text", "text": ""})
        for text in re.findall(r"\S+\s*|\s+", step.text):
            await asyncio.sleep(step.pause_seconds)
            yield _sse("content_block_delta", index=index, delta={"type": "text_delta", "text": text})
    else:
        block = {"type": "tool_use", "id": tool_use_id, "name": step.name, "input": {}}
        yield _sse("content_block_start", index=index, content_block=block)
        delta = {"type": "input_json_delta", "partial_json": json.dumps(dict(step.input))}
        yield _sse("content_block_delta", index=index, delta=delta)
    yield _sse("content_block_stop", index=index)


def _empty_message(body: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {
        "id": f"msg_{number:06}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "scripted"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }


def _sse(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


async def _count_tokens(request: Request) -> Response:
    return JSONResponse({"input_tokens": 10})


async def _nothing_here(request: Request) -> Response:
    return Response(status_code=404)


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The program that embeds this server keeps its own handling of SIGINT and SIGTERM.
        yield
