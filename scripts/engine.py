"""Runs `crm-access serve` for the time of a `with` block.

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
    return os.environ.get("CRM_ACCESS_BIN") or build("--bin", "crm-access")["crm-access"]


def build(*arguments: str) -> dict[str, str]:
    """Builds programs of the workspace with these arguments of `cargo build`. Returns the path of each program by name."""
    command = ["cargo", "build", "--locked", *arguments, "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(f"{' '.join(command)} failed")
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server:
    """A running `crm-access serve` on a free port, with further arguments.

    `url` is the address of the API, `lines` the output with the log, and `process` the process.
    """

    def __init__(self, *arguments: str, program: str | None = None, start_seconds: int = START_SECONDS) -> None:
        self.command = [program or crm_access(), "serve", "--port", "0", *arguments]
        self.start_seconds = start_seconds
        self.url = self.endpoint = self.table = self.access_key = None
        self.lines: list[str] = []
        self.ready = threading.Event()

    def __enter__(self) -> "Server":
        self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL, text=True, start_new_session=True)
        threading.Thread(target=self._read, daemon=True).start()
        if not self.ready.wait(self.start_seconds) or not self.url:
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


class Engine(Server):
    """A running `crm-access serve` with the embedded DynamoDB engine in memory and a fixture.

    `endpoint` is the address of the DynamoDB engine on loopback, `table` the name of the table, and `access_key` the key
    that callers of the engine must send.
    """

    def __init__(self, fixture: Path = FIXTURE, program: str | None = None) -> None:
        super().__init__("--in-memory", "--dynamodb-port", "0", "--import", str(fixture), program=program)


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
