#!/usr/bin/env python3
"""Runs published, unmodified ONLYOFFICE clients against the demo portal.

The PyPI packages onlyoffice and pyonlyoffice sign in and keep the authorization header. Neither package has a method
for contacts. This test therefore calls the contact endpoints with `requests` and the header of the package, in the
manner of the packages: a form body, a path without a suffix, and an answer parsed as JSON.

usage: .tools/clients/python/bin/python scripts/clients/published.py
"""
import sys
from pathlib import Path
from typing import Any, Protocol

import onlyoffice
import pyonlyoffice
import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from engine import Demo, crm_access  # noqa: E402 (the line above adds the folder of engine.py)


class Client(Protocol):
    baseurl: str
    auth: dict[str, str]

    def terminate(self) -> Any: ...


def expect(condition: bool, detail: object) -> None:
    """Ends the test if the condition is false. `python -O` would skip an assert."""
    if not condition:
        sys.exit(f"the client cannot use this answer: {detail}")


def call(client: Client, method: str, path: str, **arguments: Any) -> Any:
    """Calls with the client's token and returns the JSON answer; ends the test unless the status is 200."""
    answer = requests.request(method, f"{client.baseurl}/api/2.0/{path}", headers=client.auth, timeout=60, **arguments).json()
    expect(answer["statusCode"] == 200, answer)
    return answer


def all_contacts(client: Client) -> list[dict[str, Any]]:
    """Reads all contacts, page by page, until `total`."""
    contacts: list[dict[str, Any]] = []
    while True:
        page = call(client, "GET", "crm/contact/filter", params={"count": 50, "startIndex": len(contacts)})
        contacts += page["response"]
        if len(contacts) >= page["total"] or not page["response"]:
            return contacts


def run(client: Client) -> int:
    """Makes the calls of one client and returns the number of contacts."""
    me = call(client, "GET", "people/@self")["response"]
    people = call(client, "GET", "people")["response"]
    expect(me["id"] in [person["id"] for person in people], people)
    found = call(client, "GET", "people/filter", params={"filterValue": me["lastName"]})["response"]
    expect(me in found, found)
    expect(call(client, "GET", f"people/{me['id']}")["response"] == me, me)

    contacts = all_contacts(client)
    identifiers = {contact["id"] for contact in contacts}
    expect(len(identifiers) == len(contacts) == 182, len(contacts))
    for choice in ("status", "type", "tag"):
        expect(call(client, "GET", f"crm/contact/{choice}")["count"] > 0, choice)
    simple = call(client, "GET", "crm/contact/simple/filter", params={"count": 1})["response"]
    expect(simple[0]["contact"]["id"] in identifiers, simple)

    shown = call(client, "PUT", "crm/contact/5/access", data={"isShared": False, "managerList[]": [me["id"]]})["response"]
    expect(shown["isPrivate"] is True and shown["accessList"][0]["id"] == me["id"], shown)
    listed = call(client, "GET", "crm/contact/5/access")["response"]
    expect([employee["id"] for employee in listed] == [me["id"]], listed)
    expect(call(client, "GET", "crm/contact/5")["response"] == shown, shown)
    several = {"contactid[]": [5, 6], "isShared": True, "managerList[]": [me["id"]]}
    expect(call(client, "PUT", "crm/contact/access", data=several)["count"] == 2, several)
    by_filter = {"tags[]": ["Germany"], "contactListView": "company", "isPrivate": True, "managerList[]": [me["id"]]}
    changed = call(client, "PUT", "crm/contact/filter/access", data=by_filter)
    expect(changed["count"] > 0 and all(contact["isPrivate"] for contact in changed["response"]), changed)
    expect(call(client, "GET", "crm/contact/5")["response"]["isPrivate"] is False, shown)

    # The package can parse the answer to a call that the service does not support.
    refused = client.terminate()
    expect(refused["error"]["type"] == "endpoint-not-found", refused)
    return len(contacts)


def main() -> None:
    program = crm_access()
    for name, sign_in in (("onlyoffice", onlyoffice.OnlyOffice), ("pyonlyoffice", pyonlyoffice.PyOnlyOffice)):
        with Demo(program) as demo:
            # The documentation of pyonlyoffice writes addresses with a trailing slash.
            for address in (demo.url, f"{demo.url}/"):
                client = sign_in(baseurl=address, username=demo.user, password=demo.password)
                print(f"{name} at {address}: signed in, read {run(client)} contacts, set access")


if __name__ == "__main__":
    main()
