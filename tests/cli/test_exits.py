"""Exit statuses as a table: which error is which, and which one wins when several apply."""

from __future__ import annotations

import itertools

import pytest

from reconcilers.cli import exits
from reconcilers.cli.exits import Exit
from reconcilers.core.errors import ConfigError, Conflict, MlabError, Permanent, Refused, Temporary, UsageError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("x"), 1),
        (MlabError("x"), 1),
        (Permanent("x"), 1),
        (Conflict("x"), 1),
        (Refused("x"), 3),
        (Temporary("x"), 4),
        (ConfigError("x"), 5),
    ],
)
def test_an_error_that_ends_a_run_has_its_status(error: MlabError, status: int) -> None:
    assert exits.of(error) == status


def test_the_worst_status_wins_whatever_the_order() -> None:
    order = [130, 5, 1, 6, 4, 3, 2, 0]
    for (rank, one), (other_rank, other) in itertools.product(enumerate(order), repeat=2):
        assert exits.worst([Exit(one), Exit(other)]) == order[min(rank, other_rank)]
    assert exits.worst([]) is Exit.OK
