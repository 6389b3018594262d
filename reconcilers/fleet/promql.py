"""What an alert's expression speaks of: its series, and the labels that its result can have.

The syntax tree is `promql-parser`'s; this module asks it two questions and hides the rest. Labels are known only where
the expression says them (`by`, `on`, `absent`): whatever a plain series carries is open, and what could be there counts
as there, so that nobody is told of a fault that is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import promql_parser as promql

from reconcilers.core.errors import one_line

MAX_LENGTH = 4096
MAX_DEPTH = 100
"""Parsing takes quadratic time in both, and the tree is walked by recursion."""
_ABSENT = frozenset({"absent", "absent_over_time"})
_SCALARS = frozenset({"time", "vector", "scalar", "pi"})
_KEEPING = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
"""Aggregations that choose among series and leave each as it is."""
_SETS = frozenset({"and", "or", "unless"})


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label: `op` is =, !=, =~ or !~."""

    label: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """One series or family of them; `absent` says that the expression asks whether it is missing."""

    name: str
    matchers: tuple[Matcher, ...]
    absent: bool


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of a result: those in `names`, or if `is_open` any but those in `names`."""

    names: frozenset[str]
    is_open: bool = False

    def has(self, label: str) -> bool:
        """Whether the label can be there."""
        return (label in self.names) != self.is_open

    def among(self, labels: Iterable[str]) -> Labels:
        """What an aggregation or a match by these labels leaves."""
        return Labels(frozenset(label for label in labels if self.has(label)))

    def without(self, labels: Iterable[str]) -> Labels:
        """The same without some."""
        return Labels(self.names | frozenset(labels) if self.is_open else self.names - frozenset(labels), self.is_open)

    def plus(self, labels: Iterable[str]) -> Labels:
        """The same with some more."""
        return Labels(self.names - frozenset(labels) if self.is_open else self.names | frozenset(labels), self.is_open)

    def either(self, other: Labels) -> Labels:
        """What one of two results has."""
        if self.is_open and other.is_open:
            return Labels(self.names & other.names, True)
        if self.is_open or other.is_open:
            wide, narrow = (self, other) if self.is_open else (other, self)
            return Labels(wide.names - narrow.names, True)
        return Labels(self.names | other.names)


NONE = Labels(frozenset())
OPEN = Labels(frozenset(), is_open=True)
_OPS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


@dataclass(frozen=True, slots=True)
class Query:
    """An expression that can be parsed; or `error`, and then nothing else is known."""

    selectors: tuple[Selector, ...] = ()
    labels: Labels = OPEN
    error: str = ""


@lru_cache(maxsize=1024)
def read(text: str) -> Query:
    """What an expression says."""
    if len(text) > MAX_LENGTH:
        return Query(error=f"it has {len(text)} characters, above the limit of {MAX_LENGTH}")
    if max(text.count("("), text.count("["), text.count("-"), text.count("+")) > MAX_DEPTH:
        return Query(error=f"it has more than {MAX_DEPTH} brackets or signs of one kind")
    try:
        tree = promql.parse(text)
    except ValueError as error:
        return Query(error=one_line(str(error), 160))
    return Query(tuple(_selectors(tree, absent=False)), _labels(tree))


def _selectors(node: promql.Expr, *, absent: bool) -> Iterator[Selector]:
    if isinstance(node, promql.VectorSelector):
        matchers = tuple(Matcher(m.name, _OPS[str(m.op)], m.value) for m in node.matchers.matchers)
        name = node.name or next((m.value for m in matchers if (m.label, m.op) == ("__name__", "=")), "")
        yield Selector(name, matchers, absent)
    elif isinstance(node, promql.MatrixSelector):
        yield from _selectors(node.vector_selector, absent=absent)
    elif isinstance(node, promql.Call):
        for argument in node.args:
            yield from _selectors(argument, absent=absent or node.func.name in _ABSENT)
    elif isinstance(node, promql.BinaryExpr):
        yield from _selectors(node.lhs, absent=absent)
        yield from _selectors(node.rhs, absent=absent)
    elif isinstance(node, promql.AggregateExpr):
        yield from _selectors(node.expr, absent=absent)
        if isinstance(node.param, promql.Expr):
            yield from _selectors(node.param, absent=absent)
    elif isinstance(node, (promql.ParenExpr, promql.UnaryExpr, promql.SubqueryExpr)):
        yield from _selectors(node.expr, absent=absent)


def _labels(node: promql.Expr) -> Labels:
    if isinstance(node, promql.VectorSelector):
        empty = [m.name for m in node.matchers.matchers if (m.op, m.value) == (promql.MatchOp.Equal, "")]
        return OPEN.without(empty)
    if isinstance(node, promql.MatrixSelector):
        return _labels(node.vector_selector)
    if isinstance(node, (promql.ParenExpr, promql.UnaryExpr, promql.SubqueryExpr)):
        return _labels(node.expr)
    if isinstance(node, promql.Call):
        return _of_call(node)
    if isinstance(node, promql.AggregateExpr):
        return _of_aggregate(node)
    if isinstance(node, promql.BinaryExpr):
        return _of_binary(node)
    return NONE


def _of_call(call: promql.Call) -> Labels:
    name = call.func.name
    if name in _SCALARS or not call.args:
        return NONE
    if name in _ABSENT:
        selector = next(iter(_selectors(call.args[0], absent=True)), None)
        fixed = [m.label for m in selector.matchers if m.op == "=" and m.value] if selector else []
        return Labels(frozenset(fixed) - {"__name__"})
    if name in ("label_replace", "label_join") and isinstance(call.args[1], promql.StringLiteral):
        return _labels(call.args[0]).plus([call.args[1].val])
    if name in ("histogram_quantile", "histogram_fraction"):
        return _labels(call.args[-1]).without(["le"])
    vectors = [argument for argument in call.args if not _is_scalar(argument)]
    return _labels(vectors[0]) if vectors else NONE


def _of_aggregate(node: promql.AggregateExpr) -> Labels:
    inner = _labels(node.expr)
    if str(node.op) in _KEEPING:
        return inner
    if node.modifier is None:
        found = NONE
    elif node.modifier.type == promql.AggModifierType.By:
        found = inner.among(node.modifier.labels)
    else:
        found = inner.without(node.modifier.labels)
    if str(node.op) == "count_values" and isinstance(node.param, promql.StringLiteral):
        return found.plus([node.param.val])
    return found


def _of_binary(node: promql.BinaryExpr) -> Labels:
    left, right = _labels(node.lhs), _labels(node.rhs)
    if _is_scalar(node.lhs):
        return right
    if _is_scalar(node.rhs):
        return left
    op = str(node.op)
    if op in _SETS:
        return left.either(right) if op == "or" else left
    if node.modifier is None:
        return left
    group = node.modifier.group_labels or []
    if node.modifier.card == promql.VectorMatchCardinality.ManyToOne:
        return left.plus(label for label in group if right.has(label))
    if node.modifier.card == promql.VectorMatchCardinality.OneToMany:
        return right.plus(label for label in group if left.has(label))
    matching = node.modifier.matching
    if matching is None:
        return left
    if matching.type == promql.LabelModifierType.Include:
        return left.among(matching.labels)
    return left.without(matching.labels)


def _is_scalar(node: promql.Expr) -> bool:
    if isinstance(node, (promql.NumberLiteral, promql.StringLiteral)):
        return True
    if isinstance(node, promql.Call):
        return node.func.name in _SCALARS - {"vector"}
    if isinstance(node, (promql.ParenExpr, promql.UnaryExpr)):
        return _is_scalar(node.expr)
    return isinstance(node, promql.BinaryExpr) and _is_scalar(node.lhs) and _is_scalar(node.rhs)
