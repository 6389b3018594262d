"""How changes are divided into transactions: nothing lost, nothing torn apart, no limit exceeded."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from reconcilers.core.model import Action, Change, Id, Observed, Owner, Resource, Span
from reconcilers.providers.dns import batches as batching
from reconcilers.providers.dns import marks
from reconcilers.providers.dns.records import Limits

ZONE = "z.test"
WIDE = Limits(1000, 1000, 60_000)


def change(action: Action, kind: str, name: str, file: str, zone: str = ZONE) -> Change:
    identity = Id(kind, f"{zone}/{name}")
    spec = {"ttl": 300, "rrdatas": ["192.0.2.1"]}
    owner = Owner("mlab", "sandbox", "sandbox/dns", f"config/{file}")
    desired = None if action is Action.DELETE else Resource(identity, spec, Span(f"config/{file}", 3))
    live = None if action is Action.CREATE else Observed(identity, spec, owner)
    return Change(action, identity, desired, live)


def create(kind: str, name: str, file: str = "a.yaml", zone: str = ZONE) -> Change:
    return change(Action.CREATE, kind, name, file, zone)


def made(changes: Sequence[Change], deletions: Sequence[Change] = (), limits: Limits = WIDE) -> list[list[Change]]:
    live = {ZONE: marks.live(ZONE, {}), "other.test": marks.live("other.test", {})}
    return batching.batches(changes, deletions, live, limits)


changes = st.builds(
    change,
    st.sampled_from([Action.CREATE, Action.UPDATE]),
    st.sampled_from(["A", "AAAA"]),
    st.sampled_from([f"host{n}" for n in range(30)]),
    st.sampled_from(["a.yaml", "b.yaml", "c.yaml"]),
    st.sampled_from([ZONE, "other.test"]),
)


@settings(max_examples=50)
@given(st.lists(changes, unique_by=lambda c: c.id), st.integers(3, 12))
def test_every_change_is_in_one_transaction_of_one_zone_within_the_limits(found: list[Change], most: int) -> None:
    limits = Limits(most, most, 60_000)
    batches = made(found, (), limits)
    assert sorted(c.id for batch in batches for c in batch) == sorted(c.id for c in found)
    for batch in batches:
        assert len({c.id.name.partition("/")[0] for c in batch}) == 1
        assert len(batch) <= most or len({c.id.name for c in batch}) == 1


@settings(max_examples=50)
@given(st.lists(changes, unique_by=lambda c: c.id), st.integers(3, 12))
def test_all_types_of_a_name_are_in_one_transaction(found: list[Change], most: int) -> None:
    place: dict[str, int] = {}
    for number, batch in enumerate(made(found, (), Limits(most, most, 60_000))):
        for one in batch:
            assert place.setdefault(one.id.name, number) == number


def test_what_one_file_wants_stays_together_while_it_fits() -> None:
    found = [create("A", f"{file}-{n}", f"{file}.yaml") for file in "abc" for n in range(4)]
    batches = made(found, (), Limits(12, 12, 60_000))
    assert [sorted({c.desired.span.file for c in b if c.desired}) for b in batches] == [
        ["config/a.yaml", "config/b.yaml"],
        ["config/c.yaml"],
    ]


def test_an_alias_gives_way_in_the_transaction_of_what_replaces_it() -> None:
    way = change(Action.DELETE, "CNAME", "x", "old.yaml")
    apart = change(Action.DELETE, "CNAME", "y", "old.yaml")
    batches = made(
        [create("A", "x"), create("AAAA", "x"), create("A", "z", "b.yaml")], [way, apart], Limits(4, 4, 60_000)
    )
    (together,) = [batch for batch in batches if way in batch]
    assert {c.id.kind for c in together if c.id.name.endswith("/x")} == {"A", "AAAA", "CNAME"}
    assert not any(apart in batch for batch in batches)


def test_addresses_give_way_to_an_alias() -> None:
    gone = [change(Action.DELETE, kind, "x", "a.yaml") for kind in ("A", "AAAA")]
    (batch,) = made([create("CNAME", "x")], gone)
    assert {c.id.kind for c in batch} == {"CNAME", "A", "AAAA"}


def test_other_deletions_at_a_name_come_later() -> None:
    gone = change(Action.DELETE, "TXT", "x", "a.yaml")
    (batch,) = made([create("A", "x")], [gone])
    assert gone not in batch


def test_a_site_of_four_machines_is_one_transaction_of_an_update_message() -> None:
    names = [f"experiment-{e}-mlab{m}-lga05" for m in range(4) for e in range(31)]
    zone = "mlab-sandbox.measurement-lab.test"
    found = [create(kind, name, "sites/lga05.yaml", zone) for name in names for kind in ("A", "AAAA")]
    assert [len(batch) for batch in batching.batches(found, (), {}, WIDE)] == [len(found)]
