"""The functions `sam build` made: their names, their programs, their events."""
import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from engine import ROOT

BUILD = ROOT / ".aws-sam" / "build"
EXPECTED = ".expected.json"
# As Lambda calls them.
ELF_MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}
ARCHITECTURE = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]


@dataclass(frozen=True)
class Function:
    name: str           # set-contact-access, as its folder and its event are called; its program may have another name
    logical_id: str     # SetContactAccessFunction, as the template calls it
    bootstrap: Path

    @property
    def event(self) -> Path:
        """Its first event, which every function has."""
        return ROOT / "events" / f"{self.name}.json"

    @property
    def events(self) -> list[Path]:
        """All its events: events/NAME.json, and events/NAME-….json for what else it does."""
        further = [path for path in ROOT.glob(f"events/{self.name}-*.json") if not path.name.endswith(EXPECTED)]
        # run-rules-once.json is no event of a function called run.
        return [self.event, *sorted(path for path in further if owner(path.stem) == self.name)]

    @property
    def is_http(self) -> bool:
        """Whether API Gateway calls it. Others are called by a queue or a schedule, and their answer has no status."""
        return "requestContext" in json.loads(self.event.read_text())


def expected(event: Path) -> Path:
    """The file with the answer to an event."""
    return event.with_name(event.stem + EXPECTED)


def names() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("functions/*/Cargo.toml"))


def owner(event: str) -> str | None:
    """The function that an event is for: the one with the longest name that the event's begins with."""
    return max((name for name in names() if f"{event}-".startswith(f"{name}-")), key=len, default=None)


def logical_id(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-")) + "Function"


def built() -> list[Function]:
    """Every function in functions/, each built, runnable on this machine and with an event; otherwise it ends the program."""
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
        sys.exit("there is no function in functions/")
    return found


def environment(endpoint: str, table: str, access_key: str) -> dict[str, str]:
    """The variables with which a function finds its data. A local engine asks for the access key and checks no signature."""
    return {
        "CRM_ACCESS_TABLE": table,
        "CRM_ACCESS_DYNAMODB_ENDPOINT": endpoint,
        "CRM_ACCESS_TOKEN_CACHE_SECONDS": "30",
        "CRM_ACCESS_LOG": os.environ.get("CRM_ACCESS_LOG", "info"),
        # No queue and no bus, unless the environment names emulators: `sam local` would make up names from the template.
        "CRM_ACCESS_QUEUE_URL": os.environ.get("CRM_ACCESS_QUEUE_URL", ""),
        "CRM_ACCESS_SQS_ENDPOINT": os.environ.get("CRM_ACCESS_SQS_ENDPOINT", ""),
        "CRM_ACCESS_EVENT_BUS": os.environ.get("CRM_ACCESS_EVENT_BUS", ""),
        "CRM_ACCESS_EVENTS_ENDPOINT": os.environ.get("CRM_ACCESS_EVENTS_ENDPOINT", ""),
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": "local",
    }
