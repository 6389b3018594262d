"""Objects that are fine, each or together, but for a rule."""

from __future__ import annotations

from tests import fleets
from tests.load.breaking import (
    ALERTS,
    EMBARGO,
    NDT,
    SITE,
    TEST_SITE,
    VIRTUAL,
    WEHE,
    both,
    case,
    change,
    copy_site,
    write,
)

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
        "project without a reason",
        change(SITE, "mlab1: {model: r630}", "mlab1: {model: r630, project: mlab-sandbox}"),
        (f"{SITE}:16:33", "S10", "add project_reason"),
    ),
    case(
        "quotation mark in a text",
        change(SITE, "provider: Example Transit", "provider: '\"Example Transit'"),
        (f"{SITE}:10:21", "S15", "begins or ends with a quotation mark"),
    ),
    case(
        "machine without model",
        change(SITE, "mlab1: {model: r630}", "mlab1: {iface: null}"),
        (f"{SITE}:16:3", "S16", "mlab1 of lga05 has no model and iface"),
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
        (f"{ALERTS}:37:12", "A01", "already in group workloads"),
    ),
    case(
        "series that nothing records",
        change(ALERTS, "expr: deployment:up:count", "expr: deployment:down:count"),
        (f"{ALERTS}:38:11", "A01", "deployment:down:count, which no rule records"),
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
