"""The command line as an argument parser; verbs are imported only when they run, so that `validate` starts quickly."""

from __future__ import annotations

import argparse

ENVIRONMENTS_HELP = "an environment of config/environments/ (repeatable; default: all)"

IMAGE_TARGETS = ("stage2", "stage3", "boot-media", "oci")

_EPILOG = """\
usually:
  mlab validate                  every problem of config/, each with its line
  mlab plan --env sandbox        what an apply would change there, and why
  mlab apply --env sandbox       shows that, asks, does it, and proves it
  mlab drift                     what somebody changed at the targets since
  mlab explain S02               what a rule of `validate` demands

exit statuses: 0 done, or nothing to do · 1 usage, or a bug · 2 changes pending · 3 refused ·
  4 incomplete, the rest is done · 5 invalid configuration · 6 files unaccounted for · 130 interrupted
"""


def parser() -> argparse.ArgumentParser:
    """All verbs with their flags."""
    made = argparse.ArgumentParser(
        prog="mlab",
        description="One desired state in git, one plan, applied to a measurement fleet.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB")

    verb = _verb(verbs, "validate", "check everything under config/ and report all problems")
    verb.add_argument("-v", "--verbose", action="store_true", help="show the lines of each problem")
    verb.add_argument(
        "--format", choices=("text", "json", "github"), default="text", help="github: annotations of a CI run"
    )
    verb.add_argument("--changed", action="store_true", help="only if config/ differs from the last commit")
    verb.add_argument("--no-cache", action="store_true", help="read git's log afresh")
    verb.add_argument("paths", nargs="*", metavar="FILE", help="report problems of these files only")

    verb = _verb(verbs, "fmt", "format the YAML of config/ and the jsonnet of jsonnet/")
    verb.add_argument("--check", action="store_true", help="change nothing; exit 5 if something would change")
    verb.add_argument("paths", nargs="*", metavar="FILE")

    text = "bring the inventory of another platform into config/"
    verb = verbs.add_parser("import", help=text, description=text[0].upper() + text[1:] + ".")
    verb.set_defaults(module="importing")
    verb.add_argument("form", choices=("siteinfo",), help="what the inventory is written in")
    verb.add_argument("path", nargs="?", metavar="PATH", help="a checkout of the inventory")
    verb.add_argument("--published", metavar="URL|PATH", help="read the published JSON that lies there, below v2/")
    verb.add_argument(
        "--into", required=True, metavar="DIR", help="the repository that gets it; sites go to config/sites/"
    )
    verb.add_argument(
        "--replace", action="store_true", help="overwrite files that no import wrote, or that were edited"
    )
    verb.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")
    verb.add_argument("--json", action="store_true", help="results as JSON")

    verb = _verb(verbs, "render", "print what git wants at each target, without contacting any")
    _selection(verb)
    verb.add_argument("--against", metavar="ENV", help="show how it differs from this environment")
    verb.add_argument("--out", metavar="DIR", help="write one file a resource into a folder")

    verb = _verb(verbs, "targets", "print targets of probes in Prometheus' file discovery format")
    verb.add_argument("shape", choices=("experiments", "machines", "sites"), help="a record for each of these")
    _inventory(verb)
    verb.add_argument(
        *("--template-target", "--template_target"),
        action="append",
        required=True,
        metavar="TEXT",
        help="a target with {{hostname}}, or {{sitename}} for sites; repeatable",
    )
    verb.add_argument("--decoration", choices=("", "v4", "v6", "d"), default="", help="behind the machine's name")
    verb.add_argument(
        *("--flat", "--use_flatnames"), action="store_true", help="one label before the domain, also with v1 names"
    )
    verb.add_argument("--by-index", action="store_true", help="all experiments with an address, not the first lines")
    verb.add_argument("--only-with-ipv6", action="store_true", help="leave out what has no IPv6 address")

    verb = _verb(verbs, "network-config", "fill a template with the network configuration of each machine")
    _inventory(verb)
    verb.add_argument(
        *("--template-input", "--template_input"),
        required=True,
        metavar="FILE",
        help="the template, with {{ipv4_ip}} …",
    )
    verb.add_argument(
        *("--template-output", "--template_output"),
        required=True,
        metavar="NAME",
        help="the files to write, with {{hostname}}; each is printed",
    )

    verb = _verb(verbs, "plan", "show what an apply would change; writes nothing")
    _selection(verb)
    _live(verb)
    verb.add_argument(
        "--format",
        choices=("text", "json", "markdown", "github"),
        default="text",
        help="github: annotations of a CI run",
    )
    verb.add_argument("--out", metavar="FILE", help="keep the plan as JSON, for `apply --plan`")
    verb.add_argument(
        "--at", metavar="COMMIT", help="plan the configuration of a commit, with this checkout's program and addresses"
    )
    _kept(verb)
    verb.add_argument("-v", "--verbose", action="store_true", help="list every creation, with its fields")
    _ack(verb)

    verb = _verb(verbs, "diff", "show what commits change in what git wants; asks no target")
    verb.add_argument(
        "range",
        nargs="?",
        metavar="BASE..HEAD",
        help="BASE...HEAD compares with where they parted, BASE with the working tree (default: the last commit)",
    )
    _selection(verb)
    verb.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    _kept(verb)
    verb.add_argument("--out", metavar="FILE", help="keep the diff as JSON")
    verb.add_argument("-v", "--verbose", action="store_true", help="list every creation, with its fields")

    verb = _verb(verbs, "apply", "carry out a plan")
    _selection(verb)
    _live(verb)
    _writing(verb)

    verb = _verb(verbs, "promote", "apply to an environment what the one before it runs")
    verb.add_argument("env", metavar="ENV", help="the environment that gets it")
    _part(verb)
    _live(verb)
    _writing(verb)

    verb = _verb(verbs, "smoke", "is an environment as it was applied, and does it work? asks from the consumers' side")
    _environments(verb)
    verb.add_argument("--for", dest="soak_s", type=float, default=0, metavar="SECONDS", help="again until then")
    verb.add_argument("--every", type=float, default=60, metavar="SECONDS", help="between two times")
    _live(verb)

    for name, text in (
        ("adopt", "take over live things that git wants and that bear no mark"),
        ("forget", "stop managing live things and leave them as they are"),
    ):
        verb = _verb(verbs, name, text)
        verb.add_argument("names", nargs="+", metavar="TARGET/KIND/NAME", help="a resource, or a glob; repeatable")
        verb.add_argument("--env", required=True, metavar="ENV")
        verb.add_argument("--no-cache", action="store_true", help="render afresh")
        _live(verb)
        _writing(verb)
        if name == "adopt":
            verb.add_argument(
                "--dump", action="store_true", help="write what is live into config/, for a commit; adopt nothing"
            )

    verb = _verb(verbs, "pause", "keep every writer off a scope for a while")
    verb.add_argument("scope", metavar="SCOPE", help="for example production/kubernetes; production alone is all of it")
    verb.add_argument("--reason", required=True, help="what others should know")
    verb.add_argument(
        "--for", dest="length", default="4h", metavar="TIME", help="30m, 4h, 2d; at most 7d (default: 4h)"
    )
    _patience(verb)

    verb = _verb(verbs, "resume", "end a pause before its time")
    verb.add_argument("scope", metavar="SCOPE", help="for example production/kubernetes; production alone is all of it")
    _patience(verb)

    verb = _verb(verbs, "drift", "compare the targets with what was last applied")
    _selection(verb)
    _live(verb)
    verb.add_argument("-v", "--verbose", action="store_true", help="list everything that is missing, with its fields")
    verb.add_argument("--out", metavar="FILE", help="keep the report as JSON, for `ci drift-issue`")
    verb.add_argument("--changes-ok", action="store_true", help="exit 0 where something drifted, too")

    verb = _verb(verbs, "status", "what each environment runs: commit, time, actor, result")
    _environments(verb)
    _patience(verb)

    verb = _verb(verbs, "run", "reconcile one environment for as long as this runs, from a branch of a repository")
    _environments(verb)
    verb.add_argument("--target", action="append", default=[], metavar="GLOB", help="only these targets; repeatable")
    verb.add_argument("--repository", required=True, metavar="URL", help="where the branch is fetched from")
    verb.add_argument("--branch", default="main")
    verb.add_argument(
        "--signers", metavar="FILE", help="serve only commits signed by one of these (ssh allowed signers)"
    )
    verb.add_argument("--follow-rewrites", action="store_true", help="also follow a branch that was force-pushed")
    verb.add_argument("--git-interval", type=float, default=60, metavar="SECONDS", help="between two fetches")
    verb.add_argument("--interval", type=float, default=60, metavar="SECONDS", help="between two passes of a scope")
    verb.add_argument("--listen", default="127.0.0.1:8080", metavar="ADDRESS:PORT", help="for status and metrics")
    verb.add_argument("--hook-secret", metavar="REF", help="file:/PATH or env:NAME; without it there is no /hook")
    verb.add_argument("--render-memory-mib", type=int, default=2048, metavar="MIB", help="limit of the rendering child")

    verb = _verb(verbs, "unlock", "remove the lock of a run that died")
    verb.add_argument("scope", metavar="SCOPE", help="for example production/kubernetes")
    verb.add_argument("--holder", required=True, help="the holder's identity, as the refusal named it")
    _patience(verb)

    verb = _verb(verbs, "explain", "what a rule demands, or why a resource exists and since when")
    verb.add_argument(
        "rule",
        nargs="?",
        metavar="RULE|RESOURCE",
        help="a code (S02), a name (site.prefix-overlap), or a resource (epoxy/Host/*abc02*); none lists all rules",
    )
    _environments(verb)
    verb.add_argument("--offline", action="store_true", help="of a resource: tell what git says, ask nobody")
    _patience(verb)
    verb.add_argument("--page", metavar="FILE", help="write the page of all rules, docs/rules.md")

    verb = _verb(verbs, "schema", "print the JSON Schema of a kind, or keep schemas/ in step")
    verb.add_argument("kind", nargs="?", help="a kind (site) or a published file; none lists all")
    verb.add_argument("--check", action="store_true", help="exit 5 if schemas/ or .vscode/settings.json is not in step")
    verb.add_argument("--write", action="store_true", help="bring them in step")

    verb = _verb(verbs, "hooks", "what is checked before a commit, and the git hook that does it")
    verb.add_argument("action", choices=("run", "install", "uninstall"))
    verb.add_argument("checks", nargs="*", metavar="CHECK", help="run only these; default: all that concern the files")
    verb.add_argument("--all", action="store_true", help="check every file of git, not what is staged")
    verb.add_argument("--files", nargs="*", metavar="FILE", help="check these files as they lie there")

    verb = _verb(verbs, "ci", "tell a pull request or an issue on GitHub what a workflow found")
    verb.add_argument("action", choices=("comment", "drift-issue"))
    verb.add_argument("--pull", type=int, metavar="NUMBER", help="comment: on this pull request")
    verb.add_argument("--about", metavar="ENV", help="comment: the environment of the plan, or `diff`")
    verb.add_argument("--body", metavar="FILE", help="comment: its text; if there is none, that is said")
    verb.add_argument("--env", metavar="ENV", help="drift-issue: of this environment")
    verb.add_argument("--report", metavar="FILE", help="drift-issue: what `mlab drift --out` wrote")
    verb.add_argument("--link", default="", metavar="URL", help="the run, where the text has no link of its own")
    verb.add_argument("--repository", metavar="OWNER/NAME", help="default: $GITHUB_REPOSITORY")
    verb.add_argument("--author", default="github-actions[bot]", help="whose entries are ours (%(default)s)")

    verb = _verb(verbs, "up", "start the platform on this machine")
    _environments(verb)
    reached = "where the API server listens: an IPv4 address of this machine (default: 127.0.0.1)"
    verb.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS", help=reached)
    another = "another name or address in the API server's certificate (repeatable)"
    verb.add_argument("--name", action="append", default=[], help=another)
    inside = "run everything inside this network namespace, made by `ip netns add` (root only)"
    verb.add_argument("--netns", metavar="NAMESPACE", help=inside)
    verb.add_argument("--light", action="store_true", help="only what needs no build: object store, ePoxy, DNS")

    _verb(verbs, "down", "stop the platform on this machine, leaving nothing behind")

    text = "build what nodes boot and run: kernel, initramfs, root, boot media, container images"
    verb = verbs.add_parser("images", help=text, description=text[0].upper() + text[1:] + ".")
    actions = verb.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("build", help="build from Debian packages and our own programs")
    action.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"any of {', '.join(IMAGE_TARGETS)} (default: all)"
    )
    action.add_argument(
        "--out", metavar="DIR", help="copy each finished build to DIR/TARGET (default: the cache's own)"
    )
    _building(action)
    action = actions.add_parser("release", help="stage 2 and 3 with their documents, for one environment's bucket")
    action.add_argument("version", metavar="VERSION", help="for example v2.1.10")
    action.add_argument("--root", default=".", metavar="DIR", help="the checkout whose config/ is meant (default: .)")
    action.add_argument("--state", metavar="DIR", help="where run state lies (default: $MLAB_STATE or ROOT/.mlab)")
    taken = "take what follows from this environment, and have its `mlab apply` upload the release from here"
    action.add_argument("--env", default="", metavar="ENV", help=taken)
    printed = "print the digests as config/images/ pins them, instead of laying them over this checkout"
    action.add_argument("--pins", action="store_true", help=printed)
    action.add_argument("--out", metavar="DIR", help="DIR/VERSION/stage3_ubuntu is written (with --env: STATE/images)")
    action.add_argument("--storage-url", default="", metavar="URL", help="the boot server's /v1/storage for Linux")
    running = "the authority of the cluster's API server (with --env: the platform's on this machine)"
    action.add_argument("--cluster-ca", default="", metavar="PEM", help=running)
    action.add_argument(
        "--ca", metavar="PEM", help="the only authorities that machines trust (default: the public ones)"
    )
    action.add_argument(
        "--kernel-words", default="", metavar="TEXT", help="more for both kernels, such as console=ttyS0"
    )
    _building(action)
    action = actions.add_parser("media", help="script, ISO and USB image of single machines; nothing is built anew")
    action.add_argument("--out", required=True, metavar="DIR", help="a folder DIR/HOST for each machine")
    action.add_argument("--root", default=".", metavar="DIR", help="the checkout whose config/ is meant (default: .)")
    action.add_argument("--state", metavar="DIR", help="where run state lies (default: $MLAB_STATE or ROOT/.mlab)")
    action.add_argument("--project", default="", help="only machines of this project")
    action.add_argument("--select", default="", metavar="REGEX", help="only names in which this is found")
    action.set_defaults(sites=None, names="v2")
    _building(action)

    text = "what the programs of a node did with its files"
    verb = verbs.add_parser("node", help=text, description=text[0].upper() + text[1:] + ".")
    actions = verb.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("audit", help="account for every file of a spool: stored once, and to the byte")
    action.add_argument("spool", metavar="SPOOL", help="folder of an experiment, with one folder a datatype")
    action.add_argument("bucket", metavar="BUCKET", help="gs://NAME, or a local folder with a bucket's objects")
    action.add_argument(
        "--experiment", default="", metavar="NAME", help="in objects' names (default: the folder's name)"
    )
    action.add_argument("--node", default="", metavar="NAME", help="only bundles of this node, such as mlab1-abc01")
    action.add_argument(
        "--data-dir", default="autoload/v1", metavar="PREFIX", help="of JSONL bundles (default: autoload/v1)"
    )
    action.add_argument("--state-directory", default="", metavar="DIR", help="of pusher (default: SPOOL/.pusher)")
    action.add_argument(
        "--expect", default="", metavar="FILE", help="prove these: a JSON line with name, size, sha256 for each file"
    )
    action.add_argument("--json", action="store_true", help="results as JSON")

    text = "print the completion script of a shell"
    turn_on = 'Turn it on with: eval "$(mlab completion bash)"'
    verb = verbs.add_parser("completion", help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=turn_on)
    verb.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return made


def _verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    verb.add_argument("--root", default=".", metavar="DIR", help="the checkout whose config/ is meant (default: .)")
    verb.add_argument("--state", metavar="DIR", help="where run state lies (default: $MLAB_STATE or ROOT/.mlab)")
    verb.add_argument("--json", action="store_true", help="results as JSON")
    return verb


def _building(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--key", metavar="FILE", help="Ed25519 key in PEM form that signs (default: this machine's own)"
    )
    action.add_argument("--refresh", action="store_true", help="take the packages' newest versions")
    action.add_argument("--anew", action="store_true", help="build although the cache has it")
    action.add_argument("--json", action="store_true", help="results as JSON")


def _inventory(verb: argparse.ArgumentParser) -> None:
    """What both verbs choose machines by; the spelling of the public platform's tool is understood, too."""
    verb.add_argument("--sites", metavar="FILE", help="a published sites.json, - for stdin (default: the checkout's)")
    verb.add_argument("--names", choices=("v1", "v2"), default="v2", help="form of the checkout's names (default: v2)")
    verb.add_argument("--project", default="", help="only machines of this project")
    verb.add_argument("--select", default="", metavar="REGEX", help="only names in which this is found")
    verb.add_argument("--physical", action="store_true", help="only physical sites")
    verb.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="a label; repeatable")


def _environments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--env", action="append", default=[], metavar="ENV", help=ENVIRONMENTS_HELP)


def _kept(verb: argparse.ArgumentParser) -> None:
    """What a workflow needs of a report beside its text."""
    verb.add_argument("--markdown", action="append", default=[], metavar="FILE", help="also as Markdown; repeatable")
    verb.add_argument("--link", default="", metavar="URL", help="where the Markdown says that the whole report is")
    verb.add_argument("--changes-ok", action="store_true", help="exit 0 where there are changes, too")


def _writing(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--jobs", type=int, default=16, metavar="N", help="writes in parallel for each scope, at most")
    verb.add_argument("--plan", metavar="FILE", help="apply no more than this approved plan")
    verb.add_argument("--digest", help="apply only if the plan has this digest (a prefix of 12 or more)")
    verb.add_argument("--yes", action="store_true", help="do not ask; production also wants --plan or --digest")
    verb.add_argument("-v", "--verbose", action="store_true", help="list every creation, with its fields")
    _ack(verb)


def _selection(verb: argparse.ArgumentParser) -> None:
    _environments(verb)
    _part(verb)


def _part(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="GLOB",
        help="only this target (epoxy) or these resources (epoxy/Host/*abc02*); nothing else is written or deleted",
    )
    verb.add_argument(
        "--exclude", action="append", default=[], metavar="GLOB", help="all but this target or these resources"
    )
    verb.add_argument("--no-cache", action="store_true", help="render afresh")


def _patience(verb: argparse.ArgumentParser) -> None:
    text = "wait for no answer longer than this, and try nothing again after it"
    verb.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help=text)


def _live(verb: argparse.ArgumentParser) -> None:
    _patience(verb)
    verb.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    verb.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="NO_COLOR means never")


def _ack(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--ack",
        action="append",
        default=[],
        metavar="FILE",
        help="an acknowledgement that is not in git, for an emergency; the record names it",
    )
