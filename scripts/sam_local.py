#!/usr/bin/env python3
"""`sam local invoke` and `sam local start-api`, with a DynamoDB on this machine for the functions in their containers.

Without DYNAMODB_ENDPOINT the embedded engine runs beside them, in memory, with the documents' data. It listens on
loopback, which a container cannot reach, so a forwarder listens on the address that Docker gives this machine.
DYNAMODB_ENDPOINT=http://127.0.0.1:PORT (and TABLE, default crm-access) takes one that runs already; for the engine of
`crm-access serve --dynamodb-port`, DYNAMODB_ACCESS_KEY is the access key that it printed.

usage: .tools/bin/python scripts/sam_local.py invoke set-contact-access -e events/set-contact-access.json
       .tools/bin/python scripts/sam_local.py start-api --port 3000
"""
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import functions
from engine import ROOT, Engine

COPY_BYTES = 64 * 1024
# The image from which SAM makes the containers of this machine's functions.
BASE_IMAGE = f"public.ecr.aws/lambda/provided:al2023-{functions.ARCHITECTURE}"


def docker_environment() -> dict[str, str]:
    """Docker as the environment says; otherwise the engine that scripts/sam-local.sh started."""
    state = os.environ.get("SAM_LOCAL_STATE") or os.path.join(os.environ.get("TMPDIR") or "/tmp", "sam-local")
    own = {"DOCKER_HOST": f"unix://{state}/docker.sock", "DOCKER_BUILDKIT": "0"}
    for extra in ({}, own):
        try:
            up = subprocess.run(["docker", "info"], env=dict(os.environ, **extra), capture_output=True).returncode == 0
        except FileNotFoundError:
            break
        if up:
            return extra
    sys.exit("no Docker engine answers: start Docker, or on a bare Debian machine run `scripts/sam-local.sh up`")


def pull_options(env: dict[str, str]) -> list[str]:
    """Keeps SAM from pulling an image that the engine has. The stand-in of scripts/sam-local.sh is in no registry, and a
    developer may be offline. The engine decides, not the way to it: a stand-in is also reached by an exported DOCKER_HOST."""
    found = subprocess.run(["docker", "image", "inspect", BASE_IMAGE], env=env, capture_output=True)
    return ["--skip-pull-image"] if found.returncode == 0 else []


def host_address(env: dict[str, str]) -> str | None:
    """This machine's address on Docker's bridge, or nothing where Docker runs in a machine of its own."""
    inspected = subprocess.run(["docker", "network", "inspect", "bridge"], env=env, capture_output=True, text=True)
    if inspected.returncode != 0:
        return None
    for config in json.loads(inspected.stdout)[0]["IPAM"]["Config"]:
        # Where Docker does not say, the gateway is the subnet's first address.
        address = config.get("Gateway") or str(next(ipaddress.ip_network(config["Subnet"]).hosts()))
        try:
            with socket.socket() as probe:
                probe.bind((address, 0))
                return address
        except OSError:
            continue
    return None


def copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(COPY_BYTES):
            sink.sendall(data)
    except OSError:
        pass  # One side has gone; the other learns it below.
    finally:
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def forward(address: str, port: int) -> int:
    """Forwards a free port on `address` to `port` on loopback, until the program ends."""
    listener = socket.create_server((address, 0))

    def accept() -> None:
        while True:
            inner, _ = listener.accept()
            try:
                outer = socket.create_connection(("127.0.0.1", port))
            except OSError:
                inner.close()
                continue
            threading.Thread(target=copy, args=(inner, outer), daemon=True).start()
            threading.Thread(target=copy, args=(outer, inner), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def seen_from_container(endpoint: str, env: dict[str, str]) -> str:
    """The URL under which a container reaches a DynamoDB of this machine."""
    url = urlsplit(endpoint)
    if url.hostname not in ("127.0.0.1", "localhost"):
        return endpoint
    if address := host_address(env):
        return f"http://{address}:{forward(address, url.port or 80)}"
    return f"http://host.docker.internal:{url.port or 80}"


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in ("invoke", "start-api"):
        print(__doc__, file=sys.stderr)
        return 2
    args = [functions.logical_id(arg) if i == 1 and sys.argv[1] == "invoke" and arg in functions.names() else arg
            for i, arg in enumerate(sys.argv[1:])]
    functions.built()
    sam = Path(sys.executable).with_name("sam")
    if not sam.is_file():
        sys.exit("aws-sam-cli is not installed here: run `make tools`, then .tools/bin/python scripts/sam_local.py")
    env = dict(os.environ, SAM_CLI_TELEMETRY="0", AWS_EC2_METADATA_DISABLED="true", **docker_environment())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        if endpoint := os.environ.get("DYNAMODB_ENDPOINT"):
            table = os.environ.get("TABLE") or "crm-access"
            access_key = os.environ.get("DYNAMODB_ACCESS_KEY") or "local"
        else:
            engine = stack.enter_context(Engine())
            endpoint, table, access_key = engine.endpoint, engine.table, engine.access_key
        variables = functions.environment(seen_from_container(endpoint, env), table, access_key)
        # Region and credentials go in through sam, which gives a container its own.
        env.update({name: variables.pop(name) for name in list(variables) if name.startswith("AWS_")})
        # A session of the shell's own would go with the engine's key.
        env.pop("AWS_SESSION_TOKEN", None)
        env.pop("AWS_PROFILE", None)
        env["AWS_DEFAULT_REGION"] = env["AWS_REGION"]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "env.json").write_text(json.dumps({"Parameters": variables}))
        command = [str(sam), "local", *args, "--env-vars", str(folder / "env.json"),
                   "--parameter-overrides", f"Architecture={functions.ARCHITECTURE}", *pull_options(env)]
        process = subprocess.Popen(command, cwd=ROOT, env=env)
        try:
            return process.wait()
        except KeyboardInterrupt:
            return 130
        finally:
            # Not SIGINT, which a program started in the background ignores.
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
