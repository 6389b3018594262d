"""Command lines, templates, commands and documents: what they mean, with documents of the original's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node.boot import cmdline, document, evaluate, template, words
from node.boot.errors import BadDocument

KARGS = {
    "epoxy.hostname": "mlab1-lga0t.mlab-sandbox.measurement-lab.test",
    "epoxy.project": "mlab-sandbox",
    "epoxy.images_version": "v2.1.10",
    "epoxy.ipv4": "192.0.2.9/26,192.0.2.1,192.0.2.2,192.0.2.3",
    "epoxy.report": "https://s.test/r?a=b=c",
}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("quiet", {"quiet": ""}),
        ("quiet \n", {"quiet": ""}),
        ("a=1 b=2", {"a": "1", "b": "2"}),
        ("a=1 a=2", {"a": "2"}),
        ("epoxy.ip=::x:y=z", {"epoxy.ip": "::x:y=z"}),
        ("u=https://h/p?q=1&r=2", {"u": "https://h/p?q=1&r=2"}),
        ("epoxy.ipv6= epoxy.ipv4=1", {"epoxy.ipv6": "", "epoxy.ipv4": "1"}),
        ("a=1  b=2", {"a": "1", "b": "2"}),
        ('a="1 b"', {"a": '"1', 'b"': ""}),
        ("=x", {"": "x"}),
    ],
)
def test_a_command_line_is_split_at_blanks_and_each_word_at_its_first_equals(
    line: str, expected: dict[str, str]
) -> None:
    assert cmdline.parse(line) == expected


def test_keys_of_a_document_never_replace_those_of_the_command_line() -> None:
    assert cmdline.merged({"a": "", "b": "2"}, {"a": "1", "c": "3"}) == {"a": "", "b": "2", "c": "3"}


DATA = {"vars": {"args": "a b"}, "files": {"k": {"name": "/tmp/k", "url": "https://h/k", "sha256": "0a"}}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain } { text", "plain } { text"),
        ("{{kargs `epoxy.project`}}", "mlab-sandbox"),
        ('{{ kargs "epoxy.project" }}', "mlab-sandbox"),
        ("{{kargs `missing`}}", ""),
        ("{{.vars.args}}", "a b"),
        ("{{.files.k.name}} {{.files.k.url}} {{.files.k.sha256}}", "/tmp/k https://h/k 0a"),
        ("{{.vars.nothing}}", "<no value>"),
        ("{{.files.nothing.name}}", "<no value>"),
        ("{{.nothing}}", "<no value>"),
        ("x {{- kargs `epoxy.project` -}} y", "xmlab-sandboxy"),
        ("x {{/* a comment */}} y", "x  y"),
        ("x {{- /* a comment */ -}} y", "xy"),
        ('{{"a\\tb\\u00e9\\x41"}}', "a\tbéA"),
        ("{{`raw \\t`}}", "raw \\t"),
        ('{{"epoxy.project" | kargs}}', "mlab-sandbox"),
        ("{{kargs (`epoxy.project`)}}", "mlab-sandbox"),
        ('{{kargs ("epoxy.project" | kargs)}}', ""),
    ],
)
def test_a_template_renders_as_go_would(text: str, expected: str) -> None:
    assert template.render(text, KARGS, DATA) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{",
        "{{}}",
        "{{kargs}}",
        "{{kargs `a` `b`}}",
        "{{kargs `a}}",
        '{{"a}}',
        '{{"\\q"}}',
        "{{if .vars.args}}x{{end}}",
        "{{range .vars}}{{end}}",
        "{{printf `%s` `x`}}",
        "{{.}}",
        "{{.vars}}",
        "{{.vars.args.more}}",
        "{{$x}}",
        "{{.vars.args | printf}}",
        "{{kargs (`a`}}",
        "{{/* open }}",
        "{{" + "(" * 50 + "`a`" + ")" * 50 + "}}",
    ],
)
def test_what_a_template_cannot_do_is_named_and_ends_the_run(text: str) -> None:
    with pytest.raises(BadDocument, match="template"):
        template.render(text, KARGS, DATA)


def test_a_value_that_looks_like_a_template_is_not_evaluated_again() -> None:
    kargs = {"a": "{{kargs `other`}}", "other": "s3cret"}
    doc = document.parse(
        json.dumps({"v1": {"commands": ["echo {{kargs `a`}}", ["echo", "{{kargs `a`}}"]]}}).encode(), "d"
    )
    run = evaluate.commands(doc, kargs, {"vars": {}, "files": {}})
    assert run == [["echo", "{{kargs", "`other`}}"], ["echo", "{{kargs `other`}}"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \t\n", []),
        ("# comment", []),
        ("a b\tc\nd", ["a", "b", "c", "d"]),
        ("a # rest", ["a"]),
        ("a # rest\nb", ["a", "b"]),
        ("a#b", ["a#b"]),
        ("http://h/#part", ["http://h/#part"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        ("a'b c'd", ["ab cd"]),
        ("''", [""]),
        ('a "" b', ["a", "", "b"]),
        ("a\\ b", ["a b"]),
        ('"a\\"b\\x"', ['a"bx']),
        ("'a\\b'", ["a\\b"]),
        ("$HOME *;|&", ["$HOME", "*;|&"]),
    ],
)
def test_a_command_is_split_as_the_original_does_and_nothing_is_expanded(text: str, expected: list[str]) -> None:
    assert words.split(text) == expected


@pytest.mark.parametrize("text", ["'a", '"a', "a\\", '"a\\'])
def test_an_open_quote_is_an_error(text: str) -> None:
    with pytest.raises(BadDocument, match="command"):
        words.split(text)


def parsed(value: Any) -> document.Document:
    return document.parse(json.dumps(value).encode(), "doc")


def test_a_chain_makes_everything_else_unimportant() -> None:
    made = parsed({"kargs": {"a": "b"}, "v1": {"chain": "https://h/n", "vars": 5, "files": {"x": {}}, "commands": 3}})
    assert (made.chain, made.vars, made.files, made.commands) == ("https://h/n", {}, {}, ())
    assert made.kargs == {"a": "b"}


def test_an_empty_v1_is_a_document_that_does_nothing() -> None:
    assert parsed({"v1": {}}) == document.Document({}, "", "", {}, {}, {}, ())
    assert parsed({"v1": {}, "v2": [1], "more": None}).commands == ()


def test_words_of_a_list_are_texts_and_other_elements_are_left_out() -> None:
    made = parsed({"v1": {"commands": ["a b", ["#", 1, True, 1000000, 1.5], 7, None, {"a": 1}, []]}})
    assert made.commands == ("a b", ("#", "1", "true", "1000000", "1.5"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "no v1"),
        ({"v1": None}, "no v1"),
        ([], "not an object"),
        ({"v1": []}, "v1: a list is not an object"),
        ({"v1": {"chain": 5}}, "v1.chain"),
        ({"v1": {"chain": "u", "chain_sha256": "xyz"}}, "64 hexadecimal"),
        ({"kargs": {"a": 5}, "v1": {}}, "kargs.a"),
        ({"v1": {"vars": {"a": 5}}}, "unsupported type: a number"),
        ({"v1": {"vars": {"a": {"b": "c"}}}}, "unsupported type: an object"),
        ({"v1": {"vars": {"a": ["b", 1]}}}, "unsupported type: a list"),
        ({"v1": {"files": {"a": {}}}}, "URL key not found in file spec"),
        ({"v1": {"files": {"a": {"url": "u", "sha256": "abc"}}}}, "64 hexadecimal digits"),
        ({"v1": {"files": {"a": {"url": 5}}}}, "v1.files.a.url"),
        ({"v1": {"env": {"a": None}}}, "v1.env.a"),
        ({"v1": {"commands": {}}}, "v1.commands"),
        ({"v1": {"commands": [["a", None]]}}, "null is not a word"),
    ],
)
def test_a_wrong_document_is_refused_with_the_place_of_the_mistake(value: Any, message: str) -> None:
    with pytest.raises(BadDocument, match=r"^doc: ") as error:
        parsed(value)
    assert message in str(error.value)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b" " * (document.MAX_BYTES + 1)])
def test_bytes_that_are_no_document_are_refused(body: bytes) -> None:
    with pytest.raises(BadDocument):
        document.parse(body, "doc")


ORIGINAL_STAGE2TO3 = {
    "v1": {
        "env": {"PATH": "/bin:/usr/bin:/usr/local/bin"},
        "files": {
            "vmlinuz": {
                "url": "https://h.test/epoxy-{{kargs `epoxy.project`}}/{{kargs `epoxy.images_version`}}/vmlinuz"
            },
            "initram": {
                "url": "https://h.test/epoxy-{{kargs `epoxy.project`}}/{{kargs `epoxy.images_version`}}/initram"
            },
        },
        "vars": {
            "kargs": ["epoxy.ipv4={{kargs `epoxy.ipv4`}}", "epoxy.ipv6={{kargs `epoxy.ipv6`}}"],
            "cmdline": "net.ifnames=0 autoconf=0",
        },
        "commands": [
            "# Change to the next kernel.",
            [
                *("/sbin/kexec", "--force", "--command-line={{.vars.kargs}} {{.vars.cmdline}}"),
                *("--initrd", "{{.files.initram.name}}", "{{.files.vmlinuz.name}}"),
            ],
        ],
    }
}
"""In the form of the public platform's documents: a list of kargs as one variable, a comment, one command as a list."""
ORIGINAL_POST = {
    "v1": {
        "files": {"setup": {"url": "https://h.test/{{kargs `epoxy.project`}}/setup.sh"}},
        "commands": [
            "/usr/bin/chmod 755 {{.files.setup.name}}",
            "{{.files.setup.name}} {{kargs `epoxy.project`}} {{kargs `epoxy.ipv4`}} {{kargs `epoxy.missing`}}",
        ],
    }
}


@pytest.mark.parametrize(
    ("value", "urls", "commands"),
    [
        (
            ORIGINAL_STAGE2TO3,
            [
                "https://h.test/epoxy-mlab-sandbox/v2.1.10/initram",
                "https://h.test/epoxy-mlab-sandbox/v2.1.10/vmlinuz",
            ],
            [
                [
                    "/sbin/kexec",
                    "--force",
                    "--command-line=epoxy.ipv4=192.0.2.9/26,192.0.2.1,192.0.2.2,192.0.2.3 epoxy.ipv6= "
                    "net.ifnames=0 autoconf=0",
                    "--initrd",
                    "/f/initram",
                    "/f/vmlinuz",
                ]
            ],
        ),
        (
            ORIGINAL_POST,
            ["https://h.test/mlab-sandbox/setup.sh"],
            [
                ["/usr/bin/chmod", "755", "/f/setup"],
                ["/f/setup", "mlab-sandbox", "192.0.2.9/26,192.0.2.1,192.0.2.2,192.0.2.3"],
            ],
        ),
    ],
)
def test_documents_of_the_public_platform_mean_the_same(value: Any, urls: list[str], commands: list[list[str]]) -> None:
    doc = parsed(value)
    made = evaluate.variables(doc, KARGS)
    wanted = evaluate.files(doc, KARGS, made)
    assert [one.url for one in wanted] == urls
    names = evaluate.data(made, wanted, lambda one: f"/f/{one.name}")
    assert evaluate.commands(doc, KARGS, names) == commands


@pytest.mark.parametrize("flag", ["--command-line", "--append"])
def test_a_command_line_that_the_kernel_would_cut_is_refused(flag: str) -> None:
    doc = parsed({"v1": {"commands": [["kexec", flag + "=a {{kargs `a`}}"]]}})
    names: dict[str, dict[str, str]] = {"vars": {}, "files": {}}
    assert len(evaluate.commands(doc, {"a": "x" * 2045}, names)[0][1].partition("=")[2]) == 2047
    with pytest.raises(BadDocument, match="2048 bytes: the kernel takes 2047"):
        evaluate.commands(doc, {"a": "x" * 2046}, names)


def test_variables_do_not_see_each_other() -> None:
    doc = parsed({"v1": {"vars": {"a": "x", "b": "{{.vars.a}}"}}})
    assert evaluate.variables(doc, {}) == {"a": "x", "b": "<no value>"}


RECORDED = json.loads((Path(__file__).parent / "go_answers.json").read_text())
"""What Go's own template language and the original's word splitter said to random texts; null where they refused."""


@pytest.mark.parametrize(("text", "expected"), RECORDED["templates"])
def test_random_templates_render_as_they_did_in_go(text: str, expected: str | None) -> None:
    if expected is not None:
        assert template.render(text, RECORDED["kargs"], RECORDED["data"]) == expected
    else:
        with pytest.raises(BadDocument):
            template.render(text, RECORDED["kargs"], RECORDED["data"])


@pytest.mark.parametrize(("text", "expected"), RECORDED["commands"])
def test_random_commands_are_split_as_they_were_by_the_originals_splitter(
    text: str, expected: list[str] | None
) -> None:
    if expected is not None:
        assert words.split(text) == expected
    else:
        with pytest.raises(BadDocument):
            words.split(text)
