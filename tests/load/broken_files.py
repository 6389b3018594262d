"""Files and folders that cannot be read: missing, out of place, no files, too large, of another encoding."""

from __future__ import annotations

from tests.load.breaking import SITE, both, case, fifo, folder, link, prepend, remove, write

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
