"""Metrics as Prometheus reads them, and what an expression wants of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as promql

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
# What Prometheus itself adds to each series, and the one series that it makes.
OF_PROMETHEUS = {"job", "instance"}
UP = "up"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One series and its value."""

    name: str
    labels: dict[str, str]
    value: float


def samples(text: str) -> list[Sample]:
    """Every series of an endpoint; a line that Prometheus could not read raises."""
    read = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            found = _SAMPLE.fullmatch(line)
            assert found, line
            name, labels, value = found.groups()
            assert _LABEL.sub("", labels or "") == "", line
            read.append(Sample(name=name, labels=dict(_LABEL.findall(labels or "")), value=float(value)))
    return read


def families(text: str) -> dict[str, str]:
    """The kind of each metric by its name."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def missing(expression: str, known: list[Sample]) -> Iterator[str]:
    """What an expression uses that no series has. Raises when it is no PromQL."""
    return _missing(promql.parse(expression), known, ())


def _missing(node: Any, known: list[Sample], wanted: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, promql.MatrixSelector):
        node = node.vector_selector
    if isinstance(node, promql.VectorSelector):
        yield from _of_selector(node, known, wanted)
        return
    inside, labels = _parts(node)
    for part in inside:
        yield from _missing(part, known, (*wanted, *labels))


def _parts(node: Any) -> tuple[list[Any], list[str]]:
    """What an expression is made of, and the labels that it wants of each part."""
    match node:
        case promql.AggregateExpr():
            return [node.expr], node.modifier.labels if node.modifier else []
        case promql.BinaryExpr():
            matching = node.modifier.matching if node.modifier else None
            return [node.lhs, node.rhs], matching.labels if matching else []
        case promql.Call():
            return node.args, []
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return [node.expr], []
        case promql.NumberLiteral() | promql.StringLiteral():
            return [], []
    raise TypeError(f"nobody looks into a {type(node).__name__}")


def _of_selector(selector: Any, known: list[Sample], wanted: tuple[str, ...]) -> Iterator[str]:
    if selector.name == UP:
        return
    series = [sample for sample in known if sample.name == selector.name]
    if not series:
        yield f"no series {selector.name}"
    matchers = selector.matchers.matchers
    for label in {*wanted, *(matcher.name for matcher in matchers)} - OF_PROMETHEUS:
        if not all(label in sample.labels for sample in series):
            yield f"{selector.name} has no label {label}"
    for matcher in matchers:
        # A variable of the dashboard, and how a session is, which no single run goes through.
        if matcher.value != "$host" and matcher.name != "status":
            values = {sample.labels.get(matcher.name, "") for sample in series}
            if not any(_matches(matcher, value) for value in values):
                yield f"{selector.name} has no {matcher.name} like {matcher.value!r}, only {sorted(values)}"


def _matches(matcher: Any, value: str) -> bool:
    match matcher.op:
        case promql.MatchOp.Equal:
            return bool(value == matcher.value)
        case promql.MatchOp.Re:
            return re.fullmatch(matcher.value, value) is not None
        case other:
            raise TypeError(f"nobody looks at {other}")
