"""What an environment runs, in its records bucket: `applied/ENV.json`, its former versions, and audit lines.

The bucket may not exist yet: reading then finds nothing. Writes carry the generation that was read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reconcilers.core.errors import Conflict
from reconcilers.fleet.model import Environment
from reconcilers.providers.buckets_api import Absent, Api, object_path


class Records:
    """The records of one environment."""

    def __init__(self, environment: Environment) -> None:
        self._api = Api(environment)
        self._bucket: str = environment.data["targets"]["buckets"]["records"]

    def read_applied(self, env: str) -> tuple[Mapping[str, Any] | None, int]:
        """The record and its generation; (None, 0) if nothing was applied yet."""
        name = f"applied/{env}.json"
        try:
            found = self._api.call("GET", object_path(self._bucket, name))
            document: Mapping[str, Any] = json.loads(self._api.download(self._bucket, name))
        except Absent:
            return None, 0
        return document, int(found["generation"])

    def write_applied(self, env: str, document: Mapping[str, Any], generation: int) -> None:
        """Replace the record, its former versions kept beside it. Raises `Conflict` if another run wrote meanwhile."""
        content = json.dumps(document, indent=1, sort_keys=True).encode()
        past = f"applied/history/{env}/{document['finished']}.json"
        try:
            self._put(past, content, 0)
        except Conflict:
            pass  # this very record was kept by a run that ended before it could replace the pointer
        self._put(f"applied/{env}.json", content, generation)

    def append_audit(self, env: str, run: str, lines: bytes) -> None:
        """Keep the audit lines of one run; sending them twice is harmless."""
        try:
            self._put(f"audit/{env}/{run}.jsonl", lines, 0)
        except Conflict:
            pass  # they arrived before, and a run's lines never change

    def close(self) -> None:
        """Give back connections."""
        self._api.close()

    def _put(self, name: str, content: bytes, generation: int) -> None:
        resource = {"name": name, "contentType": "application/json", "cacheControl": "no-store"}
        self._api.upload(self._bucket, resource, content, {"ifGenerationMatch": generation})
