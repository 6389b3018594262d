"""`python -m services.epoxy.tokens serve|approve`: the extension server, and the approver of certificates.

Two programs, because they need different rights: one may create tokens and read nothing, the other may read tokens and
sign. SIGTERM and SIGINT end both with exit 0; port 0 lets the system choose, and the line `listening` tells which.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import prometheus_client

from services.epoxy import logs
from services.epoxy.tokens.api import Api, Place
from services.epoxy.tokens.callers import LOOPBACK

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="services.epoxy.tokens", description="Tokens and certificates of nodes.")
    programs = result.add_subparsers(dest="program", required=True)
    serve = programs.add_parser("serve", help="make tokens for hosts that boot, and delete their nodes")
    approve = programs.add_parser("approve", help="approve the certificates that tokens were made for")
    for one in (serve, approve):
        one.add_argument("--server", default="https://kubernetes.default.svc", metavar="URL", help="the API server")
        one.add_argument("--ca", type=Path, default=IN_CLUSTER / "ca.crt", metavar="FILE", help="who signed for it")
        one.add_argument("--token-file", type=Path, default=IN_CLUSTER / "token", metavar="FILE", help="our account's")
        one.add_argument("--listen", required=True, metavar="ADDRESS:PORT", help="address and port; port 0: any")
    serve.add_argument("--api-address", required=True, metavar="HOST:PORT", help="where nodes reach the API server")
    serve.add_argument("--peers", default=LOOPBACK, metavar="PREFIXES", help="who may call; default: loopback")
    serve.add_argument("--caller-token-file", type=Path, metavar="FILE", help="callers must present one of these")
    serve.add_argument("--tls-certificate", type=Path, metavar="FILE", help="serve TLS with this certificate")
    serve.add_argument("--tls-key", type=Path, metavar="FILE")
    serve.add_argument("--client-ca", type=Path, metavar="FILE", help="callers must have a certificate of this CA")
    return result


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    logs.configure()
    # The creation time of each counter would double every series. The library has no types for this call.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    api = Api(Place(options.server.rstrip("/"), options.ca, options.token_file))
    try:
        # Each is imported when it is run: the approver needs no web server, which is half of its memory.
        if options.program == "serve":
            from services.epoxy.tokens import serve

            return serve.run(options, api)
        from services.epoxy.tokens import approve

        return approve.run(options, api)
    except (ValueError, OSError) as error:
        logging.getLogger("epoxy.tokens").error("cannot start", extra={"fields": {"error": str(error)}})
        return 1
    finally:
        api.close()


if __name__ == "__main__":
    sys.exit(main())
