#!/usr/bin/env python3
"""Checks a running service against its OpenAPI description: schemathesis makes valid and invalid calls.

The script serves the demo portal from memory. schemathesis calls every operation of /api/2.0/openapi.json with all
checks, in all phases: the examples, each bound of each parameter, random values, and sequences of calls that follow the
links. No operation and no check is excluded. scripts/conformance_hooks.py adds values to valid calls that no schema can
state, such as the users of the portal.

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

# A run with fewer cases has skipped operations.
MIN_CASES = 2000
# The seed of all random values, so that every run makes the same calls.
SEED = 20260101
# Cases per operation in the random phases.
EXAMPLES = 15

PHASES = "examples,coverage,fuzzing"
# Matches the operations that revoke the caller's token. A second run calls them with a token of its own.
SIGN_OUT = "^signOut"


def sign_in(demo: Demo) -> str:
    body = json.dumps({"userName": demo.user, "password": demo.password}).encode()
    request = urllib.request.Request(f"{demo.url}/api/2.0/authentication.json", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["response"]["token"]


def run(demo: Demo, token: str, phases: str, arguments: list[str]) -> tuple[int, dict]:
    """Runs schemathesis and returns its exit status and its report."""
    with tempfile.TemporaryDirectory() as folder:
        report, description = Path(folder) / "report.json", Path(folder) / "openapi.json"
        # schemathesis skips the operation from which it read the description, so it reads a file instead.
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
        # signOut has no links, so its run omits the stateful phase.
        runs = [run(demo, demo.token, f"{PHASES},stateful", ["--exclude-operation-id-regex", SIGN_OUT, *arguments]),
                run(demo, sign_in(demo), PHASES, ["--include-operation-id-regex", SIGN_OUT, *arguments])]
    reports = [report for _, report in runs]
    cases = sum(each["test_cases"]["generated"] for each in reports)
    tested, total = sum(each["operations"]["tested"] for each in reports), reports[0]["operations"]["total"]
    print(f"conformance: {cases} cases of {tested} operations")
    if cases < MIN_CASES or tested < total or not all(each["complete"] for each in reports):
        sys.exit(f"conformance: the run needs at least {MIN_CASES} cases, and cases of all {total} operations")
    return max(status for status, _ in runs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
