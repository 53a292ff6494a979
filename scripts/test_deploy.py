#!/usr/bin/env python3
"""Runs `make deploy` in a copy of this repository, at a pseudo-terminal, against an emulated AWS (moto), and compares the
parameters of the stack after each run.

The programs `cargo` and `rustc` are stand-ins: what a function is built from takes minutes and makes no difference here.

usage: make test-scripts
"""
import logging
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).resolve().parent.parent
REGION = "eu-north-1"
BUCKET = "crm-access-archives"
STACK = "crm-access"
RUN_SECONDS = 180
CORS = "https://crm.example.com,http://localhost:3000"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:alarms"
# A prompt ends with the value that Enter takes, or with the choice of yes and no.
PROMPT = re.compile(r"(?:^|\n)[^\n]*(?:\]: ?|\[y/N\][^\n]{0,2}|\[Y/n\][^\n]{0,2})$")
CONDITIONAL_POLICY = re.compile(r"        - !If\n          - HasEventBus\n(?:          .*\n)+?          - !Ref AWS::NoValue\n")

CARGO = """#!/bin/sh
case $1 in
metadata) echo '{"target_directory":"'"$STAND_IN_TARGET"'","packages":[]}' ;;
lambda)
  while [ "$1" != --bin ]; do shift; done
  mkdir -p "$STAND_IN_TARGET/lambda/$2"
  echo "$2" >"$STAND_IN_TARGET/lambda/$2/bootstrap" ;;
esac
"""
RUSTC = "#!/bin/sh\necho /\n"


@dataclass
class Checkout:
    """A copy of what `make deploy` reads, with a samconfig.toml of its own."""

    folder: Path
    environment: dict[str, str]
    questions: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path, endpoint: str) -> "Checkout":
        stand_ins = folder / "stand-ins"
        for name in ("Makefile", "samconfig.toml", "template.yaml"):
            shutil.copy2(ROOT / name, folder / name)
        for name in ("functions", "scripts"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        # The emulator fails at a policy that a condition leaves out.
        template = folder / "template.yaml"
        template.write_text(CONDITIONAL_POLICY.sub("", template.read_text()))
        # Nor does it show the outputs of the stack with which SAM makes itself a bucket.
        config = folder / "samconfig.toml"
        config.write_text(config.read_text().replace("resolve_s3 = true", f's3_bucket = "{BUCKET}"'))
        (folder / ".tools").symlink_to(Path(sys.prefix))
        stand_ins.mkdir()
        for name, text in (("cargo", CARGO), ("rustc", RUSTC)):
            (stand_ins / name).write_text(text)
            (stand_ins / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE", "ARCH", "ARGS"))}
        return cls(folder, kept | {
            "PATH": f"{stand_ins}:{os.environ['PATH']}", "STAND_IN_TARGET": str(folder / "target"),
            "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true",
            # Not AWS_DEFAULT_REGION, which SAM would read by itself.
            "AWS_REGION": REGION,
        })

    def deploy(self, *arguments: str, answers: dict[str, str] | None = None, status: int = 0) -> str:
        """Runs `make deploy` and answers its questions: by the first pattern that the question matches, else with Enter.
        Gives back what it printed."""
        self.questions = []
        master, slave = pty.openpty()
        process = subprocess.Popen(["make", "deploy", *arguments], cwd=self.folder, env=self.environment, stdin=slave,
                                   stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        printed, pending, deadline = "", "", time.monotonic() + RUN_SECONDS
        try:
            while True:
                ready, _, _ = select.select([master], [], [], max(0, deadline - time.monotonic()))
                assert ready, f"`make deploy` did not end in {RUN_SECONDS} s; it printed:\n{printed}"
                try:
                    text = os.read(master, 65536).decode(errors="replace").replace("\r", "")
                except OSError:  # The other side of the terminal is closed.
                    break
                if not text:
                    break
                printed, pending = printed + text, pending + text
                if PROMPT.search(pending):
                    question = pending.rsplit("\n", 1)[-1]
                    self.questions.append(question.strip())
                    found = (answer for pattern, answer in (answers or {}).items() if re.search(pattern, question))
                    os.write(master, (next(found, "") + "\n").encode())
                    pending = ""
        finally:
            if process.poll() is None and time.monotonic() >= deadline:
                os.killpg(process.pid, signal.SIGKILL)
            ended = process.wait()
            os.close(master)
        assert (ended == 0) == (status == 0), f"`make deploy` ended with {ended}:\n{printed}"
        return printed


def client(service: str, endpoint: str):
    return boto3.client(service, region_name=REGION, endpoint_url=endpoint, aws_access_key_id="test",
                        aws_secret_access_key="test")


def parameters(endpoint: str) -> dict[str, str]:
    found = client("cloudformation", endpoint).describe_stacks(StackName=STACK)["Stacks"][0]
    return {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}


def check(claim: str, actual, expected) -> None:
    if actual != expected:
        sys.exit(f"not so: {claim}\n  expected {expected!r}\n  found    {actual!r}")
    print(f"ok: {claim}", flush=True)


def main() -> int:
    # One line per request, and one per resource that the emulator only records.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", UserWarning)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    # By name: from an address, the emulator does not find the bucket of a template.
    endpoint = f"http://localhost:{port}"
    client("s3", endpoint).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        mine = Checkout.make(Path(first), endpoint)
        answers = {"CorsOrigins": CORS, "AlarmTopicArn": TOPIC, "ChunkRetentionDays": "30", "LogRetentionDays": "7"}
        mine.deploy(answers=answers)
        after_first = parameters(endpoint)
        check("the first deployment takes the answers", {name: after_first.get(name) for name in answers}, answers)
        check("a new stack runs on arm64", after_first["Architecture"], "arm64")
        check("the first deployment asks for a stack, a region and five parameters", len(mine.questions), 7)
        check("AWS_REGION is the region that is offered", [REGION in each for each in mine.questions if "Region" in each], [True])

        mine.deploy()
        check("the second deployment asks nothing", mine.questions, [])
        check("the second deployment keeps every parameter", parameters(endpoint), after_first)

        mine.deploy("ARCH=x86_64")
        changed = after_first | {"Architecture": "x86_64"}
        check("ARCH changes the processor and nothing else", parameters(endpoint), changed)

        mine.deploy("ARGS=--parameter-overrides LogRetentionDays=14 JobsMemory=512")
        changed |= {"LogRetentionDays": "14", "JobsMemory": "512"}
        check("named parameters change, and the processor stays", parameters(endpoint), changed)

        # A colleague's checkout knows nothing of the stack yet.
        theirs = Checkout.make(Path(second), endpoint)
        theirs.deploy()
        check("a first deployment over a stack offers what the stack has", parameters(endpoint), changed)
        theirs.deploy("ARCH=sparc", status=1)
        theirs.deploy("ARGS=--parameter-overrides Retention=1", status=1)
        check("a wrong value stops before anything is built or changed", parameters(endpoint), changed)
        check("questions are asked only once", theirs.questions, [])
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
