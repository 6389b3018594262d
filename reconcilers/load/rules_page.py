"""`docs/rules.md`: every rule in the words of `mlab explain`, as a page to read and to link to."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from reconcilers.fleet import rules
from reconcilers.fleet.rules.rule import Rule
from reconcilers.load import codes
from reconcilers.load.explain import facts

_HEAD = """\
# Rules of the configuration

Generated from the rules themselves by `make fmt` (`mlab explain --page docs/rules.md`); edit them there.

`mlab validate` finds every problem in one run, layer by layer: files, YAML, schema, one object, between objects, with
the past. What fails a layer is left out of the next, so that one typing error is one problem. A problem has the place
that has to change, the rule's code and name, what is wrong with which value, and the next step:

    config/sites/lga06.yaml:24:13: S02 site.prefix-overlap: 198.18.4.64/26 overlaps lga05 (198.18.4.64/26); give one …

`-v` adds the line with the value underlined, related places and the remedy; `--json` gives severity, id, code, message,
file, range, related, hint and error_from; `--format github` makes annotations of a pull request. `mlab explain S02`
prints what stands here and what the fleet at hand leaves free: prefixes, indexes, names.

## Severity

Only an error makes a configuration invalid (exit 5). A new rule is a warning until a day, which the warning names. A
note says what was not checked.

## Breaking a rule with a reason

A file may say that a rule does not apply to it, in the file at which the problem is shown:

    allow:
      - {rule: S10, reason: 40g laboratory machine}

It holds for that file and that rule. An entry for a rule that the file keeps is an error itself (W01), so that nobody
inherits permissions that mean nothing.

## Rules that ask git

Some rules compare with the past: a name that was another site's, a site that was not drained, an index that has not
rested, an embargo whose record is gone. They read the history of the main line, each merge as one step. In a tarball or
a shallow or partial clone they are not checked; one note names them and the exit status stays what it is. Workflows
fetch the full history.

One `git log` over three folders is all that they need of history, kept by the id of the commit that is checked out;
of old versions they read only those that a rule depends on. For the fleet of 164 sites that is some 0.15 s of
processor time, 0.12 of them for starting git's library; 5,000 commits add 0.25 s once for each commit.
"""
_SUBJECTS = (
    ("Sites", "S"),
    ("Experiments", "E"),
    ("Alerts", "A"),
    ("Embargo and components", "M"),
    ("Zones", "Z"),
    ("Allowing", "W"),
)
_LAYERS = (
    ("Files", "F"),
    ("YAML", "Y"),
    ("Schema", "C"),
    ("History", "G"),
    ("Jsonnet", "J"),
    ("Rendering", "R"),
    ("DNS zones", "D"),
    ("Imports", "I"),
    ("Hooks", "H"),
)


def page() -> str:
    """The whole page, ending in one line feed."""
    lines = [_HEAD]
    for title, letter in _SUBJECTS:
        lines += _section(title, (rule for rule in rules.ALL if rule.code.startswith(letter)))
    lines += ["# Problems before and after the rules", "", "None of them can be allowed.", ""]
    rest = {code.code[0] for code in codes.ALL} - {letter for _, letter in _LAYERS}
    for title, letter in (*_LAYERS, *(("Others", letter) for letter in sorted(rest))):
        lines += _section(title, (code for code in codes.ALL if code.code.startswith(letter)))
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, items: Iterable[Rule | codes.Code]) -> Iterator[str]:
    yield from (f"## {title}", "")
    for item in sorted(items, key=lambda item: item.code):
        yield from (f"### {item.code} {item.name}", "", f"{item.summary[0].upper()}{item.summary[1:]}.", "")
        yield from (_wrapped(item.text), "")
        more = [fact for fact in facts(item) if not fact.startswith("A file may")]
        if more:
            yield from (_wrapped(" ".join(more)), "")


def _wrapped(text: str) -> str:
    return textwrap.fill(_quoted(text), 120, break_long_words=False, break_on_hyphens=False)


def _quoted(text: str) -> str:
    """Characters that Markdown would take for marks, as they are: texts of rules are plain."""
    return text.replace("<", "&lt;").replace("*", "\\*")
