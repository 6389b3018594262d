"""One object store for each worker of a test run; every test has a bucket of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.cloud import storage

from node import cloud_storage
from tests import objectstore_process
from tests.objectstore.wire import Wire

_numbers = itertools.count()


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with objectstore_process.running(tmp_path_factory.mktemp("objectstore")) as found:
        yield found


@pytest.fixture(scope="session")
def client(url: str) -> Iterator[storage.Client]:
    """The official client, as production code makes it but for the address."""
    made = cloud_storage.client("p", url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def wire(url: str) -> Wire:
    return Wire(url)


@pytest.fixture
def make_bucket(client: storage.Client) -> Callable[..., storage.Bucket]:
    """A new bucket with these attributes of the client's bucket."""

    def make(**attributes: Any) -> storage.Bucket:
        bucket = client.bucket(f"bucket-{next(_numbers)}")
        for name, value in attributes.items():
            setattr(bucket, name, value)
        bucket.create(location="US")
        return bucket

    return make


@pytest.fixture
def bucket(make_bucket: Callable[..., storage.Bucket]) -> storage.Bucket:
    return make_bucket()
