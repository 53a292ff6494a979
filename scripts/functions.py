"""The functions that `sam build` has built: their names, binaries and events."""
import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from engine import ROOT

BUILD = ROOT / ".aws-sam" / "build"
EXPECTED = ".expected.json"
# Lambda's name of each architecture, by the `e_machine` field of an ELF header and by `platform.machine()`.
ELF_MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}
ARCHITECTURE = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]


@dataclass(frozen=True)
class Function:
    name: str           # the name of the folder and of the first event, such as set-contact-access
    logical_id: str     # the name in the template, such as SetContactAccessFunction
    bootstrap: Path

    @property
    def event(self) -> Path:
        """The first event. Every function has this file."""
        return ROOT / "events" / f"{self.name}.json"

    @property
    def events(self) -> list[Path]:
        """All events of the function: events/NAME.json, then events/NAME-….json."""
        further = [path for path in ROOT.glob(f"events/{self.name}-*.json") if not path.name.endswith(EXPECTED)]
        # The pattern alone would give run-rules-once.json to a function named `run` too.
        return [self.event, *sorted(path for path in further if owner(path.stem) == self.name)]

    @property
    def is_http(self) -> bool:
        """Whether API Gateway calls the function. The answers of other functions have no status."""
        return "requestContext" in json.loads(self.event.read_text())


def expected(event: Path) -> Path:
    """Returns the file with the expected answer to an event."""
    return event.with_name(event.stem + EXPECTED)


def names() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("functions/*/Cargo.toml"))


def owner(event: str) -> str | None:
    """Returns the function of an event: the longest function name that is a prefix of the event's name."""
    return max((name for name in names() if f"{event}-".startswith(f"{name}-")), key=len, default=None)


def logical_id(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-")) + "Function"


def built() -> list[Function]:
    """Returns all functions. Ends the program if a function is not built for this machine or has no event."""
    found = []
    for folder in names():
        function = Function(folder, logical_id(folder), BUILD / logical_id(folder) / "bootstrap")
        if not function.bootstrap.is_file():
            sys.exit(f"{folder} is not built: run `make build` first")
        if not function.event.is_file():
            sys.exit(f"{folder} has no {function.event.relative_to(ROOT)}")
        machine = ELF_MACHINES.get(int.from_bytes(function.bootstrap.read_bytes()[18:20], "little"))
        if machine != ARCHITECTURE:
            sys.exit(f"{folder} is built for {machine}, which this machine ({ARCHITECTURE}) cannot run: "
                     "run `make build` without ARCH")
        found.append(function)
    if not found:
        sys.exit("functions/ contains no function")
    return found


def environment(endpoint: str, table: str, access_key: str) -> dict[str, str]:
    """Returns the environment of a function for a local engine, which checks the access key but no signature."""
    return {
        "CRM_ACCESS_TABLE": table,
        "CRM_ACCESS_DYNAMODB_ENDPOINT": endpoint,
        "CRM_ACCESS_TOKEN_CACHE_SECONDS": "30",
        "CRM_ACCESS_LOG": os.environ.get("CRM_ACCESS_LOG", "info"),
        # Empty means no queue and no bus. Without these variables, `sam local` would invent values from the template.
        "CRM_ACCESS_QUEUE_URL": os.environ.get("CRM_ACCESS_QUEUE_URL", ""),
        "CRM_ACCESS_SQS_ENDPOINT": os.environ.get("CRM_ACCESS_SQS_ENDPOINT", ""),
        "CRM_ACCESS_EVENT_BUS": os.environ.get("CRM_ACCESS_EVENT_BUS", ""),
        "CRM_ACCESS_EVENTS_ENDPOINT": os.environ.get("CRM_ACCESS_EVENTS_ENDPOINT", ""),
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": "local",
    }
