"""The door to jsonnet: values, places of errors, what may be imported, and a cache that never changes a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Span
from reconcilers.load import jsonnet
from reconcilers.load.cache import Cache
from reconcilers.load.jsonnet import Engine

SOURCE = Span("config/experiments/ndt.yaml", 3, 1)
FILES = {
    "kubernetes/pod.jsonnet": """
local container = import 'lib/container.libsonnet';
local names = import '../lib/names.libsonnet';
function(document) { containers: [container.of(document)], name: names.of(document.name) }
""",
    "lib/container.libsonnet": """
local names = import 'names.libsonnet';
// import 'not-there.libsonnet' stands in a comment only
{ of(document):: { name: names.of(document.name), note: importstr 'note.txt' } }
""",
    "lib/names.libsonnet": """
{
  of(name)::
    assert std.length(name) < 10 : 'pod.name: at most 9 characters, not ' + std.length(name);
    if name == 'zap' then {}.zap else 'x-' + name,
}
""",
    "lib/note.txt": "a note that says import 'nothing'\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "jsonnet"
    for name, text in FILES.items():
        write(folder, name, text)
    return folder


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def pod(name: str) -> dict[str, Any]:
    return {"containers": [{"name": f"x-{name}", "note": FILES["lib/note.txt"]}], "name": f"x-{name}"}


def test_a_file_is_a_function_of_the_document(root: Path) -> None:
    assert Engine(root, None).evaluate("kubernetes/pod.jsonnet", {"name": "ndt"}, source=SOURCE) == pod("ndt")


@pytest.mark.parametrize(
    "document",
    [{}, {"a": [1, -2.5, 2**53, 0.1, None, True, 'é \U0001f600 "\\\n ${x} %s {{VERSION}}']}, {"a.b": {"c d": {}}}],
)
def test_a_document_arrives_as_it_was(root: Path, document: dict[str, Any]) -> None:
    write(root, "same.jsonnet", "function(document) document")
    assert Engine(root, None).evaluate("same.jsonnet", document, source=SOURCE) == document


def failure(root: Path, path: str, document: dict[str, Any] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        Engine(root, None).evaluate(path, document or {}, source=SOURCE)
    return refused.value


def test_an_error_names_our_frames_and_the_yaml_line_behind_them(root: Path) -> None:
    error = failure(root, "kubernetes/pod.jsonnet", {"name": "much-too-long"})
    assert str(error) == (
        "jsonnet/lib/names.libsonnet:4:12: assert failed: pod.name: at most 9 characters, not 13; "
        "called at jsonnet/lib/container.libsonnet:4:26; while rendering config/experiments/ndt.yaml:3:1"
    )
    (problem,) = error.problems
    assert (problem.code, problem.name) == ("J01", "jsonnet.evaluate")
    assert problem.span == Span("jsonnet/lib/names.libsonnet", 4, 12)
    assert [span for span, _ in problem.related] == [Span("jsonnet/lib/container.libsonnet", 4, 26)]
    assert "config/experiments/ndt.yaml:3:1" in problem.message


def test_at_most_three_frames_are_shown(root: Path) -> None:
    write(
        root, "deep.jsonnet", "local f(n) = if n == 0 then error 'the end' else f(n - 1) + 1;\nfunction(document) f(20)"
    )
    error = failure(root, "deep.jsonnet")
    assert str(error).count("jsonnet/deep.jsonnet:") == 3
    assert len(error.problems[0].related) == 2


BROKEN = {
    "syntax": ("function(document) {\n  a: }", "2:6", "syntax error"),
    "no function": ("{ a: 1 }", "", "only functions can be called"),
    "another parameter": ("function(params) 1", "", "document"),
    "missing field": ("function(document)\n  document.absent", "2:11", "no such field: absent"),
    "error": ("function(document)\n  error 'no: ' + document.x", "2:3", "no: 1"),
    "several lines": ("function(document) error 'one\\ntwo'", "1:20", "one"),
    "missing import": ("function(document)\n  import 'lib/gone.libsonnet'", "2:10", "no file below"),
    "absolute import": ("function(document) import '/etc/passwd'", "1:27", "/etc/passwd is no file below"),
    "absolute text": ("function(document) importstr '/etc/passwd'", "1:30", "/etc/passwd is no file below"),
    "absolute bytes": ("function(document) importbin '/etc/passwd'", "1:30", "/etc/passwd is no file below"),
    "import above": ("function(document) importstr '../secret.txt'", "1:30", "../secret.txt is no file below"),
    "import round about": ("function(document) importstr 'lib/../../secret.txt'", "1:30", "is no file below"),
    "import through a link": ("function(document) importstr 'link/secret.txt'", "1:30", "is no file below"),
    "a folder": ("function(document) importstr 'lib'", "1:30", "lib is no file below"),
    "endless": ("local f(x) = f(x) + 1;\nfunction(document) f(1)", "1:14", "stack overflow"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line_with_its_place(root: Path, case: str) -> None:
    text, place, message = BROKEN[case]
    (root.parent / "secret.txt").write_text("do not read me")
    (root / "link").symlink_to(root.parent)
    write(root, "broken.jsonnet", text)
    error = failure(root, "broken.jsonnet", {"x": "1"})
    expected = f"jsonnet/broken.jsonnet:{place}: " if place else "jsonnet/broken.jsonnet: "
    assert str(error).startswith(expected)
    assert message in str(error)
    assert "do not read me" not in str(error)
    assert "root:" not in str(error)
    assert "\n" not in str(error)
    assert "\n" not in error.problems[0].message


@pytest.mark.parametrize("path", ["gone.jsonnet", "../jsonnet/kubernetes/pod.jsonnet", "/etc/passwd", "lib"])
def test_an_entry_outside_or_absent_is_refused_at_the_yaml_line(root: Path, path: str) -> None:
    error = failure(root, path)
    assert str(error).startswith("config/experiments/ndt.yaml:3:1: ")
    assert "--root" in str(error)
    assert error.problems[0].span == SOURCE


def stored(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("??/*.json") if path.is_file())


def test_the_cache_is_used_and_gives_the_same_value(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"name": "ndt", "list": [0.1, 1e21, "é"]}
    plain = Engine(root, None).evaluate("kubernetes/pod.jsonnet", document, source=SOURCE)
    first = Engine(root, Cache(tmp_path / "c")).evaluate("kubernetes/pod.jsonnet", document, source=SOURCE)
    monkeypatch.setattr("reconcilers.load.jsonnet.rjsonnet.evaluate_snippet", None)
    second = Engine(root, Cache(tmp_path / "c")).evaluate("kubernetes/pod.jsonnet", document, source=SOURCE)
    assert json.dumps(plain) == json.dumps(first) == json.dumps(second)


def test_the_order_of_a_documents_keys_makes_no_new_entry(root: Path, tmp_path: Path) -> None:
    write(root, "same.jsonnet", "function(document) document")
    engine = Engine(root, Cache(tmp_path / "c"))
    engine.evaluate("same.jsonnet", {"a": 1, "b": 2}, source=SOURCE)
    engine.evaluate("same.jsonnet", {"b": 2, "a": 1}, source=SOURCE)
    assert len(stored(tmp_path / "c")) == 1


@pytest.mark.parametrize("name", [*FILES, "document"])
def test_whatever_goes_into_a_result_makes_a_new_one(root: Path, tmp_path: Path, name: str) -> None:
    document = {"name": "ndt"}
    Engine(root, Cache(tmp_path / "c")).evaluate("kubernetes/pod.jsonnet", document, source=SOURCE)
    if name == "document":
        document["name"] = "msak"
    else:
        changed = FILES[name].replace("x-", "y-").replace("a note", "another").replace("name:", "named:")
        assert changed != FILES[name]
        write(root, name, changed)
    after = Engine(root, Cache(tmp_path / "c")).evaluate("kubernetes/pod.jsonnet", document, source=SOURCE)
    assert after == Engine(root, None).evaluate("kubernetes/pod.jsonnet", document, source=SOURCE)
    assert after != pod("ndt")
    assert len(stored(tmp_path / "c")) == 2


def test_one_engine_sees_a_file_that_changes_under_it(root: Path, tmp_path: Path) -> None:
    engine = Engine(root, Cache(tmp_path / "c"))
    engine.evaluate("kubernetes/pod.jsonnet", {"name": "ndt"}, source=SOURCE)
    write(root, "lib/note.txt", "new text of another length")
    after = engine.evaluate("kubernetes/pod.jsonnet", {"name": "ndt"}, source=SOURCE)
    assert after["containers"][0]["note"] == "new text of another length"


def test_a_file_that_appears_beside_the_importing_one_takes_its_place(root: Path, tmp_path: Path) -> None:
    engine = Engine(root, Cache(tmp_path / "c"))
    engine.evaluate("kubernetes/pod.jsonnet", {"name": "ndt"}, source=SOURCE)
    write(root, "kubernetes/lib/container.libsonnet", "{ of(document):: 'nearer' }")
    after = engine.evaluate("kubernetes/pod.jsonnet", {"name": "ndt"}, source=SOURCE)
    assert after["containers"] == ["nearer"]


def test_an_error_is_never_kept(root: Path, tmp_path: Path) -> None:
    engine = Engine(root, Cache(tmp_path / "c"))
    with pytest.raises(ConfigError):
        engine.evaluate("kubernetes/pod.jsonnet", {"name": "zap"}, source=SOURCE)
    assert stored(tmp_path / "c") == []


@pytest.mark.parametrize("damage", [b"", b"{}", b"0" * 64 + b"\n{}"])
def test_a_damaged_entry_is_rendered_again(root: Path, tmp_path: Path, damage: bytes) -> None:
    for _ in range(2):
        engine = Engine(root, Cache(tmp_path / "c"))
        assert engine.evaluate("kubernetes/pod.jsonnet", {"name": "ndt"}, source=SOURCE) == pod("ndt")
        stored(tmp_path / "c")[0].write_bytes(damage)


def test_another_renderer_version_does_not_read_our_entries(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Engine(root, Cache(tmp_path / "c")).evaluate("kubernetes/pod.jsonnet", {"name": "ndt"}, source=SOURCE)
    monkeypatch.setattr(jsonnet, "RENDERER", "other")
    Engine(root, Cache(tmp_path / "c")).evaluate("kubernetes/pod.jsonnet", {"name": "ndt"}, source=SOURCE)
    assert len(stored(tmp_path / "c")) == 2


IMPORTS = {
    "import 'a'": ["a"],
    'importstr "a b"': ["a b"],
    "importbin @'a'": ["a"],
    "import\n  'a'": ["a"],
    "import /* why */ 'a'": ["a"],
    "import // why\n 'a'": ["a"],
    "import # why\n 'a'": ["a"],
    "(import'a')+import\"b\"": ["a", "b"],
    "important 'a'": [],
    "{ 'import': 1 }": [],
}


@pytest.mark.parametrize("text", IMPORTS)
def test_imports_are_found_without_evaluating(root: Path, text: str) -> None:
    write(root, "some.libsonnet", text)
    file = Engine(root, None)._read("some.libsonnet")
    assert file is not None
    assert list(file.imports) == IMPORTS[text]


def test_files_of_others_are_inspected_with_their_external_variables_and_named_as_they_call_themselves(
    tmp_path: Path,
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/base.libsonnet").write_text("{ version: std.extVar('version'), size: error 'no size' }")
    (tmp_path / "good.jsonnet").write_text("(import 'lib/base.libsonnet') { size: 2, hidden:: 3 }")
    (tmp_path / "bad.jsonnet").write_text("(import 'lib/base.libsonnet') { hidden:: 3 }")
    engine = Engine(tmp_path, None, shown="theirs")
    call = "function(value) value { shown: value.hidden + 1 }"
    found = engine.inspect("good.jsonnet", call, {"version": "v2"}, source=Span("theirs/good.jsonnet"))
    assert found == {"version": "v2", "size": 2, "shown": 4}
    with pytest.raises(ConfigError, match=r"^theirs/lib/base.libsonnet:1:41: no size"):
        engine.inspect("bad.jsonnet", call, {"version": "v2"}, source=Span("theirs/bad.jsonnet"))
    with pytest.raises(ConfigError, match=r"theirs/none.jsonnet is not a text file"):
        engine.inspect("none.jsonnet", call, {}, source=Span("theirs/none.jsonnet"))
