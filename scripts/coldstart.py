#!/usr/bin/env python3
"""Measures the cold start of a Lambda `bootstrap` without AWS, with a stub of the Runtime API on loopback.

Each run starts the program and measures the time until its first GET /invocation/next (init). The stub then returns an
event and measures the time until the program POSTs the answer (first invoke). The stub returns the same event some more
times (warm invoke) and ends the program. The script prints minimum, median and maximum of each time in ms, the peak RSS
in MB, and the first 200 bytes of the first answer.

usage: scripts/coldstart.py [-n RUNS] [--event FILE] [--env K=V ...] -- PROGRAM [ARG...]
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RUN_SECONDS = 30
# The deadline of an invocation, as the program sees it.
INVOCATION_MILLIS = 60_000
# The time for which the stub holds the last poll, so that the program does not poll again before its end.
LAST_POLL_SECONDS = 5
SHOWN_ANSWER_BYTES = 200
ROWS = ["init ms", "first invoke ms", "warm invoke ms", "peak RSS MB"]
EMPTY_EVENT = {
    "version": "2.0", "routeKey": "GET /", "rawPath": "/", "rawQueryString": "", "headers": {},
    "requestContext": {
        "accountId": "1", "apiId": "a", "domainName": "d", "domainPrefix": "d",
        "http": {"method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "x"},
        "requestId": "r", "routeKey": "GET /", "stage": "$default", "time": "12/Mar/2020:19:03:58 +0000",
        "timeEpoch": 1583348638390,
    },
    "isBase64Encoded": False,
}


@dataclass
class Timeline:
    """The times of one run, in seconds of `time.perf_counter`."""

    first_poll: float | None = None
    sent: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    first_answer: bytes = b""
    finished: threading.Event = field(default_factory=threading.Event)


def handler(event: bytes, invocations: int, timeline: Timeline) -> type[BaseHTTPRequestHandler]:
    """Makes the stub of the Runtime API for one run."""

    class RuntimeApi(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_) -> None:
            pass

        def setup(self) -> None:
            super().setup()
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def do_GET(self) -> None:
            now = time.perf_counter()
            if timeline.first_poll is None:
                timeline.first_poll = now
            if len(timeline.sent) >= invocations:
                timeline.finished.set()
                time.sleep(LAST_POLL_SECONDS)
                return
            deadline = int(time.time() * 1000) + INVOCATION_MILLIS
            head = (
                "HTTP/1.1 200 OK\r\n"
                "Content-Type: application/json\r\n"
                f"Content-Length: {len(event)}\r\n"
                f"Lambda-Runtime-Aws-Request-Id: {len(timeline.sent)}\r\n"
                f"Lambda-Runtime-Deadline-Ms: {deadline}\r\n"
                "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:1:function:f\r\n\r\n"
            ).encode()
            timeline.sent.append(time.perf_counter())
            self.wfile.write(head + event)
            self.wfile.flush()

        def do_POST(self) -> None:
            answer = self.read_body()
            timeline.answered.append(time.perf_counter())
            timeline.first_answer = timeline.first_answer or answer
            self.wfile.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            self.wfile.flush()

        def read_body(self) -> bytes:
            """Reads a body with a Content-Length, or else a chunked body."""
            if length := self.headers.get("Content-Length"):
                return self.rfile.read(int(length))
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return body

    return RuntimeApi


def measure(command: list[str], event: bytes, warm: int, variables: list[str]) -> tuple[list[float], bytes] | None:
    """Runs the program once. Returns a value for each of `ROWS` and the first answer, or None after `RUN_SECONDS`."""
    timeline = Timeline()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(event, warm + 1, timeline))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = dict(
        os.environ, AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{server.server_port}", AWS_LAMBDA_FUNCTION_NAME="f",
        AWS_LAMBDA_FUNCTION_VERSION="$LATEST", AWS_LAMBDA_FUNCTION_MEMORY_SIZE="256", AWS_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local", AWS_LAMBDA_LOG_STREAM_NAME="l",
        AWS_LAMBDA_LOG_GROUP_NAME="g", _HANDLER="bootstrap",
    )
    environment.update(variable.split("=", 1) for variable in variables)
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finished = timeline.finished.wait(RUN_SECONDS)
    process.kill()
    _, _, usage = os.wait4(process.pid, 0)
    server.shutdown()
    if not finished:
        return None
    first, *further = [(answered - sent) * 1e3 for sent, answered in zip(timeline.sent, timeline.answered)]
    init = (timeline.first_poll - start) * 1e3
    return [init, first, statistics.median(further), usage.ru_maxrss / 1024], timeline.first_answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=11, help="runs (default 11)")
    parser.add_argument("--event", help="file of the event (default: an empty HTTP request)")
    parser.add_argument("--warm", type=int, default=20, help="warm invocations per run (default 20)")
    parser.add_argument("--env", action="append", default=[], metavar="K=V", help="variable of the program; repeatable")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- PROGRAM [ARG...]")
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    event = json.dumps(EMPTY_EVENT).encode()
    if args.event:
        with open(args.event, "rb") as file:
            event = file.read()

    runs = [run for run in (measure(command, event, args.warm, args.env) for _ in range(args.n)) if run]
    if not runs:
        raise SystemExit(f"no run ended within {RUN_SECONDS} s")
    for index, name in enumerate(ROWS):
        values = sorted(measured[index] for measured, _ in runs)
        median = statistics.median(values)
        print(f"{name:16} min {values[0]:8.2f}  median {median:8.2f}  max {values[-1]:8.2f}")
    print("answer:", runs[0][1][:SHOWN_ANSWER_BYTES])


if __name__ == "__main__":
    main()
