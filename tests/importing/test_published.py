"""From what an inventory publishes, by folder and by URL: the same files as from its checkout."""

from __future__ import annotations

import http.server
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.importing import siteinfo
from tests.importing.command import Imported, bring, content, mlab
from tests.serving import served

FILES = ("v2/sites/sites.json", "v2/retired/sites.json", "v2/sites/hostnames.json")


@pytest.fixture(scope="module")
def published(inventory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published files of the inventory; not to be changed."""
    return siteinfo.publish(inventory, tmp_path_factory.mktemp("published"))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_arguments: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """As a web server does, but for one path that is always too busy."""
        if "/busy/" in self.path:
            self.send_error(503)
        else:
            super().do_GET()


@pytest.fixture(scope="module")
def url(published: Path) -> Iterator[str]:
    """Where they are served on loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(published)))
    with served(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"


def of_sites(root: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(root).items() if not name.endswith(".imported")}


@pytest.mark.parametrize("end", ["", "/", "/v2", "/v2/"])
def test_a_folder_gives_what_the_checkout_gives_but_for_what_is_published_nowhere(
    end: str, published: Path, imported: Imported, tmp_path: Path
) -> None:
    made = bring(f"{published}{end}", into=tmp_path, published=True)
    expected = of_sites(imported.root)
    del expected["config/sites/lhr04.yaml"]
    assert of_sites(tmp_path) == expected
    assert made.said["no_counterpart"] == [] and made.said["hosts"]["differing"] == []
    assert made.said["hosts"]["compared"] > imported.said["hosts"]["compared"]
    assert made.said["states"]["unlisted"]["sites"] == 0


def test_a_url_gives_the_same(url: str, imported: Imported, tmp_path: Path) -> None:
    made = bring(url, into=tmp_path, published=True)
    expected = of_sites(imported.root)
    del expected["config/sites/lhr04.yaml"]
    assert of_sites(tmp_path) == expected
    assert made.said["differences"] == []


def test_the_list_of_experiments_is_whole_although_sites_show_the_first_dozen(
    published: Path, imported: Imported, tmp_path: Path
) -> None:
    shown = json.loads((published / FILES[0]).read_text())
    names = {e["name"] for site in shown for node in site["nodes"] for e in node["experiments"]}
    assert "demo12" not in names
    made = bring(published, into=tmp_path, published=True)
    assert made.said["differences"] == [], "demo11 and demo12 are known, with their indexes and in their places"


@pytest.mark.parametrize(
    ("where", "status", "words"),
    [
        ("{url}/nowhere", 1, "HTTP 404; give the URL that holds v2/"),
        ("{url}/busy", 4, "HTTP 503; try again later"),
        ("http://127.0.0.1:9", 4, "cannot be fetched"),
        ("ftp://127.0.0.1", 1, "ftp: published files are read over http, https or from a folder"),
        ("http://me:secret@127.0.0.1:9", 1, "user or password"),  # pragma: allowlist secret
        ("{tmp}/nowhere", 1, "No such file or directory; name what holds v2/"),
    ],
)
def test_what_does_not_give_the_files_is_one_line(
    where: str, status: int, words: str, url: str, tmp_path: Path
) -> None:
    where = where.format(url=url, tmp=tmp_path)
    done = mlab("import", "siteinfo", "--published", where, "--into", tmp_path / "fleet")
    assert (done.status, done.out) == (status, "")
    assert done.err.count("\n") == 1 and words in done.err
    assert "secret" not in done.err
    assert not (tmp_path / "fleet").exists()


def sites(change: Callable[[list[Any]], object]) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        path = root / FILES[0]
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    return do


def text(data: str) -> Callable[[Path], None]:
    def there(root: Path) -> None:
        (root / FILES[0]).write_text(data)

    return there


def renamed(name: Any) -> Callable[[Path], None]:
    return sites(lambda value: value[0].update(name=name))


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (text("{"), "is no JSON"),
        (text("\xff"), "v2/sites/sites.json"),
        (text("{}"), "holds no list"),
        (text("[]"), "no site is active"),
        (text("[1]"), "v2/sites/sites.json#0:1:1: I01 import.source: is no site"),
        (renamed(7), "is no site: an object with a name"),
        (renamed("../../etc/cron"), "has not the form of a name"),
        (renamed("LGA01"), "has not the form of a name"),
        (sites(lambda value: value.append(value[0])), "is published twice, also as v2/sites/sites.json#0"),
        (sites(lambda value: value[0].pop("location")), "`location` is missing"),
        (sites(lambda value: value[0]["location"].update(latitude="north")), "`location.latitude` must be a number"),
        (sites(lambda value: value[0]["location"].update(latitude=95)), "above the maximum of 90"),
        (sites(lambda value: value[0]["transit"].update(asn="ASX")), "`transit.asn` must be a whole number"),
        (sites(lambda value: value[0]["transit"].update(uplink="100g")), 'is "100g", not one of 1g, 10g, 40g'),
        (sites(lambda value: value[0].update(machines=[])), "`machines` must be a mapping"),
        (sites(lambda value: value[0].pop("machines")), "`machines` is missing"),
        (sites(lambda value: value[0]["machines"].update(mlab9={})), "mlab9"),
        (sites(lambda value: value[0]["lifecycle"].update(created="2019-02-30")), "2019-02-30"),
        (sites(lambda value: value[0]["lifecycle"].update(retired="2020-01-01")), "must be null"),
        (sites(lambda value: value[0]["annotations"].update(type="ghost")), "not one of physical, virtual"),
        (sites(lambda value: value[0].update(annotations=None)), "`type` is missing"),
        (
            sites(lambda value: value[0]["nodes"][0].update(hostname="mlab1-lga01.mlab-oti.other.example")),
            "several domains",
        ),
        (sites(lambda value: value[0]["nodes"][0]["experiments"][0].update(name="../x")), "is none: a name like ndt"),
        (sites(lambda value: value[0]["nodes"][0]["experiments"][0].update(index="one")), "is none: a name like ndt"),
    ],
)
def test_content_that_is_no_inventory_is_told_and_nothing_is_written(
    breaks: Callable[[Path], None], words: str, published: Path, tmp_path: Path
) -> None:
    root = tmp_path / "published"
    for file in FILES:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes((published / file).read_bytes())
    breaks(root)
    done = mlab("import", "siteinfo", "--published", root, "--into", tmp_path / "fleet")
    assert done.status == 5, done.out + done.err
    assert words in done.out, done.out + done.err
    assert done.err.count("\n") == 1 and "internal error" not in done.err
    assert not (tmp_path / "fleet").exists()
