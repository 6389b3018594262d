"""Values, lists and messages by themselves: one form for equal things, and nothing lost on the way."""

from __future__ import annotations

import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconcilers.core.errors import Permanent, Temporary
from reconcilers.core.model import Owner
from reconcilers.providers.dns import marks, records
from reconcilers.providers.dns import update as dns_update
from reconcilers.providers.dns import wire as dns_wire
from reconcilers.providers.dns.records import RecordSet, Swap

ZONE = "mlab-sandbox.measurement-lab.test"
OWNER = Owner("mlab", "sandbox", "sandbox/dns", "config/sites/lga05.yaml", "3f2c1ab")

labels = st.integers(0, 10**6).map(lambda n: f"_host-{n}" + "x" * (n % 50))
names = st.lists(labels, min_size=1, max_size=3).map(lambda parts: f"{'.'.join(parts)}.{ZONE}")
one_key = st.tuples(st.one_of(names, st.just(ZONE)), st.sampled_from(["A", "AAAA", "TXT", "CAA"]))
keys = st.frozensets(one_key, max_size=40)


@pytest.mark.parametrize(
    ("kind", "written", "form"),
    [
        ("A", "192.0.2.1", "192.0.2.1"),
        ("AAAA", "2001:DB8:0:0::01", "2001:db8::1"),
        ("AAAA", "::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("CNAME", "Target.Example.", "target.example."),
        ("NS", "NS1.Example.", "ns1.example."),
        ("MX", "10 Mail.Example.", "10 mail.example."),
        ("TXT", "word", '"word"'),
        ("TXT", '"one " "two"', '"one two"'),
        ("TXT", f'"{"x" * 200}" "{"x" * 100}"', f'"{"x" * 255}" "{"x" * 45}"'),
        ("TXT", '"a \\"quoted\\" \\\\ word"', '"a \\"quoted\\" \\\\ word"'),
        ("CAA", '0 issue "Letsencrypt.example"', '0 issue "Letsencrypt.example"'),
    ],
)
def test_a_value_has_one_form(kind: str, written: str, form: str) -> None:
    assert records.canonical(kind, written) == form
    assert records.canonical(kind, form) == form


@pytest.mark.parametrize(
    ("kind", "written"), [("A", "192.0.2.256"), ("AAAA", "192.0.2.1"), ("CNAME", "a b."), ("MX", "mail."), ("XYZ", "1")]
)
def test_what_is_no_value_is_said_to_be_none(kind: str, written: str) -> None:
    with pytest.raises(Permanent, match=r"no (address|value) of an? "):
        records.canonical(kind, written)


def test_order_and_notation_make_no_difference() -> None:
    one = RecordSet(300, ("2001:db8::2", "2001:DB8::1"))
    assert records.same("AAAA", one, RecordSet(300, ("2001:db8::1", "2001:db8::2")))
    assert not records.same("AAAA", one, RecordSet(301, one.values))
    assert not records.same("AAAA", one, None)


@pytest.mark.parametrize(("zone", "key"), [(ZONE, (ZONE, "TXT")), (ZONE, (f"a.b.{ZONE}", "A")), ("test", (ZONE, "NS"))])
def test_an_id_names_zone_and_key(zone: str, key: tuple[str, str]) -> None:
    assert records.place(records.identify(zone, key)) == (zone, key)


@settings(max_examples=40)
@given(keys=keys, protected=keys)
def test_a_list_is_read_back_as_it_was_written(keys: frozenset[records.Key], protected: frozenset[records.Key]) -> None:
    listed = marks.List(OWNER, keys | protected, protected)
    made = marks.encoded(listed, ZONE)
    assert all(len(part) <= 255 for value in made.values for part in records.strings_of(value))
    assert all(len(b"".join(records.strings_of(value))) <= marks.VALUE_BYTES for value in made.values)
    name = marks.list_name(OWNER, ZONE)
    found = marks.live(ZONE, {(name, "TXT"): made})
    assert found.lists == {name: listed}
    assert found.listed == dict.fromkeys(listed.keys, name)


def test_a_file_that_wants_very_much_has_lists_of_bounded_length() -> None:
    live = marks.live(ZONE, {})
    keys = [(f"host-number-{n}.{ZONE}", "A") for n in range(3000)]
    for start in range(0, len(keys), 700):
        part = keys[start : start + 700]
        live.swapped(list(marks.swaps(live, "sandbox/dns", {key: marks.Mark(OWNER) for key in part}, ())))
    assert set(live.listed) == set(keys)
    names = sorted(live.lists)
    assert len(names) > 3 and all(marks.size_bytes(live, name) < 2 * marks.LIST_BYTES for name in names)
    live.swapped(list(marks.swaps(live, "sandbox/dns", {}, keys[:2999])))
    assert len(live.lists) == 1 and list(live.listed) == keys[2999:]


def test_a_list_without_an_owner_is_not_guessed_at() -> None:
    name = marks.list_name(OWNER, ZONE)
    with pytest.raises(Permanent, match="changed by hand"):
        marks.live(ZONE, {(name, "TXT"): RecordSet(60, ('"A" "mlab1-lga05"',))})


@pytest.mark.parametrize(
    ("source", "head"),
    [
        ("config/sites/lga05.yaml", "lga05.sites.sandbox._mlab-owner."),
        ("config/zones/primary.yaml", "primary.zones.sandbox._mlab-owner."),
        ("config/Odd Names/x y.yaml", None),
        (f"config/{'/'.join(['deep' * 10] * 6)}/x.yaml", None),
    ],
)
def test_a_list_is_named_after_its_file(source: str, head: str | None) -> None:
    name = marks.list_name(Owner("mlab", "sandbox", "sandbox/dns", source), ZONE)
    assert name.startswith(head) if head else len(name.partition(".")[0]) == 32
    assert len(name) <= 253 and marks.reserved(name, ZONE)


def test_two_lists_of_one_record_set_leave_it_to_the_first_scope() -> None:
    key = (f"x.{ZONE}", "A")
    other = Owner("mlab", "production", "production/dns", "config/sites/lga05.yaml")
    lists = {
        (marks.list_name(o, ZONE), "TXT"): marks.encoded(marks.List(o, frozenset({key})), ZONE) for o in (OWNER, other)
    }
    assert marks.live(ZONE, lists).owner(key) == other


def test_moving_to_another_file_moves_the_entry() -> None:
    key, stays = (f"x.{ZONE}", "A"), (f"y.{ZONE}", "A")
    former = marks.list_name(OWNER, ZONE)
    live = marks.live(ZONE, {(former, "TXT"): marks.encoded(marks.List(OWNER, frozenset({key, stays})), ZONE)})
    elsewhere = Owner("mlab", "sandbox", "sandbox/dns", "config/sites/lga06.yaml", "c0ffee0")
    live.swapped(list(marks.swaps(live, "sandbox/dns", {key: marks.Mark(elsewhere)}, ())))
    assert live.owner(key) == elsewhere and live.owner(stays) == OWNER
    live.swapped(list(marks.swaps(live, "sandbox/dns", {}, [key, stays])))
    assert live.lists == {} and live.contents == {}


values = st.one_of(
    st.tuples(st.just("A"), st.ip_addresses(v=4).map(str)),
    st.tuples(st.just("AAAA"), st.ip_addresses(v=6).map(str)),
    st.tuples(st.just("CNAME"), names.map(lambda name: f"{name}.")),
    st.tuples(st.just("TXT"), st.lists(st.binary(max_size=60), min_size=1, max_size=3).map(records.strings)),
)


@settings(max_examples=40)
@given(st.lists(st.tuples(names, st.integers(0, 2**31 - 1), values), max_size=20))
def test_a_message_reads_as_the_library_reads_it(written: list[tuple[str, int, tuple[str, str]]]) -> None:
    message = dns.message.make_query(ZONE, "AXFR")
    message.flags |= 0x8400
    for name, ttl_s, (kind, value) in written:
        message.answer.append(dns.rrset.from_text(f"{name}.", ttl_s, "IN", kind, value))
    wire = message.to_wire(max_size=65535)
    expected = [
        (
            found.name.to_text(omit_final_dot=True).lower(),
            dns.rdatatype.to_text(found.rdtype),
            found.ttl,
            rdata.to_text(),
        )
        for found in dns.message.from_wire(wire, one_rr_per_rrset=True).answer
        for rdata in found
    ]
    read = dns_wire.parse(wire)
    assert [(n, k, t, records.canonical(k, v)) for n, k, t, v in read.answer] == [
        (n, k, t, records.canonical(k, v)) for n, k, t, v in expected
    ]
    assert read.rcode == 0 and read.flags & dns_wire.AUTHORITATIVE and read.signature is None


@example(b"", 25, 25)  # a name that goes in a circle
@given(st.binary(max_size=200), st.integers(0, 199), st.integers(0, 255))
def test_a_mangled_message_is_no_bug(noise: bytes, place: int, byte: int) -> None:
    message = dns.message.make_query(ZONE, "A")
    message.answer.append(dns.rrset.from_text(f"a.{ZONE}.", 1, "IN", "CNAME", f"b.{ZONE}."))
    wire = bytearray(message.to_wire())
    wire[place % len(wire)] = byte
    for spoilt in (noise, bytes(wire), bytes(wire[: place % len(wire)])):
        try:
            dns_wire.parse(spoilt)
        except Temporary as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("ns1.example", ("ns1.example", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
    ],
)
def test_addresses_of_servers(text: str, address: tuple[str, int]) -> None:
    assert dns_update.address(text) == address


@pytest.mark.parametrize("text", ["", "2001:db8::1", "a:b", "a b", "host:"])
def test_what_is_no_address_of_a_server(text: str) -> None:
    with pytest.raises(Permanent, match="HOST:PORT"):
        dns_update.address(text)


def test_a_condition_is_a_swap_of_equals() -> None:
    stays = RecordSet(300, ("192.0.2.1",))
    live = marks.live(ZONE, {(f"a.{ZONE}", "A"): stays})
    live.swapped([Swap((f"a.{ZONE}", "A"), stays, stays)])
    assert live.contents == {(f"a.{ZONE}", "A"): stays} and live.types == {f"a.{ZONE}": {"A"}}
