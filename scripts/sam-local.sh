#!/usr/bin/env bash
# Makes `sam local invoke` and `sam local start-api` work on a bare Debian machine that cannot pull images:
#   scripts/sam-local.sh up      starts a Docker engine (Debian's docker.io), makes a stand-in for the base image of
#                                provided.al2023, and prints the environment of the engine. The stand-in is a Debian
#                                image, to which SAM adds the Lambda emulator
#   scripts/sam-local.sh down    ends the engine
# `make invoke` and `make start-api` find the engine with and without this environment. For `sam` itself:
#   eval "$(scripts/sam-local.sh up)"; sam local invoke FunctionName --skip-pull-image -e events/….json
# A machine whose Docker can pull images does not need this script. The script needs root.
set -euo pipefail
state=${SAM_LOCAL_STATE:-${TMPDIR:-/tmp}/sam-local}
sock=unix://$state/docker.sock
image=public.ecr.aws/lambda/provided
case $(uname -m) in
x86_64) arch=x86_64 ;;
aarch64) arch=arm64 ;;
*) echo "sam-local.sh: Lambda does not support $(uname -m)" >&2; exit 1 ;;
esac
case ${1:-} in
up)
  mkdir -p "$state"
  { command -v dockerd && command -v debootstrap; } >/dev/null 2>&1 || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker.io debootstrap
  } >&2
  if ! docker -H "$sock" info >/dev/null 2>&1; then
    setsid dockerd --data-root "$state/data" --exec-root "$state/exec" --pidfile "$state/dockerd.pid" --host "$sock" \
      >"$state/dockerd.log" 2>&1 </dev/null &
    for _ in $(seq 100); do docker -H "$sock" info >/dev/null 2>&1 && break; sleep 0.2; done
    docker -H "$sock" info >/dev/null 2>&1 || { tail "$state/dockerd.log" >&2; exit 1; }
  fi
  if ! docker -H "$sock" image inspect "$image:al2023-$arch" >/dev/null 2>&1; then
    root=$(mktemp -d)
    chmod 755 "$root"
    trap 'rm -rf "$root"' EXIT
    debootstrap --variant=minbase --include=ca-certificates bookworm "$root" >"$state/debootstrap.log" 2>&1 ||
      { tail "$state/debootstrap.log" >&2; exit 1; }
    mkdir -p "$root"/var/task "$root"/var/runtime "$root"/opt
    tar -C "$root" -c . | docker -H "$sock" import --change 'WORKDIR /var/task' --change 'ENV LAMBDA_TASK_ROOT=/var/task' \
      - "$image:al2023-$arch" >/dev/null
    docker -H "$sock" tag "$image:al2023-$arch" "$image:al2023"
  fi
  echo "export DOCKER_HOST=$sock DOCKER_BUILDKIT=0 SAM_CLI_TELEMETRY=0"
  ;;
down)
  if [[ -f $state/dockerd.pid ]]; then
    kill "$(cat "$state/dockerd.pid")"
  fi
  ;;
*)
  echo "usage: sam-local.sh up|down" >&2
  exit 2
  ;;
esac
