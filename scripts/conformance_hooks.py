"""Hooks for schemathesis, loaded by scripts/conformance.py: they give valid calls the values that no schema can state.

The hooks change an invalid call only if the service would accept the call. A valid call may name a contact, a job or a
rule that does not exist, because the description has a status for this case.

The schemas of the description cover JSON bodies only; its text describes forms. The hooks add a form schema for every
body.
"""
import itertools
import os

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

# The demo's nine employees.
USERS = [f"4e6f7274-6877-8e64-8000-{number:012}" for number in range(1, 10)]
# No user of the demo. A change may remove any identifier from a manager list.
NO_USER = "9924256a-739c-462b-af15-e652a3b1b6eb"
# Northwind has 182 contacts.
CONTACTS = 182
# Schedules without a run in the near future. A rule that runs would change the answers to other calls.
CRONS = ["0 2 29 2 *", "30 4 29 2 MON", "*/15 3 29 FEB *", "0 0 29 2 *"]
# Values of `fromDate` and `toDate` in valid order; no schema compares two dates.
DATES = ("1996-07-01", "1998-05-31")
ZONES = ["Europe/Berlin", "America/Los_Angeles", "UTC", "Asia/Kolkata"]

schemathesis.openapi.format("cron", st.sampled_from(CRONS))
schemathesis.openapi.format("time-zone", st.sampled_from(ZONES))

FORM = "application/x-www-form-urlencoded"
# These two operations answer a form in another dialect than a JSON body. The value is the schema of the answer.
ANSWERS_TO_FORMS = {"setContactAccess": "ContactAnswer", "setAccessByFilter": "ContactListAnswer"}


def resolved(description: dict, schema: dict) -> dict:
    """Resolves references and drops `null`. Keeps only the array of a value or an array of values."""
    if "$ref" in schema:
        return resolved(description, description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]])
    parts = [part for part in schema.get("anyOf", []) if part != {"type": "null"}]
    arrays = [part for part in parts if part.get("type") == "array"]
    if arrays or len(parts) == 1:
        return resolved(description, (arrays or parts)[0])
    if isinstance(schema.get("type"), list):
        schema = schema | {"type": schema["type"][0]}
    return schema | {"minItems": 1} if schema.get("type") == "array" else schema


def form_of(description: dict, body: dict) -> dict:
    """Converts the schema of a JSON body to the schema of a form. The name of a nested field stands in brackets."""
    properties, required = {}, []
    for name, schema in body["properties"].items():
        schema = resolved(description, schema)
        own = {name: schema}
        if schema.get("type") == "object":
            inner = form_of(description, schema)
            own = {f"{name}[{key}]": part for key, part in inner["properties"].items()}
            required += [f"{name}[{key}]" for key in inner["required"]]
        elif name in body.get("required", []):
            required.append(name)
        properties |= own
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


@schemathesis.hook
def before_load_schema(context, raw_schema) -> None:
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            if "requestBody" not in operation:
                continue
            content = operation["requestBody"]["content"]
            body = resolved(raw_schema, content["application/json"]["schema"])
            content[FORM] = {"schema": form_of(raw_schema, body)}
            if other := ANSWERS_TO_FORMS.get(operation["operationId"]):
                answer = operation["responses"]["200"]["content"]["application/json"]
                answer["schema"] = {"anyOf": [answer["schema"], {"$ref": f"#/components/schemas/{other}"}]}


FILTER_FIELDS = {"tags", "contactStage", "contactType", "contactListView", "fromDate", "toDate", "filterValue",
                 "isShared", "responsibleid"}
# An invalid value for every field: no tag, user, number, date or boolean.
INVALID = "x" * 300

numbers = itertools.count()
jobs: list[str] = []


@schemathesis.hook
def after_call(context, case, response) -> None:
    jobs.extend(response.headers.get("x-job-id", []))


def known_users(managers):
    """Replaces each manager by a user of the portal. In a form, a string is one manager, an empty string is none."""
    if managers is None:
        return None
    if isinstance(managers, str):
        return USERS[0] if managers else ""
    return [USERS[index % len(USERS)] for index, _ in enumerate(managers)]


def set_change(body: dict, privacy: str, form: str = "{}") -> None:
    """Makes the change of access valid: known managers, nobody added and removed, and one way to change the list.

    `privacy` is the field that makes contacts private or public, and `form` the form of the names in the body.
    """
    replaced, added, removed, own = (form.format(name) for name in ("managerList", "addManagers", "removeManagers", privacy))
    for name in (replaced, added):
        if name in body:
            body[name] = known_users(body[name])
    if body.get(removed):
        body[removed] = [NO_USER]
    edits = [body[name] for name in (added, removed) if body.get(name) is not None]
    if edits:
        body.pop(replaced, None)
    # No schema states that a change needs one of several fields.
    if body.get(own) is None and not any(edits):
        body[own] = True


def set_filter_field(body: dict) -> None:
    """Adds a filter field with a value if every filter field of the body is empty."""
    values = [value for name, value in body.items() if name in FILTER_FIELDS]
    if values and all(value in (None, []) for value in values):
        body["contactListView"] = 0


def as_text(value):
    """Converts a JSON value to a form value. The service accepts 5.0 as a whole number in JSON, but not in a form."""
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    meta = case.meta
    if meta is None:
        return
    is_valid = {location: not meta.is_negative_at(location) for location in ParameterLocation}
    # A call that follows a link keeps its path. Half of the other calls get the identifier of an existing item.
    path = case.path_parameters or {}
    if is_valid[ParameterLocation.PATH] and meta.phase.name is not TestPhase.STATEFUL and (number := next(numbers)) % 2:
        if "jobid" in path and jobs:
            path["jobid"] = jobs[number % len(jobs)]
        if "contactid" in path:
            path["contactid"] = 1 + number % CONTACTS
    if is_valid[ParameterLocation.BODY] and isinstance(case.body, dict):
        body = dict(case.body)
        if "/rules/" not in case.path and case.path.endswith("/access"):
            set_change(body, "isPrivate" if case.path.endswith("/filter/access") else "isShared")
        elif isinstance(body.get("target"), dict):
            body["target"] = dict(body["target"])
            set_change(body["target"], "isPrivate")
        elif "/rules/" in case.path:
            set_change(body, "isPrivate", "target[{}]")
        if case.path.endswith("/filter/access"):
            set_filter_field(body)
        # The schema requires one of the filter's fields (`anyOf`). Some generated forms lack all fields and still count
        # as valid.
        if any(name.startswith("target[") for name in body) and not any(name.startswith("filter[") for name in body):
            body["filter[contactListView]"] = 0
        for first, last in (("fromDate", "toDate"), ("filter[fromDate]", "filter[toDate]")):
            if first in body and last in body:
                body[first], body[last] = DATES
        if isinstance(body.get("filter"), dict):
            body["filter"] = dict(body["filter"])
            set_filter_field(body["filter"])
            if {"fromDate", "toDate"} <= body["filter"].keys():
                body["filter"] |= {"fromDate": DATES[0], "toDate": DATES[1]}
        if "userName" in body:
            body.update(userName=os.environ["CRM_ACCESS_USER"], password=os.environ["CRM_ACCESS_PASSWORD"])
            if "portal" in body:
                body["portal"] = "northwind"
        if case.media_type == FORM:
            # A form cannot express an empty array.
            body = {name: as_text(value) for name, value in body.items() if value != []}
        case.body = body
    elif case.media_type == FORM and isinstance(case.body, dict):
        # A form sends an empty array, and an array of one empty string, as an empty string, which is valid.
        case.body = {name: [INVALID] if value in ([], [""]) else value for name, value in case.body.items()}
    if is_valid[ParameterLocation.HEADER] and case.headers:
        # The service refuses an idempotency key of another call and a revision that is not current.
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = f"{next(numbers)}"
        if "If-Match" in case.headers:
            case.headers["If-Match"] = "*"
        # The result of a precondition on a rule depends on the earlier calls.
        if "/rules/" in case.path:
            for name in ("If-Match", "If-None-Match"):
                case.headers.pop(name, None)
    if is_valid[ParameterLocation.QUERY] and case.query:
        # The result of a low limit depends on the current access of the contacts.
        if "maxAffected" in case.query:
            case.query["maxAffected"] = CONTACTS
        # No schema states case-insensitive names or parameters that exclude each other.
        if "fields" in case.query:
            case.query["fields"] = "id,displayName"
        if "fromDate" in case.query and "toDate" in case.query:
            case.query["fromDate"], case.query["toDate"] = DATES
        if "from" in case.query and "to" in case.query:
            case.query["from"], case.query["to"] = DATES
        if "userId" in case.query:
            case.query["userId"] = USERS[0]
        if "before" in case.query:
            case.query.pop("startIndex", None)
