#!/usr/bin/env python3
"""Measures the processor time that the built bulk-worker takes for each contact of a job, without AWS.

The script loads a generated portal of four shards into the embedded engine, starts a job over all contacts with the
built run-rules, and passes the four messages of the job to the built bulk-worker in one event. Both functions call the
engine over TLS, like DynamoDB. A stub stands for the Runtime API and for SQS. The processor time is that of the whole
process between the event and the answer.

usage: scripts/worker_cpu.py [-n CONTACTS]
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import functions
from engine import Engine, crm_access
from tls_front import TlsFront

PORTAL = "sample"
SHARDS = 4
CALL_SECONDS = 280


class Stub(ThreadingHTTPServer):
    """The Runtime API of one call, and an SQS queue."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.event = b""
        self.polled, self.answered = threading.Event(), threading.Event()
        self.answer = b""
        self.messages: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def log_message(self, *_) -> None:
        pass

    def respond(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.server.answered.is_set():
            return  # The call is over. The process is ended next.
        self.server.polled.set()
        deadline = int((time.time() + CALL_SECONDS) * 1000)
        self.respond(self.server.event, {
            "Content-Type": "application/json", "Lambda-Runtime-Aws-Request-Id": "1",
            "Lambda-Runtime-Deadline-Ms": str(deadline),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:1:function:f",
        })

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.startswith("/2018-06-01/"):
            entries = json.loads(body)["Entries"]
            self.server.messages += [entry["MessageBody"] for entry in entries]
            sent = [{"Id": entry["Id"], "MessageId": entry["Id"],
                     "MD5OfMessageBody": hashlib.md5(entry["MessageBody"].encode()).hexdigest()} for entry in entries]
            self.respond(json.dumps({"Successful": sent}).encode(), {"Content-Type": "application/x-amz-json-1.0"})
            return
        self.server.answer = body
        self.respond(b"{}", {"Content-Type": "application/json"}, 202)
        self.server.answered.set()


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def call(function: functions.Function, event: object, environment: dict[str, str]) -> tuple[Stub, float, float]:
    """Calls a function once. Returns the stub, the processor time and the time of the call in seconds."""
    stub = Stub()
    stub.event = json.dumps(event).encode()
    environment = environment | {
        "AWS_LAMBDA_RUNTIME_API": stub.address, "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "CRM_ACCESS_QUEUE_URL": f"http://{stub.address}/1/queue", "CRM_ACCESS_SQS_ENDPOINT": f"http://{stub.address}",
    }
    process = subprocess.Popen([function.bootstrap], env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not stub.polled.wait(10):
            sys.exit(f"{function.name} did not start")
        before, started = cpu_seconds(process.pid), time.perf_counter()
        if not stub.answered.wait(CALL_SECONDS):
            sys.exit(f"{function.name} did not answer")
        return stub, cpu_seconds(process.pid) - before, time.perf_counter() - started
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10_000, help="contacts (default 10000)")
    contacts = parser.parse_args().n
    built = {function.name: function for function in functions.built()}
    program = crm_access()
    with tempfile.NamedTemporaryFile(suffix=".ndjson") as file:
        sample = [program, "sample", "--contacts", str(contacts), "--shards", str(SHARDS), "--portal", PORTAL]
        subprocess.run(sample, stdout=file, check=True)
        users = [json.loads(line)["user"]["Id"] for line in Path(file.name).read_text().splitlines() if '"user"' in line[:8]]
        with Engine(Path(file.name), program) as engine, TlsFront(int(engine.endpoint.rsplit(":", 1)[1])) as front:
            roots = {"SSL_CERT_FILE": str(front.roots), "SSL_CERT_DIR": front.no_roots}
            environment = functions.environment(front.url, engine.table, engine.access_key) | roots
            managers = users[1:3]
            run = {"portal": PORTAL, "filter": {}, "access": {"isPrivate": True, "managerList": managers}}
            stub, _, _ = call(built["run-rules"], run, environment)
            if len(stub.messages) != SHARDS:
                sys.exit(f"{len(stub.messages)} messages instead of {SHARDS}: {stub.answer.decode()}")
            example = json.loads(built["bulk-worker"].event.read_text())["Records"][0]
            records = [example | {"messageId": str(number), "body": body} for number, body in enumerate(stub.messages)]
            stub, cpu, seconds = call(built["bulk-worker"], {"Records": records}, environment)
            if json.loads(stub.answer) != {"batchItemFailures": []} or stub.messages:
                sys.exit(f"the worker did not finish: {stub.answer.decode()}, {len(stub.messages)} messages")
    print(f"{contacts} contacts: {cpu:.2f} s of processor time, {cpu / contacts * 1e6:.1f} µs per contact, {seconds:.1f} s", flush=True)
    # The proxy leaves connections open, and asyncio would report each of them at the end of the program.
    os._exit(0)


if __name__ == "__main__":
    main()
