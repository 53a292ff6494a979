#!/usr/bin/env python3
"""Runs `sam local invoke` and `sam local start-api` with a DynamoDB engine on this machine.

Without DYNAMODB_ENDPOINT, the script starts the embedded engine in memory with the fixture. A container cannot reach
the loopback address of the engine, so a forwarder listens on this machine's address in the Docker network.

DYNAMODB_ENDPOINT=http://127.0.0.1:PORT and TABLE (default crm-access) name a running engine instead. For the engine of
`crm-access serve --dynamodb-port`, DYNAMODB_ACCESS_KEY is the access key that `serve` printed.

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
# The base image of SAM's containers for the architecture of this machine.
BASE_IMAGE = f"public.ecr.aws/lambda/provided:al2023-{functions.ARCHITECTURE}"


def docker_environment() -> dict[str, str]:
    """Returns the variables that select a Docker engine: none for the engine of the environment, if it answers, or else
    those of the engine of scripts/sam-local.sh. Ends the program if neither engine answers.
    """
    state = os.environ.get("SAM_LOCAL_STATE") or os.path.join(os.environ.get("TMPDIR") or "/tmp", "sam-local")
    own = {"DOCKER_HOST": f"unix://{state}/docker.sock", "DOCKER_BUILDKIT": "0"}
    for extra in ({}, own):
        try:
            up = subprocess.run(["docker", "info"], env=dict(os.environ, **extra), capture_output=True).returncode == 0
        except FileNotFoundError:
            break
        if up:
            return extra
    sys.exit("no Docker engine answers: start Docker, or run `scripts/sam-local.sh up` on a bare Debian machine")


def pull_options(env: dict[str, str]) -> list[str]:
    """Returns the option that keeps SAM from pulling the base image, if the engine has the image.

    No registry has the stand-in image of scripts/sam-local.sh, and a developer may be offline. The function asks the
    engine and not the environment, because an exported DOCKER_HOST may also name the engine of scripts/sam-local.sh.
    """
    found = subprocess.run(["docker", "image", "inspect", BASE_IMAGE], env=env, capture_output=True)
    return ["--skip-pull-image"] if found.returncode == 0 else []


def host_address(env: dict[str, str]) -> str | None:
    """Returns this machine's address on Docker's bridge, or None if Docker runs in a virtual machine."""
    inspected = subprocess.run(["docker", "network", "inspect", "bridge"], env=env, capture_output=True, text=True)
    if inspected.returncode != 0:
        return None
    for config in json.loads(inspected.stdout)[0]["IPAM"]["Config"]:
        # Without a stated gateway, the gateway is the first address of the subnet.
        address = config.get("Gateway") or str(next(ipaddress.ip_network(config["Subnet"]).hosts()))
        try:
            with socket.socket() as probe:
                probe.bind((address, 0))
                return address
        except OSError:
            continue
    return None


def copy(source: socket.socket, sink: socket.socket) -> None:
    """Copies bytes until the source ends, then shuts the writing side of the sink down."""
    try:
        while data := source.recv(COPY_BYTES):
            sink.sendall(data)
    except OSError:
        pass  # One side has closed the connection. The shutdown below informs the other side.
    finally:
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def forward(address: str, port: int) -> int:
    """Forwards a free port of `address` to `port` on loopback until the program ends; returns the free port."""
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
    """Returns the URL under which a container reaches a DynamoDB engine on this machine."""
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
        sys.exit("this Python has no aws-sam-cli: run `make tools`, then .tools/bin/python scripts/sam_local.py")
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
        # SAM passes the region and credentials of its own environment to the container, so the script sets both.
        env.update({name: variables.pop(name) for name in list(variables) if name.startswith("AWS_")})
        # SAM would combine the shell's session token or profile with the access key of the engine.
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
            # terminate() sends SIGTERM. A program that runs in the background ignores SIGINT.
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
