#!/usr/bin/env python3
"""Runs every built function under AWS's Lambda runtime interface emulator, without Docker, and checks the answers.

For each event of a function (events/NAME.json and events/NAME-….json), the script starts the embedded engine with the
fixture and the function's bootstrap under the emulator, which is part of aws-sam-cli. The script posts the event and
compares the answer with the file beside the event that ends in .expected.json:

    {"statusCode": 200, "headers": {"content-type": "application/json", "etag": "*"}, "body": {…}}

`headers` holds the headers to compare. `body` is compared as JSON, or as text if `body` is a string. For a function
that no HTTP API calls, the file holds the whole answer. "*" matches any value.

usage: .tools/bin/python scripts/rie.py [--print] [NAME…]      --print prints the answers and compares nothing
"""
import argparse
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import functions
from engine import Engine, crm_access

START_SECONDS = 20
INVOKE_SECONDS = 40
STOP_SECONDS = 5


def emulator() -> Path:
    """Returns the path of the emulator in the aws-sam-cli package."""
    package = importlib.util.find_spec("samcli")
    if package is None:
        sys.exit("this Python has no aws-sam-cli: run `make tools`, then .tools/bin/python scripts/rie.py")
    return Path(package.origin).parent / "local" / "rapid" / f"aws-lambda-rie-{functions.ARCHITECTURE}"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def invoke(rie: Path, function: functions.Function, event: Path, environment: dict[str, str]):
    """Calls a fresh process of the function once and returns the answer. Prints the log if the call fails."""
    port = free_port()
    command = [str(rie), "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
               "--runtime-api-address", f"127.0.0.1:{free_port()}", str(function.bootstrap)]
    env = dict(os.environ, AWS_LAMBDA_FUNCTION_NAME=function.logical_id, AWS_LAMBDA_FUNCTION_TIMEOUT="30", **environment)
    with tempfile.TemporaryFile("w+") as log:
        # The bootstrap is a child of the emulator. A process group of their own lets the script end both.
        process = subprocess.Popen(command, env=env, cwd=function.bootstrap.parent, stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations",
                                             data=event.read_bytes())
            until = time.monotonic() + START_SECONDS
            while True:
                try:
                    with urllib.request.urlopen(request, timeout=INVOKE_SECONDS) as answer:
                        return json.load(answer)
                except (urllib.error.URLError, ValueError) as error:
                    refused = isinstance(getattr(error, "reason", None), ConnectionRefusedError)
                    if not refused or process.poll() is not None or time.monotonic() > until:
                        log.seek(0)
                        sys.exit(f"{event.stem}: no answer ({error}); the log:\n{log.read()}")
                    time.sleep(0.05)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def parsed(text: str):
    """Parses JSON; returns any other text unchanged."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def readable(answer: dict) -> dict:
    """Converts the answer of an HTTP function to the form of an .expected.json file."""
    headers = {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
    for name, values in (answer.get("multiValueHeaders") or {}).items():
        headers.setdefault(name.lower(), ", ".join(values))
    return {"statusCode": answer.get("statusCode"), "headers": headers, "body": parsed(answer.get("body") or "")}


def differences(expected, actual, where: str = "") -> list[str]:
    """Lists the differences of two JSON values, one line each."""
    if expected == "*":
        return []
    if isinstance(expected, dict) and isinstance(actual, dict):
        lines = []
        for key in sorted(expected.keys() | actual.keys()):
            if key not in actual:
                lines.append(f"{where}.{key} is missing")
            elif key not in expected:
                lines.append(f"{where}.{key} is unexpected: {json.dumps(actual[key], ensure_ascii=False)}")
            else:
                lines += differences(expected[key], actual[key], f"{where}.{key}")
        return lines
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [line for i, pair in enumerate(zip(expected, actual)) for line in differences(*pair, f"{where}[{i}]")]
    # Python treats True and 1 as equal, JSON does not.
    if type(expected) is type(actual) and expected == actual:
        return []
    return [f"{where} is {json.dumps(actual, ensure_ascii=False)}, expected {json.dumps(expected, ensure_ascii=False)}"]


def failed_with(answer) -> str | None:
    """Returns the error of a failed invocation, to which the emulator answers 200 like to any other."""
    if isinstance(answer, dict) and answer.keys() >= {"errorType", "errorMessage"}:
        return f"{answer['errorType']}: {answer['errorMessage']}"
    return None


def check(function: functions.Function, event: Path, answer) -> list[str]:
    """Lists the differences between an answer and the event's .expected.json file."""
    file = functions.expected(event)
    if not file.is_file():
        return [f"{file.name} is missing"]
    expected = json.loads(file.read_text())
    if not function.is_http:
        return differences(expected, answer, "answer")
    lines = differences(expected["statusCode"], answer["statusCode"], "statusCode")
    for name, value in expected.get("headers", {}).items():
        if name not in answer["headers"]:
            lines.append(f"header {name} is missing")
        else:
            lines += differences(value, answer["headers"][name], f"header {name}")
    return lines + differences(expected["body"], answer["body"], "body")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the answers and compare nothing")
    parser.add_argument("names", nargs="*", metavar="NAME", help="folder names of functions (default: all)")
    args = parser.parse_args()
    rie, built = emulator(), functions.built()
    if unknown := set(args.names) - {function.name for function in built}:
        sys.exit(f"no such function: {', '.join(sorted(unknown))}")
    program = crm_access()
    failed = 0
    for function in built:
        if args.names and function.name not in args.names:
            continue
        for event in function.events:
            # Each event gets fresh data, so that no answer depends on the order of the events.
            with Engine(program=program) as engine:
                environment = functions.environment(engine.endpoint, engine.table, engine.access_key)
                answer = invoke(rie, function, event, environment)
            error = failed_with(answer)
            if function.is_http and not error:
                answer = readable(answer)
            if getattr(args, "print"):
                print(json.dumps(answer, indent=2, ensure_ascii=False))
                continue
            lines = [error] if error else check(function, event, answer)
            failed += bool(lines)
            status = f" ({answer['statusCode']})" if function.is_http and not error else ""
            print(f"emulator: {event.stem}: {'FAILED' if lines else 'ok'}{status}")
            for line in lines:
                print(f"  {line}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
