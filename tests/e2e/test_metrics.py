"""The metrics of a worker that did real work, and what is built on them: documents, dashboard, alerts."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from demo.stage import Stage, directories, workers
from tests.e2e.exposition import families, missing, samples
from tests.e2e.observed import Told
from workflows.messages import Status

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboard.json").read_text())
ALERTS = yaml.safe_load((GRAFANA / "alerts.yml").read_text())["groups"][0]["rules"]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def expressions() -> list[str]:
    """Every query of the dashboard and its variables, and of the alerts."""
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    asked = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
    variables = [
        f"sum by ({label}) ({metric})" for metric, label in re.findall(r"label_values\((\w+), (\w+)\)", *asked)
    ]
    assert len(variables) == len(asked)
    return [*panels, *variables, *(alert["expr"] for alert in ALERTS)]


def values(told: Told, name: str, label: str = "") -> dict[str, float]:
    """The values of one metric, by one of its labels."""
    return {sample.labels.get(label, ""): sample.value for sample in samples(told.metrics) if sample.name == name}


def test_what_happened_is_counted(observed: Told) -> None:
    """A start, a question with its answer, a turn, and a restart after a death."""
    counted = {
        name: Counter({key: value for key, value in values(observed, f"durable_claude_{name}", label).items() if value})
        for name, label in {
            "starts_total": "outcome",
            "restarts_total": "reason",
            "turns_total": "outcome",
            "questions_asked_total": "kind",
            "questions_answered_total": "decision",
            "tool_calls_total": "",
        }.items()
    }

    assert counted == {
        "starts_total": {"new": 1, "resumed": 1},
        "restarts_total": {"killed": 1},
        "turns_total": {"ok": 1},
        "questions_asked_total": {"leave": 1},
        "questions_answered_total": {"allow": 1},
        "tool_calls_total": {"": 1},
    }


def test_what_was_measured_can_be_believed(observed: Told) -> None:
    """Times, tokens, cost, memory, journals and the lease are those of this session and of today."""
    one = {sample.name: sample.value for sample in samples(observed.metrics)}

    assert one["durable_claude_turn_duration_seconds_count"] == 1
    assert 0 < one["durable_claude_turn_duration_seconds_sum"] < 60
    assert 0 < one["durable_claude_turn_cost_usd_sum"] < 1
    assert values(observed, "durable_claude_tokens_total", "direction").keys() == {"input", "output"}
    assert values(observed, "durable_claude_start_duration_seconds_count", "outcome") == {"new": 1, "resumed": 1}
    assert 50e6 < one["durable_claude_processes_resident_memory_bytes"] < 2e9
    assert (
        one["durable_claude_largest_process_resident_memory_bytes"]
        == one["durable_claude_processes_resident_memory_bytes"]
    )
    assert one["durable_claude_journal_bytes"] > 1000
    assert one["durable_claude_lease_ttl_seconds"] == 600
    assert values(observed, "durable_claude_sessions", "status")["ready"] == one["durable_claude_processes"] == 1
    assert one["durable_claude_worker_draining"] == one["durable_claude_questions_waiting"] == 0


def test_names_and_labels_are_prometheus_s(observed: Told) -> None:
    """Base units, `_total` on counters only, the host on every series, and no session in any label."""
    ours = {name: kind for name, kind in families(observed.metrics).items() if name.startswith("durable_claude_")}
    labels = {label for sample in samples(observed.metrics) for label in sample.labels}

    assert [name for name, kind in ours.items() if (kind == "counter") != name.endswith("_total")] == []
    assert [name for name in ours if re.search(r"_(ms|milliseconds|mb|minutes|percent)(_|$)", name)] == []
    assert all(sample.labels.get("host") for sample in samples(observed.metrics))
    assert labels.isdisjoint({"session", "session_id", "turn", "workflow_id", "run_id", "service_name"})


def test_the_sdk_s_metrics_are_at_the_same_address(observed: Told) -> None:
    """One endpoint has Temporal's own metrics, in seconds, beside ours."""
    assert {"temporal_request_total", "temporal_worker_task_slots_available"} <= families(observed.metrics).keys()
    assert families(observed.metrics)["temporal_activity_execution_latency_seconds"] == "histogram"


def test_every_metric_is_explained(observed: Told) -> None:
    """The operator's guide lists the metrics that a worker has, and no other."""
    explained = set(re.findall(r"^\| `(durable_claude_[a-z_]+)`", OPERATIONS, re.MULTILINE))

    assert explained == {name for name in families(observed.metrics) if name.startswith("durable_claude_")}


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_asks_for_what_is_there(observed: Told, expression: str) -> None:
    """Each query of dashboard and alerts is PromQL, and its metrics and labels are those of a real worker."""
    assert list(missing(expression, samples(observed.metrics))) == []


def test_an_expression_that_asks_for_more_is_found(observed: Told) -> None:
    """A metric, a label or a value that no worker has is named."""
    known = samples(observed.metrics)
    for expression, lack in {
        "sum(rate(durable_claude_turn_total[5m]))": "no series durable_claude_turn_total",
        "sum by (result) (durable_claude_turns_total)": "durable_claude_turns_total has no label result",
        'durable_claude_turns_total{outcome="fine"} > 0': "durable_claude_turns_total has no outcome like 'fine'",
    }.items():
        assert [why for why in missing(expression, known) if why.startswith(lack)], expression
    with pytest.raises(ValueError):
        list(missing("sum(rate(durable_claude_turns_total[5m])", known))


def test_alerts_are_explained_and_know_the_statuses() -> None:
    """Each alert is in the operator's guide, and a status that one waits for exists."""
    explained = set(re.findall(r"^\| `([A-Z][A-Za-z]+)` \|", OPERATIONS, re.MULTILINE))
    statuses = {
        status
        for alert in ALERTS
        for one in re.findall(r'status=~"([^"]+)"', alert["expr"])
        for status in one.split("|")
    }

    assert explained == {alert["alert"] for alert in ALERTS}
    assert statuses
    assert statuses <= set(get_args(Status))


async def test_a_port_that_is_taken_is_one_sentence() -> None:
    """The worker does not begin, and says which setting to change."""
    with directories() as stage, socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        code, said = await refused(stage, address)

    assert code == 2
    assert said == (
        f"metrics cannot be served at {address}: Address already in use (os error 98); "
        "set DURABLE_CLAUDE_METRICS_ADDRESS to another address, or to nothing\n"
    )


async def refused(stage: Stage, address: str) -> tuple[int, str]:
    """How a worker ends that cannot serve there, and what it says."""
    environment = stage.environment("127.0.0.1:1", {"HOME": str(stage.root), "DURABLE_CLAUDE_METRICS_ADDRESS": address})
    async with workers(stage, environment) as cast:
        worker = await cast.start()
        return await worker.wait(), cast.log(1).read_text()
