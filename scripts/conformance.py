#!/usr/bin/env python3
"""Holds a running service to its own description: schemathesis makes calls from it, right ones and wrong ones.

The demo portal is served from memory, and every operation of /api/2.0/openapi.json is called with all checks, in all
phases: the examples, each bound of each parameter, values at random, and calls one after another by the links. Nothing
is left out. What no schema can say, such as which users there are, scripts/conformance_hooks.py puts into right calls.

usage: .tools/bin/python scripts/conformance.py [OPTION OF schemathesis run…]
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from engine import ROOT, Demo

# Fewer cases than this mean that something was not called.
LEAST_CASES = 2000
# The same calls each time.
SEED = 20260101
# Cases of an operation in the phases that go by chance.
EXAMPLES = 15


def run(demo: Demo, arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{demo.url}/api/2.0/openapi.json",
            "--header", f"Authorization: {demo.token}", "--checks", "all",
            "--phases", "examples,coverage,fuzzing,stateful", "--seed", str(SEED), "--max-examples", str(EXAMPLES),
            "--generation-database", "none", "--continue-on-failure", "--report", "json", "--report-json-path", str(report),
            *arguments,
        ]
        environment = dict(os.environ, SCHEMATHESIS_HOOKS="conformance_hooks", PYTHONPATH=str(ROOT / "scripts"),
                           CRM_ACCESS_USER=demo.user, CRM_ACCESS_PASSWORD=demo.password)
        status = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL).returncode
        if not report.exists():
            return status or 1
        made = json.loads(report.read_text())
    cases, operations = made["test_cases"]["generated"], made["operations"]
    print(f"conformance: {cases} cases of {operations['tested']} operations")
    if cases < LEAST_CASES or operations["tested"] < operations["total"] or not made["complete"]:
        sys.exit(f"conformance: at least {LEAST_CASES} cases of all {operations['total']} operations were to be made")
    return status


if __name__ == "__main__":
    with Demo() as demo:
        sys.exit(run(demo, sys.argv[1:]))
