"""The command line as an argument parser; verbs are imported only when they run, so that `validate` starts quickly."""

from __future__ import annotations

import argparse

ENVIRONMENTS_HELP = "an environment of config/environments/ (repeatable; default: all)"


def parser() -> argparse.ArgumentParser:
    """All verbs with their flags."""
    made = argparse.ArgumentParser(
        prog="mlab",
        description="One desired state in git, one plan, applied to a measurement fleet.",
        epilog="Exit: 0 nothing to do or done, 1 usage or internal error, 2 changes pending, 3 refused, "
        "4 incomplete, 5 invalid configuration, 130 interrupted.",
    )
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB")

    verb = _verb(verbs, "validate", "check everything under config/ and report all problems")
    verb.add_argument("-v", "--verbose", action="store_true", help="show the lines of each problem")
    verb.add_argument("--format", choices=("text", "json", "github"), default="text")
    verb.add_argument("paths", nargs="*", metavar="FILE", help="report problems of these files only")

    verb = _verb(verbs, "fmt", "format the YAML of config/")
    verb.add_argument("--check", action="store_true", help="change nothing; exit 5 if something would change")
    verb.add_argument("paths", nargs="*", metavar="FILE")

    verb = _verb(verbs, "render", "print what git wants at each target, without contacting any")
    _selection(verb)
    verb.add_argument("--against", metavar="ENV", help="show how it differs from this environment")
    verb.add_argument("--out", metavar="DIR", help="write one file a resource into a folder")

    verb = _verb(verbs, "plan", "show what an apply would change; writes nothing")
    _selection(verb)
    _live(verb)
    verb.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    verb.add_argument("--out", metavar="FILE", help="keep the plan as JSON, for `apply --plan`")
    verb.add_argument("-v", "--verbose", action="store_true", help="list every creation, with its fields")

    verb = _verb(verbs, "apply", "carry out a plan")
    _selection(verb)
    _live(verb)
    verb.add_argument("--plan", metavar="FILE", help="apply no more than this approved plan")
    verb.add_argument("--digest", help="apply only if the plan has this digest (a prefix of 12 or more)")
    verb.add_argument("--yes", action="store_true", help="do not ask; production also wants --plan or --digest")
    verb.add_argument("-v", "--verbose", action="store_true")

    verb = _verb(verbs, "drift", "compare the targets with what was last applied")
    _selection(verb)
    _live(verb)
    verb.add_argument("-v", "--verbose", action="store_true")

    verb = _verb(verbs, "status", "what each environment runs: commit, time, actor, result")
    _selection(verb)

    verb = _verb(verbs, "unlock", "remove the lock of a run that died")
    verb.add_argument("scope", metavar="SCOPE", help="for example production/kubernetes")
    verb.add_argument("--holder", required=True, help="the holder's identity, as the refusal named it")

    verb = _verb(verbs, "explain", "what a rule demands, and what would satisfy it")
    verb.add_argument("rule", nargs="?", help="a code (S02) or a name (site.prefix-overlap); none lists all")

    verb = _verb(verbs, "schema", "print the JSON Schema of a kind")
    verb.add_argument("kind", nargs="?", help="a kind (site) or a published file; none lists all")

    verb = _verb(verbs, "up", "start the platform on this machine")
    _environments(verb)
    verb.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS")
    verb.add_argument("--name", action="append", default=[], help="another name or address for the certificates")
    verb.add_argument("--netns", metavar="NAMESPACE", help="run everything inside this network namespace")
    verb.add_argument("--light", action="store_true", help="only what needs no build: object store and ePoxy")

    _verb(verbs, "down", "stop the platform on this machine, leaving nothing behind")

    verb = verbs.add_parser("completion", help="print the completion script of a shell")
    verb.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return made


def _verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    verb.add_argument("--root", default=".", metavar="DIR", help="the checkout whose config/ is meant (default: .)")
    verb.add_argument("--state", metavar="DIR", help="where run state lies (default: $MLAB_STATE or ROOT/.mlab)")
    verb.add_argument("--json", action="store_true", help="results as JSON")
    return verb


def _environments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--env", action="append", default=[], metavar="ENV", help=ENVIRONMENTS_HELP)


def _selection(verb: argparse.ArgumentParser) -> None:
    _environments(verb)
    verb.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="GLOB",
        help="a target (epoxy) or resources (epoxy/Host/*abc02*); repeatable",
    )
    verb.add_argument("--no-cache", action="store_true", help="render afresh")


def _live(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--jobs", type=int, default=16, metavar="N", help="writes in parallel for each scope, at most")
    verb.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="stop retrying after this long")
    verb.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
