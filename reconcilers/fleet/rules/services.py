"""E05: services are such as clients of Locate ask for, and can check the tokens that those bring."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import locate
from reconcilers.fleet.model import Experiment, Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

SERVICES_TITLE = Title("E05", "experiment.services")
KEYS = "locate-verify-keys"
"""The Secret that holds the public keys of Locate's tokens."""
_KEY_FLAG = re.compile(r"--?token\.verify-key=(\S+)")


def _check(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for experiment in fleet.experiments.values():
        services: Mapping[str, list[str]] = experiment.data.get("services") or {}
        for service, urls in services.items():
            yield from _known(experiment, service, urls)
        if locate.CHECKED & services.keys():
            yield from _keys(experiment, sorted(locate.CHECKED & services.keys()))


def _known(experiment: Experiment, service: str, urls: list[str]) -> Iterator[Diagnostic]:
    span = place(experiment.spans, f"services.{service}", experiment.span)
    if service.partition("/")[0] not in (experiment.name, *experiment.aliases):
        message = f"service {service} is offered by {experiment.name}; services begin with the name of their experiment"
        yield SERVICES_TITLE.at(span, message)
        return
    known = locate.SERVICES.get(service)
    if known is None:
        message = (
            f"no client of Locate asks for {service}; known are {', '.join(locate.SERVICES)}. If its clients are new, "
            "allow this rule with a reason"
        )
        yield SERVICES_TITLE.at(span, message)
        return
    for position, url in enumerate(urls):
        if url not in known:
            where = place(experiment.spans, f"services.{service}.{position}", span)
            message = f"clients of {service} never ask for {url}; they know {', '.join(sorted(known))}"
            yield SERVICES_TITLE.at(where, message)


def _keys(experiment: Experiment, services: list[str]) -> Iterator[Diagnostic]:
    data = experiment.data
    if (data.get("sidecars") or {}).get("access"):
        return
    secrets = {volume["name"] for volume in data.get("volumes") or () if volume.get("secret") == KEYS}
    container = data.get("container") or {}
    for position, placement in enumerate(data.get("placements") or ()):
        span = place(experiment.spans, f"placements.{position}", experiment.span)
        files = _KEY_FLAG.findall("\n".join((*container.get("args", ()), *placement.get("args", ()))))
        mounts = [*container.get("mounts", ()), *placement.get("mounts", ())]
        folders = [mount["path"].rstrip("/") + "/" for mount in mounts if mount["volume"] in secrets]
        what = f"placement {placement['name']} of {experiment.name} serves {', '.join(services)}"
        if not files:
            message = (
                f"{what}, whose clients bring tokens, and names no key to check them by; add "
                "-token.verify-key=FILE, or the sidecar access"
            )
            yield SERVICES_TITLE.at(span, message)
        elif missing := [file for file in files if not any(file.startswith(folder) for folder in folders)]:
            message = f"{what} and checks tokens by {missing[0]}, which is not in a mounted volume of the Secret {KEYS}"
            yield SERVICES_TITLE.at(span, f"{message}; declare and mount it")


SERVICES = Rule(
    SERVICES_TITLE.code,
    SERVICES_TITLE.name,
    "services are known to clients of Locate, and those whose clients bring tokens have the key to check them",
    f"Known are {', '.join(locate.SERVICES)}, each with its schemes, ports and paths, for clients are built for these. "
    f"Clients of {', '.join(sorted(locate.CHECKED))} bring a token of Locate's; a program that requires one and "
    f"has no key turns everybody away, or worse, serves everybody. The keys are in the Secret {KEYS}, mounted where "
    "-token.verify-key says, or used by the sidecar access. Whoever adds a service that no client knows yet allows "
    "this rule until they do.",
    each=_check,
)
