#!/usr/bin/env python3
"""Compares a filter call with other programs that change the access of the same contacts in the same engine.

Half of the contacts of a portal have one tag, and each program gives these contacts forty other managers. The engine runs
in its own process, and every program calls the engine over HTTP. The script checks every contact after each program.

usage: .tools/peers/python/bin/python scripts/peers/run.py [--contacts N] [--json FILE] [--profile PROFILE]
"""
import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import boto3
from boto3.dynamodb.conditions import Key

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from engine import ROOT, Server, build, cpu_seconds  # noqa: E402 (the line above adds the folder of engine.py)
from numbers_page import PEERS, table  # noqa: E402

TOOLS = ROOT / ".tools" / "peers"
NODE = TOOLS / "python" / "bin" / "node"
# The portal of benches/src/portal.rs.
PORTAL, TAG, TOKEN, MANAGERS, USERS = "bench", "half", "bench-administrator-token-000000000000000", 40, 200
TABLE = "crm-access"
SHARDS = 4
IMPORT_SECONDS = 1200
LEFT_OUT = ("These programs write without a condition and check no rights. They have no preview, no record of the "
            "earlier states, no undo, no resume, and no lists of a manager's contacts")

# The engine checks no credentials, but the SDKs send some.
os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local", AWS_REGION="us-east-1",
                  AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true")


def prices() -> tuple[float, float]:
    """Returns the dollars of a million read units and of a million write units, from the cost table of docs/deploy.md."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    read, write = (re.search(rf"DynamoDB, \d+ {kind} units \| \$([\d.]+) a million", text) for kind in ("read", "write"))
    return float(read.group(1)), float(write.group(1))


def user(number: int) -> str:
    return f"be4c0000-0000-4000-8000-{number % USERS:012x}"


class Bench:
    """The engine with its portal, and the programs that change the portal."""

    def __init__(self, programs: dict[str, str], engine: subprocess.Popen) -> None:
        self.programs, self.engine = programs, engine
        self.endpoint = engine.stdout.readline().strip()
        self.partitions = [f"{PORTAL}#{shard:02}#{TAG}" for shard in range(SHARDS)]
        self.turn = 0

    def serve(self, *arguments: str) -> Server:
        return Server("--dynamodb-endpoint", self.endpoint, "--table", TABLE, "--log", "info", *arguments,
                      program=self.programs["crm-access"], start_seconds=IMPORT_SECONDS)

    def load(self, contacts: int, folder: str) -> None:
        file = Path(folder) / "portal.ndjson"
        with file.open("w") as out:
            subprocess.run([self.programs["peers"], "lines", str(contacts), str(SHARDS)], stdout=out, check=True)
        with self.serve("--import", str(file)):
            pass

    def managers(self) -> list[str]:
        """Returns forty users, other users than for the program before."""
        self.turn += 1
        return [user(self.turn * 7 + number * 3) for number in range(MANAGERS)]

    def program(self, command: list[str]) -> dict:
        """Runs a program. Its CPU time includes its start and its end."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return json.loads(done.stdout) | {"cpu_seconds": cpu}

    def script(self, *command: str | Path):
        def run(managers: list[str]) -> dict:
            job = {"endpoint": self.endpoint, "table": TABLE, "partitions": self.partitions, "managers": managers}
            return self.program([*map(str, command), json.dumps(job)])
        return run

    def bare(self, managers: list[str]) -> dict:
        command = [self.programs["peers"], "bare", self.endpoint, TABLE, str(SHARDS), ",".join(managers)]
        return self.program(command)

    def service(self, managers: list[str]) -> dict:
        """Makes the call. The units and requests come from the log line of the answer."""
        body = {"tags": [TAG], "isPrivate": True, "managerList": managers}
        with self.serve() as server:
            request = urllib.request.Request(f"{server.url}/api/2.0/crm/contact/filter/access?count=1", method="PUT",
                                             data=json.dumps(body).encode(),
                                             headers={"Authorization": TOKEN, "Content-Type": "application/json"})
            before = cpu_seconds(server.process.pid)
            with urllib.request.urlopen(request) as answer:
                if answer.status != 200:
                    sys.exit("the run did not end within its call: choose fewer contacts, or a machine at rest")
                contacts = int(answer.headers["X-Updated-Count"])
            cpu = cpu_seconds(server.process.pid) - before
        lines = [json.loads(line) for line in server.lines if line.startswith("{")]
        line = next(line for line in lines if line.get("message") == "answered")
        return {"contacts": contacts, "requests": line["dynamodb_calls"], "read_units": line["read_units"],
                "write_units": line["write_units"], "seconds": line["millis"] / 1000, "cpu_seconds": cpu}

    def check(self, managers: list[str], contacts: int) -> None:
        """Ends the script unless exactly these contacts have the tag, and every one has these managers."""
        resource_ = boto3.resource("dynamodb", endpoint_url=self.endpoint)
        items = resource_.Table(TABLE)
        expected, checked = b"".join(bytes.fromhex(one.replace("-", "")) for one in managers), 0
        for partition in self.partitions:
            query = {"IndexName": "tag-index", "KeyConditionExpression": Key("tag_pk").eq(partition)}
            while True:
                page = items.query(**query)
                keys = [{"pk": item["pk"], "sk": "ACCESS"} for item in page["Items"]]
                for first in range(0, len(keys), 100):
                    request = {"Keys": keys[first:first + 100], "ProjectionExpression": "managers"}
                    found = resource_.batch_get_item(RequestItems={TABLE: request})["Responses"][TABLE]
                    checked += sum(item["managers"].value == expected for item in found)
                if "LastEvaluatedKey" not in page:
                    break
                query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        if checked != contacts:
            sys.exit(f"{checked} contacts have the new access, not {contacts}")

    def measure(self, name: str, run, leaves_out: str, contacts: int) -> dict:
        managers = self.managers()
        before = cpu_seconds(self.engine.pid)
        found = run(managers)
        found["engine_cpu_seconds"] = cpu_seconds(self.engine.pid) - before
        if found["contacts"] != contacts:
            sys.exit(f"{name} changed {found['contacts']} contacts, not {contacts}")
        self.check(managers, contacts)
        read, write = prices()
        dollars = (found["read_units"] * read + found["write_units"] * write) / contacts
        print(f"{name}: {found['seconds']:.1f} s", file=sys.stderr, flush=True)
        return {"name": name, "leaves_out": leaves_out, "dollars_per_million": dollars,
                "contacts_per_second": contacts / found["seconds"], **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=100_000, help="contacts of the portal (default 100,000)")
    parser.add_argument("--json", type=Path, default=ROOT / "target" / PEERS, help=f"output (default target/{PEERS})")
    parser.add_argument("--profile", default="bench", help="cargo's profile for the Rust programs (default bench)")
    args = parser.parse_args()
    programs = build("--profile", args.profile, "--bin", "crm-access", "--bench", "peers")
    # Node.js looks for the SDK beside the script.
    batch_write = shutil.copy(HERE / "batch_write.mjs", TOOLS)
    contacts = args.contacts // 2
    engine = subprocess.Popen([programs["peers"], "engine"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory() as folder, engine:
        bench = Bench(programs, engine)
        bench.load(args.contacts, folder)
        boto3_loop = [sys.executable, HERE / "boto3_loop.py"]
        peers = [
            ("boto3, one UpdateItem at a time", bench.script(*boto3_loop, "update_item", "1"), LEFT_OUT),
            ("boto3 batch_writer, 1 thread", bench.script(*boto3_loop, "batch_writer", "1"), LEFT_OUT),
            ("boto3 batch_writer, 16 threads", bench.script(*boto3_loop, "batch_writer", "16"), LEFT_OUT),
            ("AWS SDK for JavaScript, 12 batches in flight", bench.script(NODE, batch_write, "12"), LEFT_OUT),
            ("AWS SDK for Rust, bare loop", bench.bare, LEFT_OUT),
            ("crm-access", bench.service, ""),
        ]
        # crm-access is first, because its call has a time limit and the others take minutes.
        measured = [bench.measure(name, run, leaves_out, contacts) for name, run, leaves_out in reversed(peers)]
        engine.stdin.close()
    result = {"contacts": args.contacts, "changed": contacts, "managers": MANAGERS, "shards": SHARDS,
              "processors": os.cpu_count(), "profile": args.profile, "prices": prices(), "peers": measured[::-1]}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
