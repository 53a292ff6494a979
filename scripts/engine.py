"""Runs `crm-access serve` with the embedded DynamoDB engine and a fixture for the time of a `with` block.

`Engine()` builds `crm-access` and starts the program in memory on free ports. Its output names the addresses.
"""
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "tests" / "fixtures" / "documents.ndjson"
START_SECONDS = 60
STOP_SECONDS = 10


def crm_access() -> str:
    """Returns the path of the program: $CRM_ACCESS_BIN, or a build of the workspace."""
    if path := os.environ.get("CRM_ACCESS_BIN"):
        return path
    command = ["cargo", "build", "--locked", "--bin", "crm-access", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("crm-access could not be built")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "crm-access":
            return message["executable"]
    sys.exit("cargo built no program named crm-access")


class Engine:
    """A running `crm-access serve`.

    `url` is the address of the API, `endpoint` the address of the DynamoDB engine on loopback, `table` the name of the
    table, and `access_key` the key that callers of the engine must send.
    """

    def __init__(self, fixture: Path = FIXTURE, program: str | None = None) -> None:
        self.command = [program or crm_access(), "serve", "--in-memory", "--port", "0", "--dynamodb-port", "0",
                        "--import", str(fixture)]
        self.url = self.endpoint = self.table = self.access_key = None
        self.lines: list[str] = []
        self.ready = threading.Event()

    def __enter__(self) -> "Engine":
        self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL, text=True, start_new_session=True)
        threading.Thread(target=self._read, daemon=True).start()
        if not self.ready.wait(START_SECONDS) or not (self.url and self.endpoint):
            self.__exit__()
            sys.exit("crm-access serve did not start; its output:\n" + "".join(self.lines))
        return self

    def __exit__(self, *_) -> None:
        try:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            if match := re.match(r"dynamodb on (http://\S+) table (\S+) access key (\S+)", line):
                self.endpoint, self.table, self.access_key = match.groups()
            if match := re.match(r"listening on (http://\S+)", line):
                self.url = match.group(1)
                self.ready.set()
        self.ready.set()  # The program has ended, so __enter__ must not wait longer.


class Demo(Engine):
    """A running `crm-access serve` with the demo portal.

    `token`, `user` and `password` belong to the administrator.
    """

    def __init__(self, program: str | None = None) -> None:
        super().__init__(program=program)
        self.command[-2:] = ["--demo"]

    def __enter__(self) -> "Demo":
        super().__enter__()
        text = "".join(self.lines)
        self.token = re.search(r"^Administrator's token .*:\s+(\S+)$", text, re.MULTILINE).group(1)
        self.user, self.password = re.search(r"^Administrator's password \((\S+)\):\s+(\S+)$", text, re.MULTILINE).groups()
        return self
