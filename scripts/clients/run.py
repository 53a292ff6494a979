#!/usr/bin/env python3
"""Generates clients from docs/openapi.json, checks their types, and makes every call of the API with each client.

openapi-python-client generates the Python client. @hey-api/openapi-ts generates one TypeScript client. The other uses
openapi-fetch with the types of openapi-typescript. `make test-generated-clients` installs these tools and runs this
file. The clients call the demo portal, which `crm-access serve` holds in memory.

usage: .tools/clients/python/bin/python scripts/clients/run.py
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from engine import ROOT, Demo, crm_access  # noqa: E402 (the line above adds the folder of engine.py)

DESCRIPTION = ROOT / "docs" / "openapi.json"
TOOLS = ROOT / ".tools" / "clients"
PYTHON = TOOLS / "python" / "bin"
NODE = TOOLS / "node_modules" / ".bin"


def run(folder: Path, *command: str | Path) -> str:
    """Runs a command in a folder and returns its output; ends the test if the command fails."""
    environment = dict(os.environ, PATH=f"{PYTHON}:{os.environ['PATH']}")
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{Path(command[0]).name} failed:\n{done.stdout}")
    return done.stdout


def check_calls(name: str, output: str) -> None:
    """Ends the test unless the calls that a client printed include every operation of the description."""
    operations = {(method.upper(), path) for path, methods in json.loads(DESCRIPTION.read_text())["paths"].items()
                  for method in methods}

    def operation_of(method: str, path: str) -> tuple[str, str]:
        candidates = [(verb, template) for verb, template in operations
                      if verb == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path)]
        # A literal path segment takes precedence over a parameter.
        return min(candidates, key=lambda operation: operation[1].count("{"))

    calls = [operation_of(*line.split()) for line in output.splitlines()]
    if missing := operations - set(calls):
        sys.exit(f"{name} did not call these operations: {sorted(missing)}")
    print(f"{name}: {len(calls)} calls of {len(operations)} operations")


def python(folder: Path, arguments: list[str]) -> None:
    run(folder, PYTHON / "openapi-python-client", "generate", "--path", DESCRIPTION, "--output-path", folder / "crm_access",
        "--meta", "none", "--fail-on-warning")
    shutil.copy(HERE / "calls.py", folder)
    # client.py does not depend on the description, and mypy finds faults in this file. So mypy skips client.py.
    run(folder, PYTHON / "mypy", "--strict", "--follow-imports", "silent", "crm_access/api", "crm_access/models", "calls.py")
    check_calls("openapi-python-client", run(folder, PYTHON / "python", "calls.py", *arguments))


def typescript(folder: Path, arguments: list[str]) -> None:
    run(folder, NODE / "openapi-ts", "--input", DESCRIPTION, "--output", folder / "hey_api_client", "--no-log-file")
    run(folder, NODE / "openapi-typescript", DESCRIPTION, "--output", folder / "openapi_typescript.ts")
    for name in ("hey_api.ts", "openapi_fetch.ts", "tsconfig.json"):
        shutil.copy(HERE / name, folder)
    run(folder, NODE / "tsc")
    check_calls("@hey-api/openapi-ts", run(folder, "node", "built/hey_api.js", *arguments))
    check_calls("openapi-fetch", run(folder, "node", "built/openapi_fetch.js", *arguments))


def main() -> None:
    program = crm_access()
    for test in (python, typescript):
        # The folder is inside TOOLS, because node looks for modules in the folders above a file.
        with tempfile.TemporaryDirectory(dir=TOOLS) as folder, Demo(program) as demo:
            test(Path(folder), [demo.url, demo.user, demo.password])


if __name__ == "__main__":
    main()
