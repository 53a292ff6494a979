#!/usr/bin/env python3
"""Holds a running service to its own description: schemathesis makes calls from it, right ones and wrong ones.

The demo portal is served from memory, and every operation of /api/2.0/openapi.json is called with all checks, in all
phases: the examples, each bound of each parameter, values at random, and calls one after another by the links. Nothing
is left out. scripts/conformance_hooks.py puts into right calls the facts that no schema can state, such as the users.

usage: .tools/bin/python scripts/conformance.py [OPTION OF schemathesis run…]
"""
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from engine import ROOT, Demo

# Fewer cases than this mean that something was not called.
LEAST_CASES = 2000
# The same calls each time.
SEED = 20260101
# Cases of an operation in the phases that go by chance.
EXAMPLES = 15


PHASES = "examples,coverage,fuzzing"
# The operations that end the token of their caller. They are called last, with a token of their own.
SIGN_OUT = "^signOut"


def sign_in(demo: Demo) -> str:
    body = json.dumps({"userName": demo.user, "password": demo.password}).encode()
    request = urllib.request.Request(f"{demo.url}/api/2.0/authentication.json", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["response"]["token"]


def run(demo: Demo, token: str, phases: str, arguments: list[str]) -> tuple[int, dict]:
    """Makes the calls of some operations, and gives the exit status and the report."""
    with tempfile.TemporaryDirectory() as folder:
        report, description = Path(folder) / "report.json", Path(folder) / "openapi.json"
        # From a file: schemathesis never calls the operation from which it has read the description.
        urllib.request.urlretrieve(f"{demo.url}/api/2.0/openapi.json", description)
        command = [
            str(Path(sys.executable).parent / "schemathesis"), "run", str(description), "--url", demo.url,
            "--header", f"Authorization: {token}", "--checks", "all",
            "--phases", phases, "--seed", str(SEED), "--max-examples", str(EXAMPLES),
            "--generation-database", "none", "--continue-on-failure", "--report", "json", "--report-json-path", str(report),
            *arguments,
        ]
        environment = dict(os.environ, SCHEMATHESIS_HOOKS="conformance_hooks", PYTHONPATH=str(ROOT / "scripts"),
                           CRM_ACCESS_USER=demo.user, CRM_ACCESS_PASSWORD=demo.password)
        status = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL).returncode
        if not report.exists():
            sys.exit(status or 1)
        return status, json.loads(report.read_text())


def main(arguments: list[str]) -> int:
    with Demo() as demo:
        # No link leads from signing out, so nothing follows these calls.
        runs = [run(demo, demo.token, f"{PHASES},stateful", ["--exclude-operation-id-regex", SIGN_OUT, *arguments]),
                run(demo, sign_in(demo), PHASES, ["--include-operation-id-regex", SIGN_OUT, *arguments])]
    made = [report for _, report in runs]
    cases = sum(each["test_cases"]["generated"] for each in made)
    tested, total = sum(each["operations"]["tested"] for each in made), made[0]["operations"]["total"]
    print(f"conformance: {cases} cases of {tested} operations")
    if cases < LEAST_CASES or tested < total or not all(each["complete"] for each in made):
        sys.exit(f"conformance: at least {LEAST_CASES} cases of all {total} operations were to be made")
    return max(status for status, _ in runs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
