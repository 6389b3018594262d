"""Every way to break a file that we could think of, each with its one line: place, code, and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from reconcilers.load import fleet
from tests import fleets

SITE = "config/sites/lga05.yaml"
TEST_SITE = "config/sites/lga1t.yaml"
VIRTUAL = "config/sites/dfw09.yaml"
NDT = "config/experiments/ndt.yaml"
WEHE = "config/experiments/wehe.yaml"
SANDBOX = "config/environments/sandbox.yaml"
ALERTS = "config/alerts/workloads.yaml"
EMBARGO = "config/embargo/replay-year.yaml"


class Case(NamedTuple):
    """A broken configuration: what to do to the small fleet, and the problems (place, code, words) that follow."""

    name: str
    breaks: Callable[[Path], object]
    problems: tuple[tuple[str, str, str], ...]


def change(path: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: fleets.edit(root, path, old, new)


def write(path: str, data: str | bytes) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())

    return do


def prepend(path: str, data: bytes) -> Callable[[Path], object]:
    return lambda root: (root / path).write_bytes(data + (root / path).read_bytes())


def link(path: str, target: str) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        (root / path).unlink(missing_ok=True)
        (root / path).symlink_to(target)

    return do


def both(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: [step(root) for step in steps]


def fifo(path: str) -> Callable[[Path], object]:
    return lambda root: os.mkfifo(root / path)


def folder(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).mkdir()


def remove(path: str) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        for item in sorted((root / path).rglob("*"), reverse=True):
            item.rmdir() if item.is_dir() else item.unlink()
        (root / path).rmdir()

    return do


def case(name: str, breaks: Callable[[Path], object], *problems: tuple[str, str, str]) -> Case:
    return Case(name, breaks, problems)


def copy_site(name: str, *edits: tuple[str, str]) -> Callable[[Path], object]:
    """A second full site, on the next free prefixes unless the edits say otherwise."""

    def do(root: Path) -> None:
        text = fleets.FILES[SITE].replace("lga05", name).replace("198.18.0.0/26", "198.18.0.64/26")
        text = text.replace("2001:db8:0:14::/64", "2001:db8:0:15::/64").replace("2019-01-01", "2020-06-30")
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        (root / f"config/sites/{name}.yaml").write_text(text)

    return do


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"

FOUND = [
    case("no config", remove("config"), ("config:1:1", "F01", "--root")),
    case("no sites", remove("config/sites"), ("config/sites:1:1", "F01", "folder is missing")),
    case("unknown folder", folder("config/site"), ("config/site:1:1", "F02", "none of config/'s folders")),
    case("file at the top", write("config/README.md", "x"), ("config/README.md:1:1", "F02", "none of")),
    case(
        "file in place of a folder",
        both(remove("config/acks"), write("config/acks", "x")),
        ("config/acks:1:1", "F02", "must be a folder"),
    ),
    case("stray file", write("config/sites/notes.txt", "x"), ("config/sites/notes.txt:1:1", "F02", "no *.yaml file")),
    case(".yml", write("config/sites/abc01.yml", "x"), ("config/sites/abc01.yml:1:1", "F02", "rename it to .yaml")),
    case("folder below", folder("config/sites/old"), ("config/sites/old:1:1", "F02", "move or remove")),
    case("folder named yaml", folder("config/sites/abc01.yaml"), ("config/sites/abc01.yaml:1:1", "F03", "is a folder")),
    case("FIFO", fifo("config/sites/abc01.yaml"), ("config/sites/abc01.yaml:1:1", "F03", "a pipe")),
    case(
        "link to itself",
        link("config/sites/abc01.yaml", "abc01.yaml"),
        ("config/sites/abc01.yaml:1:1", "F03", "in a circle"),
    ),
    case(
        "links in a ring",
        both(link("config/sites/abc01.yaml", "abc02.yaml"), link("config/sites/abc02.yaml", "abc01.yaml")),
        ("config/sites/abc01.yaml:1:1", "F03", "circle"),
        ("config/sites/abc02.yaml:1:1", "F03", "circle"),
    ),
    case(
        "link to nothing",
        link("config/sites/abc01.yaml", "gone.yaml"),
        ("config/sites/abc01.yaml:1:1", "F03", "link to nothing"),
    ),
    case(
        "link out of the tree",
        link("config/sites/abc01.yaml", "/etc/hostname"),
        ("config/sites/abc01.yaml:1:1", "F03", "link out of the checkout (/etc/hostname)"),
    ),
    case(
        "link to a device",
        link("config/sites/abc01.yaml", "/dev/zero"),
        ("config/sites/abc01.yaml:1:1", "F03", "out of the checkout"),
    ),
    case(
        "5 MB",
        write("config/sites/abc01.yaml", "x: " + "y" * 5_000_000),
        ("config/sites/abc01.yaml:1:1", "F04", "has 5,000,003 bytes, above the limit of 1,048,576"),
    ),
    case(
        "name with a line break",
        write("config/sites/a\nb.yaml", "x"),
        ("config/sites/a\\nb.yaml:1:1", "F02", "no *.yaml"),
    ),
]
ENCODED = [
    case(
        "latin 1",
        write(SITE, "kind: Site\nname: São\n".encode("latin-1")),
        (f"{SITE}:2:8", "Y01", "byte 0xe3 is not UTF-8"),
    ),
    case("UTF-16", write(SITE, "kind: Site\n".encode("utf-16")), (f"{SITE}:1:1", "Y01", "UTF-16")),
    case("byte order mark", prepend(SITE, b"\xef\xbb\xbf"), (f"{SITE}:1:1", "Y01", "byte order mark")),
    case("NUL", write(SITE, b"kind: Site\nname: a\0b\n"), (f"{SITE}:2:8", "Y01", "a NUL")),
    case("control character", write(SITE, b"kind: S\x1bite\n"), (f"{SITE}:1:8", "Y01", "U+001B")),
    case("line separator", write(SITE, "kind: Site\nname: a\u2028b\n"), (f"{SITE}:2:8", "Y01", "line separator")),
    case("carriage return alone", write(SITE, b"kind: Site\rname: x\n"), (f"{SITE}:1:11", "Y01", "carriage return")),
    case("surrogate", write(SITE, b"kind: \xed\xa0\x80\n"), (f"{SITE}:1:7", "Y01", "not UTF-8")),
]
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
SCHEMA = [
    case("a list", write(SITE, "- 1\n"), (f"{SITE}:1:1", "C03", "the file holds a list")),
    case("text", write(SITE, "hello\n"), (f"{SITE}:1:1", "C03", "the file holds text")),
    case("no kind", change(SITE, "kind: Site\n", ""), (f"{SITE}:2:1", "C06", "`kind` is missing")),
    case("unknown kind", change(SITE, "kind: Site", "kind: Sites"), (f"{SITE}:2:7", "C06", "did you mean `Site`?")),
    case(
        "other folder's kind",
        change(SITE, "kind: Site", "kind: Experiment"),
        (f"{SITE}:2:7", "C06", "config/experiments/"),
    ),
    case(
        "unknown key",
        change(SITE, "donated: false", "donated: false\nprobabilty: 1"),
        (f"{SITE}:7:1", "C01", "unknown key `probabilty`; did you mean `probability`?"),
    ),
    case(
        "unknown key far from all",
        change(SITE, "donated: false", "donated: false\nzzz: 1"),
        (f"{SITE}:7:1", "C01", "allowed: kind"),
    ),
    case(
        "unknown key below",
        change(SITE, "uplink: 10g}", "uplnik: 10g, uplink: 10g}"),
        (f"{SITE}:10:50", "C01", "in `transit`; did you mean `uplink`?"),
    ),
    case(
        "machine of no name", change(SITE, "  mlab4:", "  mlab5:"), (f"{SITE}:19:3", "C01", "key `mlab5` in `machines`")
    ),
    case("missing key", change(SITE, "donated: false\n", ""), (f"{SITE}:2:1", "C02", "`donated` is missing")),
    case(
        "missing key below",
        change(SITE, "asn: 64500, ", ""),
        (f"{SITE}:10:1", "C02", "`asn` is missing in `transit`; add `asn:"),
    ),
    case(
        "boolean of YAML 1.1",
        change(SITE, "donated: false", "donated: no"),
        (f"{SITE}:6:10", "C03", "`donated` must be true or false, is text: no; YAML 1.2 booleans are true and false"),
    ),
    case("number as text", change(SITE, "asn: 64500", 'asn: "64500"'), (f"{SITE}:10:43", "C03", "remove the quotes")),
    case(
        "version as number",
        change(NDT, "version: v0.24.1", "version: 1.10"),
        (f"{NDT}:14:53", "C03", 'quote it: "1.10"'),
    ),
    case(
        "list for mapping",
        change(SITE, "switch: {make: juniper, model: qfx5100-48s}", "switch: [juniper]"),
        (f"{SITE}:14:9", "C03", "must be null or a mapping, is a list"),
    ),
    case(
        "wrong choice",
        change(SITE, "uplink: 10g", "uplink: 25g"),
        (f"{SITE}:10:58", "C04", 'is "25g", not one of 1g, 10g, 40g'),
    ),
    case(
        "near choice",
        change(SITE, "type: physical", "type: phisical"),
        (f"{SITE}:4:7", "C04", "did you mean `physical`?"),
    ),
    case(
        "pattern",
        change(SITE, "country: US", "country: usa"),
        (f"{SITE}:9:60", "C04", "which does not match ^[A-Z]{2}$"),
    ),
    case(
        "no such day",
        change(SITE, "created: 2019-01-01", "created: 2019-02-30"),
        (f"{SITE}:8:37", "C04", "no valid date"),
    ),
    case(
        "not an address",
        change(VIRTUAL, "2001:db8:ffff:31cd:8000::", "2001:db8:ffff::31cd::"),
        (f"{VIRTUAL}:12:57", "C04", "IPv6 address"),
    ),
    case("prefix length", change(SITE, "198.18.0.0/26", "198.18.0.0/27"), (f"{SITE}:12:18", "C04", '"198.18.0.0/27"')),
    case(
        "octet of 256", change(SITE, "198.18.0.0/26", "198.18.256.0/26"), (f"{SITE}:12:18", "C04", '"198.18.256.0/26"')
    ),
    case(
        "latitude",
        change(SITE, "latitude: 40.775", "latitude: 140.775"),
        (f"{SITE}:9:89", "C05", "140.775, above the maximum of 90"),
    ),
    case(
        "probability 0", change(SITE, "probability: 1.0", "probability: 0"), (f"{SITE}:7:14", "C05", "must be above 0")
    ),
    case("index 13", change(NDT, "index: 2", "index: 13"), (f"{NDT}:6:8", "C05", "13, above the maximum of 12")),
    case("index 0", change(NDT, "index: 2", "index: 0"), (f"{NDT}:6:8", "C05", "0, below the minimum of 1")),
    case("port 65536", change(NDT, "port: 443", "port: 65536"), (f"{NDT}:17:27", "C05", "above the maximum of 65535")),
    case(
        "retired without date", change(SITE, "state: active", "state: retired"), (f"{SITE}:8:59", "C03", "must be text")
    ),
    case(
        "switch at a virtual site",
        change(VIRTUAL, "machines:", "switch: null\nmachines:"),
        (f"{VIRTUAL}:11:1", "C07", '`switch` is not allowed while type is "virtual"; remove it'),
    ),
    case(
        "physical without network",
        change(SITE, "type: physical", "type: physical\nnetwrk: 1"),
        (f"{SITE}:5:1", "C01", "did you mean `network`?"),
    ),
    case("latest", change(NDT, "version: v0.24.1", "version: latest"), (f"{NDT}:14:53", "C04", "which is not allowed")),
    case("twice in a set", change(NDT, "[ndt5, ndt7]", "[ndt5, ndt5]"), (f"{NDT}:20:30", "C08", 'holds "ndt5" twice')),
    case(
        "page without test",
        change(ALERTS, "    repo: ops-tracker\n    summary: The", "    summary: The"),
        (f"{ALERTS}:9:5", "C02", "`repo` is missing"),
    ),
    case(
        "mode",
        change(SANDBOX, "buckets: apply", "buckets: dry"),
        (f"{SANDBOX}:7:37", "C04", "not one of apply, plan, paused"),
    ),
]
RULES = [
    case(
        "stem",
        both(change(SITE, "name: lga05", "name: lga06")),
        (f"{SITE}:3:7", "S01", "rename the file to config/sites/lga06.yaml"),
    ),
    case("host bits", change(SITE, "198.18.0.0/26", "198.18.0.1/26"), (f"{SITE}:12:18", "S04", "write 198.18.0.0/26")),
    case(
        "host bits of IPv6",
        change(SITE, "2001:db8:0:14::/64", "2001:db8:0:14:1::/64"),
        (f"{SITE}:13:18", "S04", "host bits"),
    ),
    case("private", change(SITE, "198.18.0.0/26", "10.0.0.0/26"), (f"{SITE}:12:18", "S04", "private (RFC 1918)")),
    case(
        "overlap",
        copy_site("lga06", ("198.18.0.64/26", "198.18.0.0/26")),
        ("config/sites/lga06.yaml:12:18", "S02", "198.18.0.0/26 overlaps lga05 (198.18.0.0/26)"),
    ),
    case(
        "overlap in IPv6",
        copy_site("lga06", ("2001:db8:0:15::/64", "2001:db8::/48")),
        ("config/sites/lga06.yaml:13:18", "S02", "2001:db8::/48 overlaps lga05 (2001:db8:0:14::/64)"),
    ),
    case(
        "overlap with a virtual machine",
        copy_site("lga06", ("198.18.0.64/26", "198.19.0.64/26")),
        (f"{VIRTUAL}:12:38", "S02", "198.19.0.79 overlaps lga06 (198.19.0.64/26)"),
    ),
    case("metro", change(SITE, "metro: lga", "metro: jfk"), (f"{SITE}:9:19", "S08", "metro jfk")),
    case(
        "city of the metro",
        change(TEST_SITE, "city: New York", "city: Newark"),
        (f"{TEST_SITE}:9:30", "S08", "'Newark' differs from 'New York'"),
    ),
    case(
        "project unknown",
        change(
            SITE, "mlab1: {model: r630}", "mlab1: {model: r630, project: mlab-elsewhere, project_reason: lab machine}"
        ),
        (f"{SITE}:16:33", "S10", "belongs to no environment"),
    ),
    case(
        "index twice", change(WEHE, "index: 5", "index: 2"), (f"{WEHE}:6:8", "E01", "index 2 of wehe is already ndt's")
    ),
    case(
        "alias twice",
        change(WEHE, "index: 5", "index: 5\naliases: [ndt.iupui]"),
        (f"{WEHE}:7:11", "S01", "already a name or alias of ndt"),
    ),
    case(
        "alias like another in host names",
        both(
            change(NDT, "[ndt.iupui]", "[ndt.iupui, ndt.iupui2]"), change(WEHE, "index: 5", "index: 5\naliases: [wehe]")
        ),
        (f"{WEHE}:7:11", "S01", "already a name or alias of wehe"),
    ),
    case(
        "alert twice",
        change(ALERTS, "PlatformCluster_FewNdt", "PlatformCluster_NdtMissing"),
        (f"{ALERTS}:20:12", "A01", "already in group workloads"),
    ),
    case(
        "series that nothing records",
        change(ALERTS, "expr: deployment:up:count", "expr: deployment:down:count"),
        (f"{ALERTS}:21:11", "A01", "deployment:down:count, which no rule records"),
    ),
    case(
        "embargo of no datatype",
        change(EMBARGO, "[replay]", "[replya]"),
        (f"{EMBARGO}:4:13", "M01", "replya of replay-year does not exist"),
    ),
    case(
        "embargo twice",
        write("config/embargo/other.yaml", fleets.FILES[EMBARGO].replace("replay-year", "other")),
        (f"{EMBARGO}:4:13", "M01", "already embargoed by other"),
    ),
]
CASES = [*FOUND, *ENCODED, *SYNTAX, *SCALARS, *SCHEMA, *RULES]


@pytest.mark.parametrize("broken", CASES, ids=lambda broken: broken.name)
def test_a_broken_configuration_gives_its_lines_and_no_others(broken: Case, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    broken.breaks(root)
    problems = fleet.validate(root)
    lines = [problem.line() for problem in problems]
    assert [line.split(" ")[0:2] for line in lines] == [[f"{where}:", code] for where, code, _ in broken.problems], (
        lines
    )
    for line, (_, _, words) in zip(lines, broken.problems, strict=True):
        assert words in line
        assert "\n" not in line and len(line) < 512


def test_the_small_fleet_itself_has_no_problem(tmp_path: Path) -> None:
    assert fleet.validate(fleets.write_fleet(tmp_path)) == ()


def test_there_are_at_least_sixty_cases_with_names_of_their_own() -> None:
    assert len({broken.name for broken in CASES}) == len(CASES) >= 60
