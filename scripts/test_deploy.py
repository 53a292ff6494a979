#!/usr/bin/env python3
"""Runs `make deploy` in a copy of this repository and compares the parameters of the stack after each run.

The script answers the questions at a pseudo-terminal, and moto emulates AWS. Stand-ins replace `cargo` and `rustc`,
because a real build takes minutes and does not affect the parameters.

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
# The end of a prompt: the offered value, or the choice of yes and no.
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
    """A copy of the files that `make deploy` reads, with a samconfig.toml of its own."""

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
        # moto fails at a policy that a condition removes.
        template = folder / "template.yaml"
        template.write_text(CONDITIONAL_POLICY.sub("", template.read_text()))
        # moto does not return the outputs of the stack with which SAM creates a bucket.
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
            # AWS_DEFAULT_REGION stays unset, because SAM reads this variable without the script.
            "AWS_REGION": REGION,
        })

    def deploy(self, *arguments: str, answers: dict[str, str] | None = None, status: int = 0) -> str:
        """Runs `make deploy`, answers its questions, and returns its output.

        `answers` maps a pattern to an answer. The first pattern that matches the question counts, or else Enter.
        """
        self.questions = []
        master, slave = pty.openpty()
        process = subprocess.Popen(["make", "deploy", *arguments], cwd=self.folder, env=self.environment, stdin=slave,
                                   stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        printed, pending, deadline = "", "", time.monotonic() + RUN_SECONDS
        try:
            while True:
                ready, _, _ = select.select([master], [], [], max(0, deadline - time.monotonic()))
                assert ready, f"`make deploy` did not end within {RUN_SECONDS} s; its output:\n{printed}"
                try:
                    text = os.read(master, 65536).decode(errors="replace").replace("\r", "")
                except OSError:  # The process has closed its side of the terminal.
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
        sys.exit(f"false: {claim}\n  expected {expected!r}\n  found    {actual!r}")
    print(f"ok: {claim}", flush=True)


def main() -> int:
    # These settings silence moto's line per request and its warning per resource that moto only records.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", UserWarning)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    # The URL has a host name, because moto finds no template bucket under a numeric address.
    endpoint = f"http://localhost:{port}"
    client("s3", endpoint).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        mine = Checkout.make(Path(first), endpoint)
        answers = {"CorsOrigins": CORS, "AlarmTopicArn": TOPIC, "ChunkRetentionDays": "30", "LogRetentionDays": "7"}
        mine.deploy(answers=answers)
        after_first = parameters(endpoint)
        set_by_answers = {name: after_first.get(name) for name in answers}
        check("the first deployment sets the parameters to the answers", set_by_answers, answers)
        check("a new stack runs on arm64", after_first["Architecture"], "arm64")
        check("the first deployment asks for a stack, a region and five parameters", len(mine.questions), 7)
        offers_region = [REGION in each for each in mine.questions if "Region" in each]
        check("the first deployment offers AWS_REGION as the region", offers_region, [True])

        mine.deploy()
        check("the second deployment asks nothing", mine.questions, [])
        check("the second deployment keeps every parameter", parameters(endpoint), after_first)

        mine.deploy("ARCH=x86_64")
        changed = after_first | {"Architecture": "x86_64"}
        check("ARCH changes the architecture only", parameters(endpoint), changed)

        mine.deploy("ARGS=--parameter-overrides LogRetentionDays=14 JobsMemory=512")
        changed |= {"LogRetentionDays": "14", "JobsMemory": "512"}
        check("named parameters change, and the architecture stays", parameters(endpoint), changed)

        # The samconfig.toml of a colleague does not name the stack yet.
        theirs = Checkout.make(Path(second), endpoint)
        theirs.deploy()
        check("a first deployment over an existing stack offers the values of the stack", parameters(endpoint), changed)
        theirs.deploy("ARCH=sparc", status=1)
        theirs.deploy("ARGS=--parameter-overrides Retention=1", status=1)
        check("a wrong value stops the deployment before any change", parameters(endpoint), changed)
        check("the next deployment asks nothing", theirs.questions, [])
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
