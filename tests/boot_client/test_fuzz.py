"""Whatever bytes come, the client ends in a result or in one line: no other exception, no endless loop.

A few seconds here; `MLAB_NIGHTLY=1` draws a thousand times as many.
"""

from __future__ import annotations

import json
import os
import shlex
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.boot import cmdline, der, document, evaluate, join, labels, network, redact, template, words
from node.boot.errors import BadDocument, BootError

NIGHTLY = bool(os.environ.get("MLAB_NIGHTLY"))
cases = settings(
    max_examples=100_000 if NIGHTLY else 100,
    derandomize=not NIGHTLY,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
PIECES = ("{{", "}}", "kargs ", "`", '"', ".vars.a", ".files.f.name", "|", "(", ")", "\\", "- ", " -", "/*", "*/", "if",
          "#", "'", " ", "\n", "a", "é", "\x00", "{{kargs `a`}}", "{{.vars.a}}")  # fmt: skip
texts = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts)
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
urls = st.sampled_from(("https://h.test/f", "{{kargs `a`}}", "")) | texts
near = st.fixed_dictionaries(
    {},
    optional={
        "kargs": st.dictionaries(texts, texts, max_size=2) | anything,
        "v1": st.fixed_dictionaries(
            {},
            optional={
                "chain": urls | anything,
                "vars": st.dictionaries(texts, texts | st.lists(texts, max_size=3), max_size=3) | anything,
                "files": st.dictionaries(
                    texts, st.fixed_dictionaries({"url": urls}, optional={"sha256": texts}), max_size=3
                ),
                "env": st.dictionaries(texts, texts, max_size=3) | anything,
                "commands": st.lists(texts | st.lists(texts, max_size=4) | anything, max_size=4),
            },
        )
        | anything,
    },
)
kargs = st.dictionaries(st.sampled_from(("a", "b", "epoxy.ip")), texts, max_size=3)


def check(body: bytes, line: dict[str, str]) -> None:
    try:
        doc = document.parse(body, "doc")
        made = evaluate.variables(doc, line)
        wanted = evaluate.files(doc, line, made)
        names = evaluate.data(made, wanted, lambda one: f"/f/{one.name}")
        env = evaluate.environment(doc, line, names)
        run = evaluate.commands(doc, line, names)
    except BadDocument as error:
        assert str(error)
        return
    assert all(command and all(isinstance(word, str) for word in command) for command in run)
    shown = redact.document(evaluate.evaluated(line, names, env, run), redact.redactor(redact.secrets(line)))
    json.loads(shown)


@cases
@given(near | anything, kargs)
def test_any_document_is_evaluated_or_refused(value: Any, line: dict[str, str]) -> None:
    check(json.dumps(value).encode(), line)


@cases
@given(st.binary(max_size=200), kargs)
def test_any_bytes_are_a_document_or_refused(body: bytes, line: dict[str, str]) -> None:
    check(body, line)


@cases
@given(texts)
def test_any_command_line_is_read(text: str) -> None:
    found = cmdline.parse(text)
    for key, value in found.items():
        assert "=" not in key and " " not in key + value
    for check_one in (lambda: labels.of(found, ["x"]), lambda: network.family({"epoxy.ipv4": text}, "epoxy.ipv4")):
        try:
            check_one()
        except BootError:
            pass
    labels.managed({"epoxy.ipv4": text})
    assert redact.redactor(redact.secrets({"a": "https://h/" + text}))(text) is not None


@cases
@given(st.dictionaries(st.text("abc.=", min_size=1).filter(lambda key: "=" not in key), st.text("xyz=,/:", max_size=9)))
def test_a_command_line_that_was_written_is_read_back(found: dict[str, str]) -> None:
    assert cmdline.parse(" ".join(f"{key}={value}" for key, value in found.items())) == found


@cases
@given(st.lists(st.text(max_size=10).filter(lambda text: "\x00" not in text), max_size=5))
def test_words_that_were_quoted_come_back_as_they_were(line: list[str]) -> None:
    assert words.split(" ".join(shlex.quote(word) for word in line)) == line


@cases
@given(st.text(max_size=40).filter(lambda text: "{{" not in text and not text.endswith("{")))
def test_a_text_without_actions_stays_as_it_is(text: str) -> None:
    assert template.render(text, {}, {}) == text
    assert template.render(text + "{{kargs `a`}}", {"a": "{{x}}"}, {}) == text + "{{x}}"


@cases
@given(st.binary(max_size=80))
def test_no_bytes_break_the_reader_of_certificates_or_of_the_extensions_answer(body: bytes) -> None:
    try:
        der._key(body)
    except ValueError:
        pass
    for read in (join.credentials, join.configuration):
        try:
            read(body)
        except BadDocument as error:
            assert "Traceback" not in str(error)
