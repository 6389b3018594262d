"""What an environment runs, in its records bucket: `applied/ENV.json` and its former versions; pauses; audit lines.

A bucket may not exist yet: reading then finds nothing. Writes carry the generation that was read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reconcilers.core.errors import Conflict
from reconcilers.fleet.model import Environment
from reconcilers.providers.buckets.api import LIMITS, Api, bucket_path

AUDITED_RUNS = 50
"""As many runs are searched for the last write of a resource."""


def _when(entry: Mapping[str, Any]) -> tuple[str, str]:
    """The order of runs: a name has whole seconds and then chance, so of two in one second the object's time tells."""
    return str(entry["name"]).rpartition("-")[0], str(entry["timeCreated"])


class Records:
    """The records of one environment."""

    def __init__(self, environment: Environment, answer_limit_s: float = float("inf")) -> None:
        self._api = Api(environment, LIMITS.at_most(answer_limit_s))
        where = environment.data["targets"]["buckets"]
        self._bucket: str = where["records"]
        self._audit: str = where.get("audit") or self._bucket

    def read_applied(self, env: str) -> tuple[Mapping[str, Any] | None, int]:
        """The record and its generation; (None, 0) if nothing was applied yet."""
        return self._api.document(self._bucket, f"applied/{env}.json")

    def write_applied(self, env: str, document: Mapping[str, Any], generation: int) -> None:
        """Replace the record, its former versions kept beside it. Raises `Conflict` if another run wrote meanwhile."""
        content = json.dumps(document, indent=1, sort_keys=True).encode()
        past = f"applied/history/{env}/{document['finished']}.json"
        try:
            self._put(past, content, 0)
        except Conflict:
            pass  # this very record was kept by a run that ended before it could replace the pointer
        self._put(f"applied/{env}.json", content, generation)

    def read_pauses(self, env: str) -> tuple[Mapping[str, Any] | None, int]:
        """The document of `pauses` and its generation; (None, 0) if nothing was ever paused."""
        return self._api.document(self._bucket, f"pauses/{env}.json")

    def write_pauses(self, env: str, document: Mapping[str, Any], generation: int) -> None:
        """Replace it. Raises `Conflict` if somebody else did meanwhile."""
        self._put(f"pauses/{env}.json", json.dumps(document, indent=1, sort_keys=True).encode(), generation)

    def append_audit(self, env: str, run: str, lines: bytes) -> None:
        """Keep the audit lines of one run; sending them twice is harmless."""
        try:
            self._put(f"audit/{env}/{run}.jsonl", lines, 0, bucket=self._audit)
        except Conflict:
            pass  # they arrived before, and a run's lines never change

    def last_change(self, env: str, scope: str, identity: str) -> Mapping[str, Any] | None:
        """The newest audit line of a write of one resource that came about, out of the last runs of an environment."""
        prefix = f"audit/{env}/"
        found = list(self._api.pages(f"{bucket_path(self._audit)}/o", {"prefix": prefix}))
        for run in sorted(found, key=_when, reverse=True)[:AUDITED_RUNS]:
            for line in reversed(self._api.download(self._audit, run).splitlines()):
                entry: Mapping[str, Any] = json.loads(line)
                if (entry.get("scope"), entry.get("id"), entry.get("outcome")) == (scope, identity, "applied"):
                    return entry
        return None

    def close(self) -> None:
        """Give back connections."""
        self._api.close()

    def _put(self, name: str, content: bytes, generation: int, *, bucket: str = "") -> None:
        resource = {"name": name, "contentType": "application/json", "cacheControl": "no-store"}
        self._api.upload(bucket or self._bucket, resource, content, {"ifGenerationMatch": generation})
