"""Objects that their schema does not permit."""

from __future__ import annotations

from tests.load.breaking import ALERTS, NDT, SANDBOX, SITE, VIRTUAL, case, change, write

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
        "planned with a day of retirement",
        change(
            SITE,
            "state: active, created: 2019-01-01, retired: null",
            "state: planned, created: 2019-01-01, retired: 2025-01-01",
        ),
        (f"{SITE}:8:59", "C03", 'must be null, is text: 2025-01-01 while lifecycle.state is "planned"'),
    ),
    case(
        "continent that is none",
        change(SITE, "continent: NA", "continent: XX"),
        (f"{SITE}:9:75", "C04", 'not one of AF, AN, AS, EU, NA, OC, SA, ""'),
    ),
    case(
        "blank continent of an active site",
        change(SITE, "continent: NA", 'continent: ""'),
        (f"{SITE}:9:75", "C07", 'SA while lifecycle.state is "active"'),
    ),
    case(
        "blank state of an active site",
        change(SITE, "state: NY", 'state: ""'),
        (f"{SITE}:9:47", "C05", "0 characters, below the limit of 2"),
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
    case("twice in a set", change(NDT, "[ndt5, ndt7]", "[ndt5, ndt5]"), (f"{NDT}:22:30", "C08", 'holds "ndt5" twice')),
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
