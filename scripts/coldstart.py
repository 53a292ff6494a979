#!/usr/bin/env python3
"""Cold start of a Lambda `bootstrap`, without AWS: a stub of the Runtime API on loopback.

For each run: spawn the program, time until its first GET /invocation/next (init), hand it one event,
time until it POSTs the answer (first invoke), hand it the same event again (warm), then end it.
Prints min/median/max in ms, peak RSS in MB, and the first answer's first 200 bytes.

usage: scripts/coldstart.py [-n RUNS] [--event FILE] [--env K=V ...] -- PROGRAM [ARG...]
"""
import argparse, json, os, socket, statistics, subprocess, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ap = argparse.ArgumentParser()
ap.add_argument('-n', type=int, default=11)
ap.add_argument('--event')
ap.add_argument('--warm', type=int, default=20)
ap.add_argument('--env', action='append', default=[])
ap.add_argument('cmd', nargs=argparse.REMAINDER)
a = ap.parse_args()
cmd = a.cmd[1:] if a.cmd[:1] == ['--'] else a.cmd
event = open(a.event, 'rb').read() if a.event else json.dumps({
    "version": "2.0", "routeKey": "GET /", "rawPath": "/", "rawQueryString": "", "headers": {},
    "requestContext": {"accountId": "1", "apiId": "a", "domainName": "d", "domainPrefix": "d",
        "http": {"method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "x"},
        "requestId": "r", "routeKey": "GET /", "stage": "$default", "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1583348638390},
    "isBase64Encoded": False}).encode()

class State: pass

def one():
    s = State(); s.first = None; s.handed = []; s.done = []; s.answer = b''; s.end = threading.Event()
    class H(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'
        def log_message(self, *x): pass
        def setup(self):
            super().setup(); self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        def do_GET(self):
            now = time.perf_counter()
            if s.first is None: s.first = now
            if len(s.handed) > a.warm:
                s.end.set(); time.sleep(5); return
            head = (f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(event)}\r\n"
                    f"Lambda-Runtime-Aws-Request-Id: {len(s.handed)}\r\nLambda-Runtime-Deadline-Ms: {int(time.time()*1000)+60000}\r\n"
                    "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:1:function:f\r\n\r\n").encode()
            s.handed.append(time.perf_counter()); self.wfile.write(head + event); self.wfile.flush()
        def do_POST(self):
            if self.headers.get('Content-Length'):
                b = self.rfile.read(int(self.headers['Content-Length']))
            else:                       # chunked
                b = b''
                while True:
                    n = int(self.rfile.readline().split(b';')[0], 16)
                    c = self.rfile.read(n); self.rfile.readline(); b += c
                    if n == 0: break
            s.done.append(time.perf_counter())
            if not s.answer: s.answer = b
            self.wfile.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"); self.wfile.flush()
    srv = ThreadingHTTPServer(('127.0.0.1', 0), H); srv.daemon_threads = True
    threading.Thread(target=srv.serve_forever, daemon=True).start()
    env = dict(os.environ, AWS_LAMBDA_RUNTIME_API=f'127.0.0.1:{srv.server_port}', AWS_LAMBDA_FUNCTION_NAME='f',
               AWS_LAMBDA_FUNCTION_VERSION='$LATEST', AWS_LAMBDA_FUNCTION_MEMORY_SIZE='256', AWS_REGION='us-east-1',
               AWS_ACCESS_KEY_ID='local', AWS_SECRET_ACCESS_KEY='local', AWS_LAMBDA_LOG_STREAM_NAME='l', AWS_LAMBDA_LOG_GROUP_NAME='g', _HANDLER='bootstrap')
    env.update(e.split('=', 1) for e in a.env)
    t = time.perf_counter()
    p = subprocess.Popen(cmd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ok = s.end.wait(30)
    p.kill(); _, _, ru = os.wait4(p.pid, 0); srv.shutdown()
    if not ok: return None
    warm = sorted(d - h for d, h in zip(s.done[1:], s.handed[1:]))
    return (s.first - t) * 1e3, (s.done[0] - s.handed[0]) * 1e3, statistics.median(warm) * 1e3, ru.ru_maxrss / 1024, s.answer

runs = [r for r in (one() for _ in range(a.n)) if r]
if not runs: raise SystemExit('no run came to its end')
for i, name in enumerate(['init ms', 'first invoke ms', 'warm invoke ms', 'peak RSS MB']):
    v = sorted(r[i] for r in runs)
    print(f'{name:16} min {v[0]:8.2f}  median {statistics.median(v):8.2f}  max {v[-1]:8.2f}')
print('answer:', runs[0][4][:200])
