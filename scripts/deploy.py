#!/usr/bin/env python3
"""`make deploy`: builds the functions and deploys the stack.

The first deployment asks questions and writes the answers to samconfig.toml, which `sam logs`, `sam delete` and a plain
`sam deploy` read too. Later deployments ask nothing. A parameter that samconfig.toml does not name keeps the value of
the stack. The script does not use `sam deploy --guided`, which asks for each route whether the route may have no
authorizer, and which offers the template's defaults instead of the values of the stack.

usage: .tools/bin/python scripts/deploy.py [--arch arm64|x86_64] [--config-env NAME] [--config-file FILE]
           [--stack-name NAME] [--region REGION] [--parameter-overrides NAME=VALUE ...] [other options of sam deploy]

The script writes the values of these options to samconfig.toml for the next deployment.
"""
import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import boto3
import tomlkit
from botocore.exceptions import BotoCoreError, ClientError
from samcli.cli.types import CfnParameterOverridesType
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).resolve().parent.parent
STACK_NAME = "crm-access"
ARCHITECTURE = "Architecture"
# The parameters that operators change most often. The others start with the template's defaults.
ASKED = ["CorsOrigins", "AlarmTopicArn", "EventBusName", "ChunkRetentionDays", "LogRetentionDays"]
# The initial settings of a new configuration environment in samconfig.toml.
DEFAULTS = {"capabilities": "CAPABILITY_IAM", "s3_prefix": STACK_NAME}
# The settings that name the bucket of the functions' archives. Without a named bucket, SAM creates one.
BUCKETS = ("s3_bucket", "resolve_s3")
STACK_NAME_PATTERN = r"[A-Za-z][A-Za-z0-9-]{0,127}"
REGION_PATTERN = r"[a-z]{2,}(-[a-z]+)+-[0-9]+"
# The answer that means an empty value. Enter means the offered value.
NONE = "-"


class Config:
    """The tables of one configuration environment in samconfig.toml."""

    def __init__(self, path: Path, environment: str) -> None:
        self.path = path
        self.document = tomlkit.parse(path.read_text()) if path.exists() else tomlkit.document()
        self.document.setdefault("version", 0.1)
        self.tables = [self._table(environment, command) for command in ("deploy", "global")]
        for name, value in DEFAULTS.items():
            if self.get(name) is None:
                self.tables[0][name] = value
        if all(self.get(name) is None for name in BUCKETS):
            self.tables[0]["resolve_s3"] = True

    def _table(self, *names: str):
        table = self.document
        for name in (*names, "parameters"):
            if name not in table:
                table[name] = tomlkit.table(is_super_table=name != "parameters")
            table = table[name]
        return table

    def get(self, name: str):
        """Returns a value as `sam deploy` reads it: the table of `deploy` takes precedence over the table `global`."""
        return next((table[name] for table in self.tables if name in table), None)

    def keep(self, name: str, value: str) -> None:
        """Sets a value in the table that defines the value already, or else in the table `global`."""
        table = next((table for table in self.tables if name in table), self.tables[-1])
        table[name] = value

    @property
    def overrides(self) -> dict[str, str]:
        return CfnParameterOverridesType().convert(self.get("parameter_overrides"), None, None)

    @overrides.setter
    def overrides(self, values: dict[str, str]) -> None:
        quoted = (f'{name}="{value}"'.replace("\\", "\\\\") for name, value in values.items())
        table = next((table for table in self.tables if "parameter_overrides" in table), self.tables[0])
        table["parameter_overrides"] = " ".join(quoted)

    def save(self) -> None:
        self.path.write_text(tomlkit.dumps(self.document))


@dataclass
class Parameter:
    """A parameter of template.yaml."""

    name: str
    members: dict

    @property
    def default(self) -> str:
        return str(self.members.get("Default", ""))

    def fault(self, value: str) -> str | None:
        """Returns why CloudFormation would reject a value. The script checks values before the build of some minutes."""
        allowed = [str(each) for each in self.members.get("AllowedValues", [])]
        if allowed and value not in allowed:
            return f"{self.name} must be one of {', '.join(allowed)}"
        if self.members["Type"] == "Number":
            if not re.fullmatch(r"[0-9]+", value):
                return f"{self.name} must be a whole number"
            low, high = self.members.get("MinValue", 0), self.members.get("MaxValue", float("inf"))
            if not low <= int(value) <= high:
                return f"{self.name} must be from {low} to {high}"
        if (pattern := self.members.get("AllowedPattern")) and not re.search(pattern, value):
            return f"{self.name} does not have the form that the template asks for: {pattern}"
        return None


def parameters() -> dict[str, Parameter]:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    return {name: Parameter(name, members) for name, members in template["Parameters"].items()}


def deployed(stack: str, region: str) -> dict[str, str] | None:
    """Returns the parameters of the stack, or None if no stack exists or its first change set was never executed."""
    try:
        found = boto3.client("cloudformation", region_name=region).describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        sys.exit(f"CloudFormation in {region} refused to describe the stack {stack}: {error}")
    except BotoCoreError as error:
        sys.exit(f"CloudFormation in {region} did not describe the stack {stack}: {error}")
    if not found or found[0]["StackStatus"] == "REVIEW_IN_PROGRESS":
        return None
    return {each["ParameterKey"]: each["ParameterValue"] for each in found[0].get("Parameters", [])}


def ask(question: str, offered: str, fault) -> str:
    """Asks until the answer has no fault. Enter takes the offered value."""
    hint = f", {NONE} for none" if offered and fault("") is None else ""
    while True:
        answer = input(f"  {question} [{offered}{hint}]: ").strip() or offered
        answer = "" if answer == NONE and fault("") is None else answer
        if (reason := fault(answer)) is None:
            return answer
        print(f"  {reason}")


def matches(name: str, pattern: str):
    return lambda value: None if re.fullmatch(pattern, value) else f"this is no valid {name}"


def first_time(config: Config, region: str | None, known: dict[str, Parameter], given: dict[str, str]) -> None:
    """Asks the questions of a first deployment and writes the answers to samconfig.toml."""
    if not sys.stdin.isatty():
        sys.exit(f"{config.path.name} names no existing stack, and the questions need a terminal: run "
                 "`make deploy` in a terminal, or pass ARGS='--stack-name … --region … --parameter-overrides NAME=VALUE …'")
    print("First deployment. Enter takes the value in brackets. docs/deploy.md explains every parameter.\n")
    stack = ask("Stack name", config.get("stack_name") or STACK_NAME, matches("stack name", STACK_NAME_PATTERN))
    region = ask("Region", region or "us-east-1", matches("region", REGION_PATTERN))
    now, overrides = deployed(stack, region) or {}, config.overrides
    for name in ASKED:
        if name in known and name not in given:
            offered = overrides.get(name, now.get(name, known[name].default))
            print(f"\n  {known[name].members['Description']}")
            overrides[name] = ask(name, offered, known[name].fault)
    config.keep("stack_name", stack)
    config.keep("region", region)
    config.overrides = overrides
    config.save()
    print(f"\n{config.path.name} holds the answers. Edit the file to change them. The next `make deploy` asks nothing.\n")


def arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--arch", help="architecture of the functions (default: that of the last deployment)")
    parser.add_argument("--config-env", default="default")
    parser.add_argument("--config-file", type=Path, default=ROOT / "samconfig.toml")
    parser.add_argument("--stack-name")
    parser.add_argument("--region")
    parser.add_argument("--parameter-overrides", nargs="+", default=[], metavar="NAME=VALUE")
    return parser.parse_known_args()


def main() -> int:
    args, rest = arguments()
    # SAM and boto3 read only AWS_DEFAULT_REGION. Other AWS tools read AWS_REGION.
    if region := os.environ.get("AWS_REGION"):
        os.environ.setdefault("AWS_DEFAULT_REGION", region)
    config, known = Config(args.config_file.resolve(), args.config_env), parameters()
    given = CfnParameterOverridesType().convert(args.parameter_overrides, None, None)
    if args.arch:
        given[ARCHITECTURE] = args.arch
    for name, value in given.items():
        if fault := known[name].fault(value) if name in known else f"template.yaml has no parameter {name}":
            sys.exit(fault)
    for name, value in (("stack_name", args.stack_name), ("region", args.region)):
        if value:
            config.keep(name, value)

    stack = config.get("stack_name")
    region = config.get("region") or boto3.Session().region_name
    now = deployed(stack, region) if stack and region else None
    answered = config.overrides or args.stack_name or args.parameter_overrides
    if now is None and not answered:
        first_time(config, region, known, given)
        stack, region = config.get("stack_name"), config.get("region")
        now = deployed(stack, region)
    if not (stack and region):
        sys.exit(f"{config.path.name} names no {'region' if stack else 'stack'}. Add the name, or pass "
                 f"ARGS='--{'region' if stack else 'stack-name'} …'")

    overrides = config.overrides | given
    # Always name the architecture, so that the deployed stack matches the build.
    overrides.setdefault(ARCHITECTURE, (now or {}).get(ARCHITECTURE, known[ARCHITECTURE].default))
    # The inner `make build` must not inherit the variables of the `make deploy` that runs this script.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")}
    built = subprocess.run(["make", "build", f"ARCH={overrides[ARCHITECTURE]}"], cwd=ROOT, env=environment)
    if built.returncode != 0:
        return built.returncode
    config.keep("stack_name", stack)
    config.keep("region", region)
    if overrides != config.overrides:
        config.overrides = overrides
    config.save()
    sam = Path(sys.executable).with_name("sam")
    command = [str(sam), "deploy", "--config-env", args.config_env, "--config-file", str(config.path),
               "--no-fail-on-empty-changeset", *rest]
    return subprocess.run(command, cwd=ROOT, env={**environment, "SAM_CLI_TELEMETRY": "0"}).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (EOFError, KeyboardInterrupt):
        sys.exit("\nNothing was deployed.")
