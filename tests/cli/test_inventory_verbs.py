"""`mlab targets` and `mlab network-config` through the real command line: output, files, statuses, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reconcilers.cli.main import main
from reconcilers.fleet import published
from tests.config.configuration import committed
from tests.fleets import write_fleet

LABEL = ("--label", "service=ndt7")
TARGET = ("--template-target", "{{hostname}}:443")
OTI = "mlab-oti.measurement-lab.test"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fleet(tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def sites_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "sites.json"
    sets = published.sets(committed(), committed().environments["production"])
    path.write_bytes(next(f.data for s in sets for f in s.files if f.path == "v2/sites/sites.json"))
    return path


def run(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(words)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def printed(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Any:
    status, out, err = run(words, capsys)
    assert status == 0, err
    return json.loads(out)


def test_targets_of_the_checkout(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("targets", "experiments", "--root", str(root), *TARGET, *LABEL, "--project", "mlab-oti")
    records = printed((*words, "--select", "ndt.iupui.*lga05", "--decoration", "v6"), capsys)
    assert [record["targets"] for record in records] == [[f"ndt-iupui-mlab{n}v6-lga05.{OTI}:443"] for n in (1, 2, 3)]
    assert records[0]["labels"] == {
        "experiment": "ndt.iupui",
        "ipv6": "present",
        "machine": f"mlab1-lga05.{OTI}",
        "service": "ndt7",
    }


def test_targets_of_a_published_file_are_those_that_are_published(
    sites_json: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the options, spelt as the public platform's scripts spell them, that they make each file with."""
    sets = published.sets(committed(), committed().environments["staging"])
    files = {file.path: json.loads(file.data) for s in sets if s.name == "prometheus" for file in s.files}
    common = (*("--sites", str(sites_json)), *("--project", "mlab-staging"))
    made = {
        "blackbox-targets/ndt_ssl.json": (
            *("experiments", "--template_target", "{{hostname}}:3010", "--select", "ndt.iupui"),
            *("--label", "service=ndt_ssl", "--label", "module=tcp_v4_tls_online"),
        ),
        "blackbox-targets-ipv6/ssh_ipv6.json": (
            *("machines", "--template_target", "{{hostname}}:22", "--physical", "--decoration", "v6"),
            *("--label", "service=ssh", "--label", "module=ssh_v6_online"),
        ),
        "bmc-targets/bmc_e2e.json": (
            *("machines", "--template_target", "{{hostname}}", "--label", "service=bmc_e2e"),
            *("--physical", "--decoration", "d"),
        ),
        "blackbox-targets/switches_ping.json": (
            *("sites", "--template_target", "s1-{{sitename}}.measurement-lab.test", "--label", "module=icmp"),
            *("--physical", "--select", "[a-z]{3}[0-9]{2}"),
        ),
    }
    for path, words in made.items():
        assert printed(("targets", *words, *common), capsys) == files[f"prometheus/{path}"], path
        assert len(files[f"prometheus/{path}"]) > 100


def test_a_published_file_may_come_through_a_pipe(sites_json: Path) -> None:
    words = ("targets", "machines", *TARGET, *LABEL, "--sites", "-", "--select", "mlab1-akl01")
    with sites_json.open("rb") as file:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("mlab")), *words], stdin=file, capture_output=True, check=True
        )
    assert [record["targets"] for record in json.loads(done.stdout)] == [[f"mlab1-akl01.{OTI}:443"]]


def test_the_corrected_list_has_more_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("targets", "experiments", *TARGET, *LABEL, "--select", "mlab1-akl01")
    listed, complete = printed(words, capsys), printed((*words, "--by-index"), capsys)
    assert (len(listed), len(complete)) == (12, 14)
    dotted = printed((*words[:-1], "^ndt.mlab1.akl01", "--names", "v1"), capsys)
    assert dotted[0]["targets"] == ["ndt.mlab1.akl01.measurement-lab.test:443"]


def test_a_template_makes_a_file_for_each_machine(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = tmp_path / "stage1.template"
    template.write_text(
        "set ip {{ipv4_address}}/{{ipv4_subnet}}\nset net ${net0/ip} {{later}} {{color}}\n{{kernel_command_line}}\n"
    )
    words = (
        *("network-config", "--root", str(root), "--template_input", str(template)),
        *("--template_output", f"{tmp_path}/stage1-{{{{hostname}}}}.ipxe"),
        *("--physical", "--project", "mlab-oti", "--label", "color=red", "--select", "mlab[12]"),
    )
    status, out, _ = run(words, capsys)
    names = [f"{tmp_path}/stage1-mlab{n}-lga05.{OTI}.ipxe" for n in (1, 2)]
    assert (status, out.splitlines()) == (0, names)
    first, second, line = Path(names[1]).read_text().splitlines()
    assert (first, second) == ("set ip 198.18.0.22/26", "set net ${net0/ip} {{later}} red")
    assert line.startswith("net.ifnames=0 ") and f"epoxy-boot-api.{OTI}/v1/boot/mlab2-lga05.{OTI}/" in line


def test_two_machines_never_share_a_file(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = tmp_path / "t"
    template.write_text("x")
    words = ("network-config", "--root", str(root), "--template-input", str(template))
    status, _, err = run((*words, "--template-output", f"{tmp_path}/same"), capsys)
    assert status == 1 and "put {{hostname}} in it" in err
    assert not (tmp_path / "same").exists()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("targets", "machines", *TARGET), 1, "need at least one --label"),
        (("targets", "experiments", *TARGET), 1, "need at least one --label"),
        (("targets", "machines", *LABEL), 1, "--template-target"),
        (("targets", "racks", *TARGET, *LABEL), 1, "invalid choice: 'racks'"),
        (("targets", "machines", *TARGET, "--label", "a=b=c"), 1, "a=b=c: is not KEY=VALUE"),
        (("targets", "machines", *TARGET, "--label", "a"), 1, "a: is not KEY=VALUE"),
        (("targets", "machines", *TARGET, *LABEL, "--select", "["), 1, "is no regular expression"),
        (("targets", "machines", *TARGET, *LABEL, "--decoration", "v5"), 1, "invalid choice: 'v5'"),
        (("targets", "machines", *TARGET, *LABEL, "--project", "mlab-x"), 1, "known: mlab-oti, mlab-sandbox"),
        (("targets", "machines", *TARGET, *LABEL, "--sites", "/nowhere"), 1, "cannot be read"),
        (("targets", "machines", *TARGET, *LABEL, "--sites", __file__), 5, "is no JSON"),
        (("network-config", "--template-input", "/nowhere", "--template-output", "x"), 1, "cannot be read"),
        (("network-config", "--template-input", __file__, "--template-output", "/nowhere/{{hostname}}"), 1, "written"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    words: Sequence[str], status: int, said: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run((*words, "--root", str(root)), capsys)
    assert (found, out) == (status, "")
    assert said in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}', "is no sites.json: the whole"),
        ('[{"name": "lga05"}]', "is no sites.json: 0"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.json").write_text(text)
    words = ("targets", "machines", *TARGET, *LABEL, "--sites", str(tmp_path / "other.json"))
    status, _, err = run(words, capsys)
    assert status == 5 and said in err
