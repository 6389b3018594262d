"""What every provider that speaks HTTP must make of a server that is down, slow, busy, closed to it, or talks rubbish.

A test module supplies the fixtures `proxy`, in front of the real server, and `provider`, behind it, and subclasses
`Faults`. What only one server can answer is its own module's, by `one_error`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import pytest

from reconcilers.core.errors import MlabError, Permanent, Temporary
from reconcilers.core.model import Id, Observed, Owner
from reconcilers.core.provider import Context, Holder, Provider
from reconcilers.providers.time_limits import Limits
from tests import faultproxy
from tests.conformance import suite

P = TypeVar("P", bound=Provider)
QUICK = Limits(connect_s=5, read_s=4.0, total_s=5.0)
"""Short, for answers that never come; long enough for those of a real server on a machine that has much to do."""
HOLDER, NEXT = (Holder(name, "ci", "", "2026-01-01T00:00:00Z") for name in ("run-1", "run-2"))
KINDS = {name: (fault, Temporary if passes else Permanent) for name, (fault, passes) in faultproxy.BAD_ANSWERS.items()}


def behind(proxy: faultproxy.FaultProxy, provider: P) -> Iterator[P]:
    """The provider, with a proxy that passes everything at first and at the end."""
    proxy.fault = None
    proxy.seen.clear()
    yield provider
    proxy.fault = None
    provider.close()


def context(scope: str, file: str) -> Context:
    """What a write needs to know, from a run that is never interrupted."""
    mark = Owner("mlab", scope.partition("/")[0], scope, file, "c0ffee0")
    return Context(mark=lambda change: mark, fault=lambda point: None, still_held=lambda: None)


def live(provider: Provider, identity: Id) -> Observed | None:
    """One resource as it is at the target."""
    return {item.id: item for item in provider.observe([identity])}.get(identity)


def one_error(provider: Provider, proxy: faultproxy.FaultProxy, fault: faultproxy.Fault, kind: type[MlabError]) -> None:
    """A list that goes wrong is one short line of this kind."""
    proxy.fault = fault
    with pytest.raises(kind) as caught, _uncollected():
        list(provider.observe([]))
    text = str(caught.value)
    assert "\n" not in text and len(text) < 512


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage is collected in here.

    A parser that is at its depth limit leaves no frame for the finaliser of what some other test dropped, and Python
    then tells of an error that nobody made.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _writes(method: str, path: str) -> bool:
    del path
    return method in ("POST", "PUT", "PATCH")


def _deletes(method: str, path: str) -> bool:
    del path
    return method == "DELETE"


def _until_free(provider: Provider) -> None:
    """The test before may have left its lock expired and not deleted; servers tell time in whole seconds."""
    suite.until_free(lambda: provider.lock(HOLDER, 60), 5).release()


class Faults:
    """The shared part."""

    @pytest.mark.parametrize(("fault", "kind"), KINDS.values(), ids=KINDS)
    def test_each_bad_answer_to_a_list_is_one_error_of_the_right_kind(
        self, provider: Provider, proxy: faultproxy.FaultProxy, fault: faultproxy.Fault, kind: type[MlabError]
    ) -> None:
        one_error(provider, proxy, fault, kind)

    def test_a_lock_is_not_taken_for_granted_when_the_answer_is_lost(
        self, provider: Provider, proxy: faultproxy.FaultProxy
    ) -> None:
        _until_free(provider)
        proxy.fault = faultproxy.down(forward=True, times=1, only=_writes)
        with pytest.raises(Temporary):
            provider.lock(HOLDER, 60)
        lock = provider.lock(HOLDER, 60)
        lock.renew()
        proxy.fault = faultproxy.down()
        with pytest.raises(Temporary):
            lock.renew()
        proxy.fault = None
        lock.release()
        lock.release()

    def test_a_lock_stays_ours_when_the_answer_to_its_renewal_is_lost(
        self, provider: Provider, proxy: faultproxy.FaultProxy
    ) -> None:
        _until_free(provider)
        for again in (True, False):
            lock = provider.lock(HOLDER, 60)
            proxy.fault = faultproxy.down(forward=True, times=1, only=_writes)
            with pytest.raises(Temporary):
                lock.renew()
            proxy.fault = None
            if again:
                lock.renew()
            lock.release()
            provider.lock(NEXT, 60).release()

    @pytest.mark.parametrize("name", ["403", "405", "503", "down", "html"])
    def test_a_lock_is_given_back_where_nothing_can_be_deleted(
        self, provider: Provider, proxy: faultproxy.FaultProxy, name: str
    ) -> None:
        proxy.fault = replace(faultproxy.BAD_ANSWERS[name][0], only=_deletes)
        _until_free(provider)
        taken = suite.until_free(lambda: provider.lock(NEXT, 60), 5)
        proxy.fault = None
        taken.release()
