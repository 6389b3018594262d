"""Stage1: whether a machine may begin a boot, which sequence it gets and at which release. Pure.

All that a boot may depend on is decided here and kept: a flag, a release or a URL that is changed while a machine
boots counts from its next boot. The original looked at the flag anew at every stage and could mix two sequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from services.epoxy import callers, presence, records, sessions

VERSION = "{{VERSION}}"
LATEST = "latest"
"""The version that is a pointer; every other one names a release that does not change."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a host would be told now, and why."""

    sequence: str
    version: str
    why: str


@dataclass(frozen=True, slots=True)
class Call:
    """One stage1 request, as far as it matters here."""

    form: str
    address: callers.Address
    now_ns: int
    ids: Mapping[str, str]
    collected: Mapping[str, str] = field(default_factory=dict)
    releases: Mapping[str, str] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    pinned: bool = False
    """Whether each document of the chain must have its SHA-256."""
    rule: presence.Rule = presence.Rule.IGNORE
    seen: presence.Presence | None = None
    """What the cluster says of the machine; None: it was not asked yet."""


class Unasked(Exception):
    """The outside must be asked before this boot can begin: the bucket for a release, the cluster for the machine."""


def choose(host: records.Host, now_ns: int) -> Choice:
    """The override for one boot, else the update flag, else the normal sequence."""
    override = host.observed.next_boot
    version = host.desired.images_version
    if override is not None and now_ns < override.expires_ns:
        return Choice(override.sequence, override.version or version, "next boot was set by an administrator")
    if host.observed.update_enabled:
        return Choice("update", version, "the update flag is set")
    return Choice("boot", version, "the normal sequence")


def chain(host: records.Host, choice: Choice, version: str) -> dict[str, str]:
    """The URL of each stage, with the release filled in."""
    urls = host.desired.update if choice.sequence == "update" else host.desired.boot
    return {key: url.replace(VERSION, version) for key, url in urls.items()}


def admit(state: sessions.State, address: callers.Address | None, policy: sessions.Policy, now_ns: int) -> None:
    """Raises `Refused` unless this address may begin a boot of this host now."""
    check(state.host, address)
    window_ns = policy.stage1_window_s * 1_000_000_000
    recent = [began for began in state.recent_ns[: policy.stage1_calls] if 0 <= now_ns - began < window_ns]
    if len(recent) >= policy.stage1_calls:
        wait_s = max(1, (window_ns - (now_ns - recent[-1])) // 1_000_000_000)
        raise sessions.Refused("stage1-rate", "Too many stage1 requests", status=429, retry_after_s=wait_s)


def check(host: records.Host, address: callers.Address | None) -> None:
    """Raises `Refused` unless this address is the host's and the host may boot at all."""
    if address is None or not callers.allowed(address, host.desired):
        raise sessions.Refused("address", sessions.WRONG_CALLER)
    if host.desired.retired:
        raise sessions.Refused("retired", "Host is retired")


def begin(state: sessions.State, call: Call) -> sessions.State:
    """The state after stage1 of an admitted caller: a new boot, whose ids open what the former one's opened."""
    host = state.host
    choice = choose(host, call.now_ns)
    if call.rule is not presence.Rule.IGNORE and call.seen is None:
        raise Unasked
    if call.rule is presence.Rule.DENY and unannounced(host, call):
        raise sessions.Refused("healthy", "Host is healthy in the cluster, and no reboot was announced")
    if choice.version not in call.releases and (call.pinned or choice.version == LATEST):
        raise Unasked
    version = call.releases.get(choice.version, choice.version)
    urls = chain(host, choice, version)
    if call.pinned and not set(urls.values()) <= set(call.sha256):
        raise sessions.Refused("raced", "The record has just changed; ask again", status=503, retry_after_s=1)
    boot = sessions.Boot(
        number=1 if state.boot is None else state.boot.number + 1,
        form=call.form,
        sequence=choice.sequence,
        why=choice.why,
        version=version,
        address=str(call.address),
        began_ns=call.now_ns,
        digests={key: sessions.digest(identity) for key, identity in call.ids.items()},
        chain=urls,
        sha256={key: call.sha256[url] for key, url in urls.items() if url in call.sha256},
        reached_ns={sessions.Stage.STAGE1: call.now_ns},
    )
    observed = replace(
        host.observed,
        current_session_ids=boot.digests,
        last_session_creation_ns=call.now_ns,
        collected_information={**host.observed.collected_information, **call.collected},
    )
    return replace(state, host=replace(host, observed=observed), boot=boot)


def unannounced(host: records.Host, call: Call) -> bool:
    """Whether a machine asks to boot that cannot be booting. An order for its next boot announces one."""
    order = host.observed.next_boot
    ordered = order is not None and call.now_ns < order.expires_ns
    return call.seen is presence.Presence.HEALTHY and not ordered


def entered(state: sessions.State, boot: sessions.Boot) -> sessions.State:
    """The state after stage2 or stage3: an override for one boot is used up once the machine shows that it got it."""
    observed = state.host.observed
    override = observed.next_boot
    used = override is not None and boot.began_ns >= override.set_ns and boot.stage is sessions.Stage.STAGE2
    if used:
        observed = replace(observed, next_boot=None)
    return replace(state, host=replace(state.host, observed=observed), boot=boot)


def reported(state: sessions.State, boot: sessions.Boot, *, success: bool, now_ns: int) -> sessions.State:
    """The state after a report. Only the success of a boot that ran the update clears the update flag."""
    observed = replace(state.host.observed, last_report_ns=now_ns)
    if success:
        ran_update = boot.sequence == "update"
        observed = replace(observed, last_success_ns=now_ns, update_enabled=observed.update_enabled and not ran_update)
    return replace(state, host=replace(state.host, observed=observed), boot=boot)
