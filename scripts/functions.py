"""The functions `sam build` made: their names, their programs, their events."""
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from engine import ROOT

BUILD = ROOT / ".aws-sam" / "build"
# As Lambda calls them.
ELF_MACHINES = {0x3E: "x86_64", 0xB7: "arm64"}
ARCHITECTURE = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]


@dataclass(frozen=True)
class Function:
    name: str           # set-contact-access, as its folder and its event are called
    logical_id: str     # SetContactAccessFunction, as the template calls it
    bootstrap: Path

    @property
    def event(self) -> Path:
        return ROOT / "events" / f"{self.name}.json"

    @property
    def expected(self) -> Path:
        return ROOT / "events" / f"{self.name}.expected.json"


def logical_id(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-")) + "Function"


def built() -> list[Function]:
    """Every function in functions/, each built, runnable on this machine and with an event; otherwise it ends the program."""
    found = []
    for folder in sorted(path.parent.name for path in ROOT.glob("functions/*/Cargo.toml")):
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


def environment(endpoint: str, table: str) -> dict[str, str]:
    """What a function needs to find its data. The credentials are no secret: the local engine takes any."""
    return {
        "CRM_ACCESS_TABLE": table,
        "CRM_ACCESS_DYNAMODB_ENDPOINT": endpoint,
        "CRM_ACCESS_TOKEN_CACHE_SECONDS": "30",
        "CRM_ACCESS_LOG": os.environ.get("CRM_ACCESS_LOG", "info"),
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
