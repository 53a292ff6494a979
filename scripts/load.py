#!/usr/bin/env python3
"""Measures `crm-access serve` under load: four calls at 1, 8 and 64 connections, without and with a job beside.

`wrk` makes the calls on the same machine. A connection sends its next request after the answer. The server keeps its data
in a file, and its memory is sampled every second.

usage: scripts/load.py [--seconds SECONDS] [--contacts N] [--json FILE] [--profile PROFILE]
"""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from engine import ROOT, Server, build, cpu_seconds
from numbers_page import LOAD, load_table

SCRIPT = ROOT / "scripts" / "load.lua"
CONNECTIONS = [1, 8, 64]
# The tokens of several administrators, because a user may have 50 open jobs. The first belongs to the job beside.
TOKENS = [f"load-administrator-token-000000000000000{number}" for number in range(5)]
FILTERED, REST = "thousand", "rest"
# Contacts of the filter, and the first contacts, which the single calls choose from.
FILTER_CONTACTS = 1000
USERS, MANAGERS, SHARDS = 100, 3, 4
# Different bodies of a write. A random choice nearly always changes the access.
BODIES = 500
TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.2
IDLE_SECONDS = 120


def user(number: int) -> str:
    return str(uuid.UUID(int=0x10AD_0000_0000_4000_8000_0000_0000_0000 + number))


def managers() -> list[str]:
    return [user(number) for number in random.sample(range(USERS), MANAGERS)]


def portal(contacts: int):
    """Yields the import lines of the portal."""
    yield {"portal": {"Id": "load", "Shards": SHARDS}}
    for number in range(USERS):
        yield {"user": {"Id": user(number), "DisplayName": f"User {number}", "IsAdmin": number < len(TOKENS)}}
    for number, token in enumerate(TOKENS):
        yield {"token": {"Token": token, "UserId": user(number), "Scopes": ["read", "write"]}}
    for contact in range(1, contacts + 1):
        yield {"contact": {
            "id": contact, "DisplayName": f"Contact {contact} of the portal under load", "CreateBy": {"Id": user(0)},
            "Created": f"2020-{contact % 12 + 1:02}-{contact % 28 + 1:02}T12:00:00Z", "ShareType": 0,
            "Tags": [FILTERED if contact <= FILTER_CONTACTS else REST],
            "AccessList": [{"Id": manager} for manager in managers()],
        }}


class Job(threading.Thread):
    """Jobs beside the measured calls, one after another."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.ended, self.done, self.failure = url, threading.Event(), 0, None

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        headers = {"Authorization": TOKENS[0], "Content-Type": "application/json", "Prefer": "respond-async"}
        if body:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.url}/api/2.0/crm/{path}", data, headers, method=method)
        last = time.monotonic() + IDLE_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                    return {"job": answer.headers["X-Job-Id"], **json.load(answer)}
            except urllib.error.HTTPError as failure:
                # Sixty-four lists at a time leave no time for another call. The service asks to call again later.
                if failure.code != 503 or time.monotonic() > last:
                    raise
                time.sleep(int(failure.headers["Retry-After"] or 1))

    def run(self) -> None:
        try:
            while not self.ended.is_set():
                body = {"tags": [REST], "isPrivate": True, "managerList": managers()}
                job = self.call("PUT", "contact/filter/access", body)["job"]
                while (state := self.call("GET", f"access/jobs/{job}")["response"]["state"]) in ("queued", "running"):
                    time.sleep(POLL_SECONDS)
                if state != "done":
                    raise RuntimeError(f"a job ended as {state}")
                self.done += 1
        except Exception as failure:
            self.failure = failure

    def __enter__(self) -> "Job":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.ended.set()
        self.join()
        if self.failure:
            sys.exit(f"the job beside the calls failed: {self.failure}")


class Memory(threading.Thread):
    """Samples of the server's resident memory: seconds and MB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.status, self.samples, self.ended = Path(f"/proc/{pid}/status"), [], threading.Event()

    def run(self) -> None:
        started = time.monotonic()
        while True:
            line = next(line for line in self.status.read_text().splitlines() if line.startswith("VmRSS:"))
            self.samples.append((round(time.monotonic() - started, 1), round(int(line.split()[1]) / 1024, 1)))
            if self.ended.wait(1):
                return

    def end(self) -> list:
        self.ended.set()
        self.join()
        return self.samples


def calls(folder: Path) -> dict[str, list[str]]:
    """Returns the arguments of load.lua for each call: method, path and bodies."""
    def bodies(name: str, body) -> str:
        file = folder / name
        file.write_text("".join(json.dumps(body(managers())) + "\n" for _ in range(BODIES)))
        return str(file)

    single = bodies("single.txt", lambda users: {"isShared": False, "managerList": users})
    filtered = bodies("filter.txt", lambda users: {"tags": [FILTERED], "isPrivate": True, "managerList": users})
    path = "/api/2.0/crm/contact"
    return {
        "GET one contact": ["GET", f"{path}/CONTACT"],
        "PUT access of one contact": ["PUT", f"{path}/CONTACT/access", single],
        "GET a list of 25": ["GET", f"{path}/filter?count=25"],
        "PUT access by filter, 1,000 contacts": ["PUT", f"{path}/filter/access?count=25", filtered],
    }


def measure(url: str, arguments: list[str], connections: int, seconds: int) -> dict:
    """Runs wrk with a thread for each connection, and ends wrk when all threads have stopped."""
    command = ["wrk", "-t", str(connections), "-c", str(connections), "-d", f"{seconds + TIMEOUT_SECONDS}s", "--timeout",
               f"{TIMEOUT_SECONDS}s", "-s", str(SCRIPT), url, "--", str(seconds), ",".join(TOKENS[1:]),
               str(FILTER_CONTACTS), *arguments]
    stopped, found = 0, None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wrk:
        for line in wrk.stdout:
            stopped += line == "stopped\n"
            if line == "stopped\n" and stopped == connections:
                wrk.send_signal(signal.SIGINT)
            if line.startswith("{"):
                found = json.loads(line)
    return found or sys.exit(f"wrk failed with status {wrk.returncode}")


def wait_until_idle(pid: int) -> None:
    """Waits for the jobs that a cell has left, so that they do not slow the next cell."""
    for _ in range(IDLE_SECONDS):
        before = cpu_seconds(pid)
        time.sleep(1)
        if cpu_seconds(pid) - before < 0.1:
            return
    sys.exit(f"the server was still busy {IDLE_SECONDS} seconds after a cell")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=25, help="length of a cell (default 25)")
    parser.add_argument("--contacts", type=int, default=20_000, help="contacts of the portal (default 20,000)")
    parser.add_argument("--json", type=Path, default=ROOT / "target" / LOAD, help=f"output (default target/{LOAD})")
    parser.add_argument("--profile", default="bench", help="cargo's profile for the server (default bench)")
    args = parser.parse_args()
    program = build("--profile", args.profile, "--bin", "crm-access")["crm-access"]
    cells = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "portal.ndjson"
        file.write_text("".join(json.dumps(line) + "\n" for line in portal(args.contacts)))
        # The import is another process, so that its memory does not count.
        data = ["--data-dir", str(folder / "data")]
        subprocess.run([program, "import", *data, str(file)], check=True, stdout=subprocess.DEVNULL)
        with Server(*data, program=program) as server:
            memory = Memory(server.process.pid)
            memory.start()
            for call, arguments in calls(folder).items():
                for job in (False, True):
                    for connections in CONNECTIONS:
                        if job:
                            with Job(server.url):
                                cell = measure(server.url, arguments, connections, args.seconds)
                        else:
                            cell = measure(server.url, arguments, connections, args.seconds)
                        wait_until_idle(server.process.pid)
                        cells.append({"call": call, "connections": connections, "job": job, **cell})
                        print(cells[-1], file=sys.stderr, flush=True)
            samples = memory.end()
    result = {"contacts": args.contacts, "job_contacts": args.contacts - FILTER_CONTACTS, "seconds": args.seconds,
              "processors": os.cpu_count(), "profile": args.profile, "cells": cells, "memory": samples}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(load_table(result))


if __name__ == "__main__":
    main()
