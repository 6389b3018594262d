"""A fixed plan that has one of everything a report must show."""

from __future__ import annotations

from reconcilers.core import diff
from reconcilers.core.model import Action, Cause, Change, Field, Id, Observed, Owner, Plan, Resource, Risk, Span
from reconcilers.core.plan import UNMARKED
from reconcilers.report.run import RunPlan

EPOXY = "staging/epoxy"


def resource(kind: str, name: str, line: int, **spec: object) -> Resource:
    return Resource(Id(kind, name), spec, Span(f"config/sites/{name[:5]}.yaml", line, 3))


def observed(identity: Id, **spec: object) -> Observed:
    mark = Owner("mlab", "staging", EPOXY, "config/sites/abc02.yaml", "3f2c1ab")
    return Observed(identity, spec, mark, note="last boot 2026-02-01T00:00:00Z")


def sample() -> RunPlan:
    gone = Id("Host", "mlab4-abc02.mlab-staging.measurement-lab.test")
    moved = resource("Host", "abc01-mlab1", 21, IPv4Addr="192.0.2.10")
    text = resource("Object", "abc01/machines.json", 0, content="x\n" * 300 + "b\n")
    changes = (
        Change(
            Action.DELETE,
            gone,
            None,
            observed(gone, IPv4Addr="192.0.2.70"),
            (Field(("IPv4Addr",), "192.0.2.70", None),),
            Risk.DESTRUCTIVE,
            Cause.CONFIG,
            "not in git since 3f2c1ab",
            Span("config/sites/abc02.yaml"),
            removed_in="3f2c1ab",
            ack="config/acks/2026-03-abc02.yaml",
        ),
        Change(
            Action.UPDATE,
            moved.id,
            moved,
            observed(moved.id, IPv4Addr="192.0.2.9"),
            (Field(("IPv4Addr",), "192.0.2.9", "192.0.2.10"),),
            Risk.DISRUPTIVE,
            Cause.DRIFT,
            "the live object changed",
            moved.span,
        ),
        Change(
            Action.ADOPT,
            Id("Host", "stranger"),
            moved,
            observed(Id("Host", "stranger")),
            (),
            Risk.DISRUPTIVE,
            Cause.UNKNOWN,
            "no record of a former apply",
            moved.span,
            blocked=UNMARKED,
        ),
        Change(
            Action.UPDATE,
            text.id,
            text,
            observed(text.id),
            (
                Field(("content",), "x\n" * 300 + "a\n", "x\n" * 300 + "b\n"),
                *diff.fields({"token": "old-canary"}, {"token": "new-canary"}, sensitive=[("token",)], key=b"k"),
            ),
            cause=Cause.CONFIG,
            reason="changed since 91d0aaa (and 2 more files in config/sites/)",
            source=Span("config/sites/", 0),
        ),
        *(
            Change(Action.CREATE, Id("Host", f"new-{n:02}"), moved, None, (Field(("a",), None, n),), source=moved.span)
            for n in range(15)
        ),
    )
    refused = "staging/epoxy: delete of 9 Host (of 60 live and ours) exceeds the limit of at most 8"
    plans = (
        Plan(EPOXY, changes, unchanged=100, population={"Host": 117}, refused=(refused,)),
        Plan("staging/buckets", unchanged=12, population={"Bucket": 6, "Object": 6}),
        Plan("staging/kubernetes", complete=False, problems=("127.0.0.1:6443: connection refused",)),
    )
    return RunPlan(
        run="2026-03-01T10:00:00Z-7f3a9c",
        env="staging",
        project="mlab-staging",
        commit="3f2c1ab0000000000000000000000000000000aa",
        base="91d0aaa000000000000000000000000000000000",
        plans=plans,
        warnings=("config/acks/old.yaml: expired on 2026-01-01: it permits nothing any more; remove it",),
    )
