"""Text that is no YAML, or YAML that configurations do without: anchors, tags, depth, scalars of two readings."""

from __future__ import annotations

from tests import fleets
from tests.load.breaking import SITE, both, case, change, prepend, write

BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"

SYNTAX = [
    case("empty", write(SITE, ""), (f"{SITE}:1:1", "Y03", "empty")),
    case("only a comment", write(SITE, "# nothing\n"), (f"{SITE}:2:1", "Y03", "empty")),
    case("tab", change(SITE, "  mlab2:", "\tmlab2:"), (f"{SITE}:17:1", "Y02", "a tab cannot indent")),
    case("colon in text", change(SITE, "provider: mlab", "provider: a: b"), (f"{SITE}:5:12", "Y02", "quote the value")),
    case(
        "open quote",
        change(SITE, '"2001:db8:0:14::/64"', '"2001:db8:0:14::/64'),
        (f"{SITE}:20:1", "Y02", "never closed"),
    ),
    case("open brace", change(SITE, "retired: null}", "retired: null"), (f"{SITE}:9:9", "Y02", "add the missing ','")),
    case("bad indentation", change(SITE, "  mlab2:", " mlab2:"), (f"{SITE}:17:2", "Y02", "align it")),
    case("bad escape", change(SITE, "provider: mlab", r'provider: "\m"'), (f"{SITE}:5:12", "Y02", "double it")),
    case(
        "two documents", write(SITE, fleets.FILES[SITE] + "---\nkind: Site\n"), (f"{SITE}:20:1", "Y03", "its own file")
    ),
    case(
        "duplicate key",
        change(SITE, "donated: false", "donated: false\ndonated: true"),
        (f"{SITE}:7:1", "Y04", "`donated` occurs twice, first in line 6"),
    ),
    case(
        "duplicate key below", change(SITE, "uplink: 10g}", "uplink: 10g, asn: 5}"), (f"{SITE}:10:63", "Y04", "`asn`")
    ),
    case("number as key", change(SITE, "  mlab2:", "  2:"), (f"{SITE}:17:3", "Y05", "key 2 is read as a number")),
    case("boolean as key", change(SITE, "  mlab2:", "  true:"), (f"{SITE}:17:3", "Y05", "read as a boolean")),
    case("null as key", change(SITE, "  mlab2:", "  null:"), (f"{SITE}:17:3", "Y05", "read as null")),
    case(
        "template braces", change(SITE, "provider: mlab", "provider: {{ name }}"), (f"{SITE}:5:12", "Y05", "quote '{'")
    ),
    case("anchor", change(SITE, "mlab1: {", "mlab1: &m {"), (f"{SITE}:16:10", "Y06", "anchor &m")),
    case(
        "alias",
        both(change(SITE, "mlab1: {", "mlab1: &m {"), change(SITE, "{model: r640}", "*m")),
        (f"{SITE}:16:10", "Y06", "anchor &m"),
        (f"{SITE}:18:10", "Y06", "alias *m"),
        (f"{SITE}:19:10", "Y06", "alias *m"),
    ),
    case("merge key", change(SITE, "mlab1: {", "mlab1: {<<: {disk: sda}, "), (f"{SITE}:16:11", "Y06", "merge key")),
    case(
        "laughs",
        write(SITE, BOMB),
        (f"{SITE}:1:4", "Y06", "&a"),
        (f"{SITE}:2:4", "Y06", "&b"),
        (f"{SITE}:2:8", "Y06", "*a"),
        (f"{SITE}:2:12", "Y06", "*a"),
        (f"{SITE}:3:4", "Y06", "&c"),
        (f"{SITE}:3:8", "Y06", "*b"),
        (f"{SITE}:3:12", "Y06", "*b"),
    ),
    case(
        "python tag",
        change(SITE, "provider: mlab", "provider: !!python/name:os.system x"),
        (f"{SITE}:5:11", "Y07", "python/name:os.system"),
    ),
    case("binary tag", change(SITE, "provider: mlab", "provider: !!binary aGk="), (f"{SITE}:5:11", "Y07", "binary")),
    case("local tag", change(SITE, "machines:", "machines: !m"), (f"{SITE}:15:11", "Y07", "!m")),
    case("directive", prepend(SITE, b"%YAML 1.1\n---\n"), (f"{SITE}:1:1", "Y07", "%YAML")),
    case("deep lists", write(SITE, "kind: " + "[" * 100_000), (f"{SITE}:1:38", "Y09", "deeper than 32")),
    case("deep mappings", write(SITE, "{a: " * 40 + "1" + "}" * 40), (f"{SITE}:1:129", "Y09", "deeper than 32")),
    case("deep sequence dashes", write(SITE, "- " * 5000 + "x"), (f"{SITE}:1:65", "Y09", "deeper than 32")),
]
SCALARS = [
    case(f"scalar {text}", change(SITE, "asn: 64500", f"asn: {text}"), (f"{SITE}:10:43", "Y08", words))
    for text, words in (
        ("010", "octal to YAML 1.1"),
        ("0o10", "octal to YAML 1.2"),
        ("0x10", "base 16"),
        ("0b11", "binary"),
        ("64_500", "number to YAML 1.1"),
        ("12:30", "base-60"),
        ("1e3", "number to YAML 1.2"),
        (".inf", "no number"),
        (".nan", "no number"),
        ("1.0e+999", "no number"),
        ("007.5", "leading zero"),
        ("9" * 30, "above the 18"),
    )
]
