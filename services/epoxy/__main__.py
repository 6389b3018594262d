"""`python -m services.epoxy`: the boot server and its registry of hosts.

`--listen` is plain HTTP for loopback or for a proxy in front; `--linux-listen` and `--rom-listen` are the two TLS
listeners that machines use. SIGTERM and SIGINT stop it gracefully: no new connection, requests under way are finished,
exit 0. With port 0 the system chooses one; the line `listening` on stderr tells which.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import prometheus_client

from services.epoxy import (
    app,
    auth,
    callers,
    context,
    deadlines,
    logs,
    manifests,
    metrics,
    objects,
    operations,
    presence,
    proxied,
    serving,
    sessions,
    store,
    tls,
    writer,
)

_LOG = logging.getLogger("epoxy")
_POLICY = sessions.Policy()


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="services.epoxy", description="The boot server and its host registry.")
    add = result.add_argument
    add("--listen", required=True, metavar="ADDRESS:PORT", help="plain HTTP, all paths; port 0: any")
    add("--store", required=True, metavar="URL", help="sqlite:///absolute/path or postgresql://user@host/database")
    add("--admin-token-file", required=True, type=Path, metavar="FILE", help="one token a line")
    add("--read-token-file", type=Path, metavar="FILE", help="tokens that may only read")
    add("--commit", default="", metavar="HEX", help="of the software, for the metric git_short_commit")
    boot = result.add_argument_group("boot").add_argument
    boot("--public-hostname", default="localhost", metavar="NAME[:PORT]", help="the host in the URLs of a boot")
    boot("--storage-prefix-url", default="", metavar="URL", help="the bucket of the images: https, http or file")
    boot("--storage-token-file", type=Path, metavar="FILE", help="a bearer token for the bucket, read each time")
    boot("--manifest-keys", type=Path, metavar="PEM", help="public keys; every folder of images must be signed by one")
    boot("--media", type=Path, metavar="DIR", help="boot media: snponly.efi, HOST/autoexec.ipxe")
    boot("--operations", type=Path, metavar="FILE", help="the extension operations, as JSON")
    boot("--trusted-proxies", default="", metavar="PREFIXES", help="whose X-Forwarded-For counts, by commas")
    boot("--proxy-protocol", action="store_true", help="these proxies say so before the TLS handshake (PROXY protocol)")
    boot("--refusal-script", action="store_true", help="answer a refused stage1.ipxe with a script that says why")
    boot("--session-minutes", type=int, default=_POLICY.life_s // 60, metavar="N", help="how long a boot may take")
    boot("--stage1-limit", type=int, default=_POLICY.stage1_calls, metavar="N", help="boots of a host in 10 minutes")
    cluster = result.add_argument_group("cluster, as a witness of stage1").add_argument
    cluster("--when-healthy", choices=tuple(presence.Rule), default=presence.Rule.LOG, help="default: log")
    cluster("--cluster-server", metavar="URL", help="the API server; without it nothing is asked")
    cluster("--cluster-ca", type=Path, metavar="FILE", help="who signed for it")
    cluster("--cluster-token-file", type=Path, metavar="FILE", help="may get nodes and their leases")
    listeners = result.add_argument_group("TLS listeners").add_argument
    for name, who in (("linux", "Linux and administrators, port 443"), ("rom", "firmware and iPXE, port 4430")):
        listeners(f"--{name}-listen", metavar="ADDRESS:PORT", help=f"for {who}")
        listeners(f"--{name}-certificate", type=Path, metavar="PEM", help="the chain, read again when it changes")
        listeners(f"--{name}-key", type=Path, metavar="PEM")
    listeners("--client-ca", type=Path, metavar="PEM", help="stage1 needs a certificate of the host by this authority")
    listeners("--head-seconds", type=float, default=deadlines.HEAD_S, metavar="S", help="for the head of a request")
    listeners("--body-seconds", type=float, default=deadlines.BODY_S, metavar="S", help="for its body")
    listeners("--rom-no-old-suites", action="store_true", help="without the two suites of the oldest ROMs")
    return result


async def run(options: argparse.Namespace, tokens: auth.Tokens, settings: context.Settings) -> None:
    """Bind, serve until a signal, close."""
    hosts = store.connect(options.store)
    counted = metrics.Metrics(hosts, options.commit)
    writing = writer.Writer(hosts)
    client = aiohttp.ClientSession(auto_decompress=False, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
    try:
        trusted = manifests.keys(options.manifest_keys) if options.manifest_keys else ()
        images = manifests.Manifests(settings.storage, trusted)
        shared = context.Context(settings, hosts, writing, counted, lambda: client, images, _witness(options))
        listeners = _listeners(options, app.build(shared, tokens), settings.trusted_proxies, counted)
        shown = {f"{one.name}_address".removeprefix("plain_"): serving.address(one.socket) for one in listeners}
        _LOG.info("listening", extra={"fields": {**shown, "store": options.store}})
        await serving.serve(listeners, counted, head_s=options.head_seconds, body_s=options.body_seconds)
    finally:
        await client.close()
        await asyncio.to_thread(writing.close)
        hosts.close()
    _LOG.info("stopped")


def _settings(options: argparse.Namespace) -> context.Settings:
    if not 0 < options.session_minutes <= 1440 or not 0 < options.stage1_limit <= store.KEPT_BOOTS:
        raise ValueError(f"--session-minutes is 1 to 1440, --stage1-limit 1 to {store.KEPT_BOOTS}")
    if not re.fullmatch(r"[0-9a-f]{4,12}|", options.commit):
        raise ValueError(f"--commit {options.commit!r}: give 4 to 12 hexadecimal digits")
    prefix = options.storage_prefix_url.rstrip("/")
    if prefix and not prefix.startswith(("https://", "http://", "file:///")):
        raise ValueError(f"--storage-prefix-url {prefix!r}: give an https, http or file URL")
    private = urlsplit(prefix).scheme == "https" or urlsplit(prefix).hostname in ("127.0.0.1", "::1", "localhost")
    if options.storage_token_file and not private:
        raise ValueError(f"--storage-token-file: a token is sent over https, or to loopback, not to {prefix!r}")
    if options.proxy_protocol and not callers.networks(options.trusted_proxies):
        raise ValueError("--proxy-protocol needs --trusted-proxies: only they are believed")
    return context.Settings(
        public_host=options.public_hostname,
        storage=objects.Prefix(prefix, options.storage_token_file),
        media=options.media,
        rom_port=int((options.rom_listen or "").rpartition(":")[2] or 0) or context.ROM_PORT,
        trusted_proxies=callers.networks(options.trusted_proxies),
        refusal_script=options.refusal_script,
        certificates=options.client_ca is not None,
        policy=sessions.Policy(life_s=options.session_minutes * 60, stage1_calls=options.stage1_limit),
        operations=operations.Table(options.operations) if options.operations else {},
    )


def _witness(options: argparse.Namespace) -> presence.Witness | None:
    if options.cluster_server is None or options.when_healthy == presence.Rule.IGNORE:
        return None
    if options.cluster_ca is None or options.cluster_token_file is None:
        raise ValueError("--cluster-server needs --cluster-ca and --cluster-token-file")
    rule = presence.Rule(options.when_healthy)
    return presence.witness(options.cluster_server, options.cluster_ca, options.cluster_token_file, rule)


def _listeners(
    options: argparse.Namespace, apps: app.Applications, trusted: Sequence[callers.Network], counted: metrics.Metrics
) -> list[serving.Listener]:
    def bound(listen: str, option: str) -> socket.socket:
        made = serving.bind(listen, option)
        if not options.proxy_protocol:
            return made
        return proxied.Listening.of(made, trusted, counted.cut.labels("no-proxy-header").inc)

    made = [serving.Listener("plain", serving.bind(options.listen, "--listen"), apps.plain)]
    if options.linux_listen:
        identity = tls.modern(_files(options.linux_certificate, options.linux_key, "linux"))
        made.append(serving.Listener("linux", bound(options.linux_listen, "--linux-listen"), apps.linux, identity))
    if options.rom_listen:
        files = _files(options.rom_certificate, options.rom_key, "rom")
        identity = tls.rom(files, old_suites=not options.rom_no_old_suites)
        made.append(serving.Listener("rom", bound(options.rom_listen, "--rom-listen"), apps.rom, identity))
    for listener in made:
        if options.client_ca and listener.identity:
            tls.ask_for_certificates(listener.identity, options.client_ca)
    return made


def _files(certificate: Path | None, key: Path | None, name: str) -> tls.Files:
    if certificate is None or key is None:
        raise ValueError(f"--{name}-listen needs --{name}-certificate and --{name}-key")
    return tls.Files(certificate, key)


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    logs.configure()
    serving.raise_limit_of_files()
    # The creation time of each counter would double every series. The library has no types for this call.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        tokens = auth.Tokens(options.admin_token_file, options.read_token_file)
        asyncio.run(run(options, tokens, _settings(options)))
    except (ValueError, OSError, store.StoreError) as error:
        _LOG.error("cannot start", extra={"fields": {"error": str(error)}})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
