"""A scripted claude of a few megabytes: it speaks stream-json, keeps no conversation, and thinks nothing.

A hundred real ones would need 16 GB. A message says what to do: `hold` works until it is interrupted, `ask` asks for
leave, `die` ends the process, and anything else is answered at once.
"""

import json
import sys
from typing import Any

COST_USD = 0.01


def main() -> None:
    """Answer line by line until stdin ends."""
    held = ""
    asked: dict[str, str] = {}
    for line in sys.stdin:
        record = json.loads(line)
        kind = record.get("type")
        if kind == "control_request":
            answer({"type": "control_response", "response": {"subtype": "success", "request_id": record["request_id"]}})
            if record["request"]["subtype"] == "interrupt" and (held := end(held, "error_during_execution")):
                asked.clear()
        elif kind == "control_response" and (uuid := asked.pop(record["response"]["request_id"], "")):
            answer(record)
            held = end(uuid, "success")
        elif kind == "user":
            held = take(record, asked)


def take(record: dict[str, Any], asked: dict[str, str]) -> str:
    """Begin a turn; its uuid while it goes on."""
    uuid, text = str(record["uuid"]), str(record["message"]["content"])
    answer({**record, "isReplay": True, "timestamp": "now"})
    if text == "die":
        sys.exit(1)
    if text not in ("hold", "ask"):
        return end(uuid, "success")
    tool = {"type": "tool_use", "id": f"tool-{uuid}", "name": "Bash", "input": {"command": f"{text} on"}}
    answer({"type": "assistant", "message": {"role": "assistant", "content": [tool]}})
    if text == "ask":
        asked[f"ask-{uuid}"] = uuid
        wanted = {"subtype": "can_use_tool", "tool_name": "Bash", "input": tool["input"], "tool_use_id": tool["id"]}
        answer({"type": "control_request", "request_id": f"ask-{uuid}", "request": wanted})
    return uuid


def end(uuid: str, subtype: str) -> str:
    """The result of a turn, if one goes on."""
    if uuid:
        is_error = subtype != "success"
        result = {"type": "result", "subtype": subtype, "is_error": is_error, "result": "Hello.", "num_turns": 1}
        answer({**result, "user_message_uuid": uuid, "total_cost_usd": COST_USD})
    return ""


def answer(record: dict[str, Any]) -> None:
    """Say one line."""
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
