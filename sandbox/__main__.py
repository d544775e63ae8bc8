"""The sandbox's own program, started by `refloat sandbox`."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from client.errors import ClientError
from domain.errors import CatalogError, RecoveryError, RefusedError
from sandbox import settings
from sandbox.cloud import NAMES, psql_cloud, restart_shop, status_of_cloud, up_cloud
from sandbox.console import keep_stdout_for_json, say
from sandbox.demo import demo
from sandbox.environment import SandboxStatus, down, psql, status_of, tell_status, up
from sandbox.images import RELEASES, deploy
from sandbox.layout import SandboxLayout, choose_root
from sandbox.programs import keep


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="refloat sandbox")
    parser.add_argument("act", choices=tuple(_ACTS))
    parser.add_argument("--root", type=Path, default=Path(".refloat"))
    parser.add_argument(
        "--disaster",
        choices=("drop-table", "disk", "bad-update"),
        default="drop-table",
        help="with demo: what goes wrong",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument(
        "--cloud",
        choices=tuple(NAMES),
        default="",
        help="with up: rehearse against a simulated cloud, without an account",
    )
    parser.add_argument("--purge", action="store_true", help="with down: remove the folder too")
    asked, rest = parser.parse_known_args()
    asked.rest = rest
    if rest and asked.act not in {"psql", "deploy"}:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    return asked


def _run(asked: argparse.Namespace) -> int:
    link = asked.root.absolute()
    root, note = choose_root(asked.root) if asked.act in _MAKING else (link.resolve(), "")
    if note:
        say(note)
    layout = SandboxLayout(root)
    code = _ACTS[asked.act](layout, asked)
    if asked.act == "down" and asked.purge and link.is_symlink():
        link.unlink()
    if asked.json and asked.act in {"up", "status"}:
        print(_found(layout).model_dump_json(indent=1))  # noqa: T201 - the document
    return code


def _found(layout: SandboxLayout) -> SandboxStatus:
    ports = layout.ports
    return status_of_cloud(layout, ports) if ports and ports.cloud else status_of(layout)


def _up(layout: SandboxLayout, asked: argparse.Namespace) -> int:
    ports = layout.ports
    cloud = asked.cloud or (ports.cloud if ports else "")
    if cloud:
        up_cloud(layout, cloud)
    else:
        up(layout)
    return 0


def _restart_shop(layout: SandboxLayout, _asked: argparse.Namespace) -> int:
    restart_shop(layout)
    return 0


def _keep(layout: SandboxLayout, _asked: argparse.Namespace) -> int:
    keep(layout)
    return 0


def _down(layout: SandboxLayout, asked: argparse.Namespace) -> int:
    down(layout, purge=asked.purge)
    return 0


def _psql(layout: SandboxLayout, asked: argparse.Namespace) -> int:
    ports = layout.ports
    if ports is not None and ports.cloud:
        psql_cloud(layout, asked.rest)
    else:
        psql(layout, asked.rest)
    return 0


def _deploy(layout: SandboxLayout, asked: argparse.Namespace) -> int:
    """Put a release, or a bad configuration, into the shop, as a pipeline would."""
    wanted, ports = asked.rest, layout.ports
    if len(wanted) != 1 or wanted[0] not in {*RELEASES, "settings"}:
        raise RefusedError(f"name what to deploy: one of {', '.join(RELEASES)}, settings")
    if ports is None or ports.cloud:
        raise RefusedError(f"no sandbox of this machine under {layout.root}")
    if wanted[0] == "settings":
        say(f"committed and applied bad settings: {settings.break_it(layout)[:12]}")
    else:
        say(f"the shop runs {wanted[0]} from now on: {deploy(layout, ports, wanted[0])}")
    return 0


_MAKING = {"up", "keep", "demo"}
_ACTS: Mapping[str, Callable[[SandboxLayout, argparse.Namespace], int]] = {
    "up": _up,
    "keep": _keep,
    "down": _down,
    "psql": _psql,
    "deploy": _deploy,
    "restart-shop": _restart_shop,
    "status": lambda layout, _asked: tell_status(_found(layout)),
    "demo": lambda layout, asked: demo(layout, asked.disaster),
}


def _told(sentence: str, code: int) -> int:
    print(f"refloat: {sentence}", file=sys.stderr)  # noqa: T201 - the command's output
    return code


def main() -> None:
    """Run one act."""
    try:
        asked = _parse()
        if asked.json:
            keep_stdout_for_json()
        code = _run(asked)
    except KeyboardInterrupt:
        code = _told(
            "stopped by Ctrl-C; what was started goes on, `refloat sandbox down` ends it", 130
        )
    except ClientError as error:
        code = _told(str(error), error.exit_code)
    except (RefusedError, CatalogError) as error:
        code = _told(str(error), 2)
    except RecoveryError as error:
        code = _told(str(error), 1)
    except OSError as error:
        code = _told(f"{error.filename or 'the sandbox'}: {error.strerror or error}", 1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the SDK's core may crash when the interpreter ends; the work is done by now


if __name__ == "__main__":
    main()
