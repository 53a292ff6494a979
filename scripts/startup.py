#!/usr/bin/env python3
"""Measures start-up, first call, warm call, memory and size of every built function and of an empty function.

The script runs scripts/coldstart.py on each bootstrap with the function's event. The functions call the embedded engine
over TLS, like DynamoDB. Each run has a fresh engine, so that each first call changes a contact.

usage: scripts/startup.py [-n RUNS]
"""
import argparse
import functools
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import functions
from engine import ROOT, Engine, build
from tls_front import TlsFront

MAX_START_MS, MAX_START_RATIO, MAX_SINGLE_CALL_MS, MAX_SIZE_MB = 8, 3, 10, 8
# The function whose first call makes four DynamoDB calls.
SINGLE_CALL = "set-contact-access"
ROWS = ["init ms", "first invoke ms", "warm invoke ms", "peak RSS MB"]


def cold_start(bootstrap: Path, event: Path | None, environment: dict[str, str], status: bool = True) -> list[float]:
    command = [sys.executable, str(ROOT / "scripts" / "coldstart.py"), "-n", "1"]
    if event:
        command += ["--event", str(event)]
    for name, value in environment.items():
        command += ["--env", f"{name}={value}"]
    done = subprocess.run([*command, "--", str(bootstrap)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{bootstrap}: {done.stdout}{done.stderr}")
    if event and status and '"statusCode":200' not in done.stdout.replace(" ", ""):
        sys.exit(f"{bootstrap} did not answer 200: {done.stdout}")
    return [float(re.search(rf"{re.escape(row)}\s+min.*median\s+([0-9.]+)", done.stdout).group(1)) for row in ROWS]


@functools.cache
def optimised_program() -> str:
    """Returns the path of the program as `make bench` builds it. A slow engine would lengthen the calls of the functions."""
    return build("--workspace", "--profile", "bench", "--bin", "crm-access")["crm-access"]


def measured(function: functions.Function) -> list[float]:
    with Engine(program=optimised_program()) as engine, TlsFront(int(engine.endpoint.rsplit(":", 1)[1])) as front:
        # Lambda has one file of trusted roots. Debian also has a folder of roots, which the function would read too.
        roots = {"SSL_CERT_FILE": str(front.roots), "SSL_CERT_DIR": front.no_roots}
        environment = functions.environment(front.url, engine.table, engine.access_key) | roots
        return cold_start(function.bootstrap, function.event, environment, function.is_http)


def empty_function() -> Path:
    command = ["cargo", "build", "--locked", "--release", "-p", "empty-function", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    executables = [json.loads(line).get("executable") for line in built.stdout.splitlines()]
    return Path(next(path for path in executables if path))


def row(name: str, bootstrap: Path, runs: list[list[float]]) -> tuple[list[float], float]:
    """Prints a row of medians and returns the medians and the size."""
    medians, size = [statistics.median(column) for column in zip(*runs)], bootstrap.stat().st_size / 1e6
    print(f"| {name} | {' | '.join(f'{median:.2f}' for median in medians)} | {size:.2f} |", flush=True)
    return medians, size


def verdict(what: str, measured: float, unit: str, limit: float) -> None:
    print(f"| {what} | {measured:.2f} {unit} | under {limit:.2f} {unit} | {'met' if measured < limit else 'NOT MET'} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=11, help="runs per function (default 11)")
    args = parser.parse_args()
    built, empty = functions.built(), empty_function()
    print(f"\nMedians of {args.n} runs. A first call makes at least four DynamoDB calls over TLS.\n")
    print("| function | start-up ms | first call ms | warm call ms | peak memory MB | size MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    runs = [cold_start(empty, None, {}) for _ in range(args.n)]
    empty_start = row("an empty lambda_http function", empty, runs)[0][0]
    rows = {
        function.name: row(function.name, function.bootstrap, [measured(function) for _ in range(args.n)])
        for function in built
    }
    slowest = max(medians[0] for medians, _ in rows.values())
    print("\n| what | measured | bar | |")
    print("| --- | --- | --- | --- |")
    verdict("start-up to the first poll, slowest function", slowest, "ms", MAX_START_MS)
    verdict("start-up, against an empty lambda_http program", slowest / empty_start, "times", MAX_START_RATIO)
    verdict("first call, four DynamoDB calls over TLS", rows[SINGLE_CALL][0][1], "ms", MAX_SINGLE_CALL_MS)
    verdict("binary, largest function", max(size for _, size in rows.values()), "MB", MAX_SIZE_MB)


if __name__ == "__main__":
    main()
