"""The needs of right calls of the demo that no schema can state; scripts/conformance.py makes schemathesis load this file.

Wrong calls stay as they are, unless the service reads them as right ones. Right calls may name a contact, a job or a rule
that is not there, because the description has a status for that.

The description has bodies as JSON only, and names forms in its text. Here every body is a form as well.
"""
import itertools
import os

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

# The demo's nine employees.
USERS = [f"4e6f7274-6877-8e64-8000-{number:012}" for number in range(1, 10)]
# Northwind has 182 contacts.
CONTACTS = 182
# Of days that are far off: a rule that ran would change what other calls find.
CRONS = ["0 2 29 2 *", "30 4 29 2 MON", "*/15 3 29 FEB *", "0 0 29 2 *"]
# No schema compares two dates.
DATES = ("1996-07-01", "1998-05-31")
ZONES = ["Europe/Berlin", "America/Los_Angeles", "UTC", "Asia/Kolkata"]

schemathesis.openapi.format("cron", st.sampled_from(CRONS))
schemathesis.openapi.format("time-zone", st.sampled_from(ZONES))

FORM = "application/x-www-form-urlencoded"
# These two calls answer a form in another dialect than JSON: as the type of this name.
ANSWERS_TO_FORMS = {"setContactAccess": "ContactAnswer", "setAccessByFilter": "ContactListAnswer"}


def found(description: dict, schema: dict) -> dict:
    """A schema, or the schema that it refers to, without `null` and without a value alone where an array is right too."""
    if "$ref" in schema:
        return found(description, description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]])
    parts = [part for part in schema.get("anyOf", []) if part != {"type": "null"}]
    arrays = [part for part in parts if part.get("type") == "array"]
    if arrays or len(parts) == 1:
        return found(description, (arrays or parts)[0])
    if isinstance(schema.get("type"), list):
        schema = schema | {"type": schema["type"][0]}
    return schema | {"minItems": 1} if schema.get("type") == "array" else schema


def form_of(description: dict, body: dict) -> dict:
    """The form with the fields of a JSON body. Members of an object have their names in brackets."""
    properties, required = {}, []
    for name, schema in body["properties"].items():
        schema = found(description, schema)
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
            body = found(raw_schema, content["application/json"]["schema"])
            content[FORM] = {"schema": form_of(raw_schema, body)}
            if other := ANSWERS_TO_FORMS.get(operation["operationId"]):
                answer = operation["responses"]["200"]["content"]["application/json"]
                answer["schema"] = {"anyOf": [answer["schema"], {"$ref": f"#/components/schemas/{other}"}]}


FILTER_FIELDS = {"tags", "contactStage", "contactType", "contactListView", "fromDate", "toDate", "filterValue"}
# Neither a tag, a user, a number, a date nor a truth value.
WRONG = "x" * 300

numbers = itertools.count()
jobs: list[str] = []


@schemathesis.hook
def after_call(context, case, response) -> None:
    jobs.extend(response.headers.get("x-job-id", []))


def known(managers):
    """As many managers, all of whom are users; in a form one can stand alone, and an empty text for none."""
    if managers is None:
        return None
    if isinstance(managers, str):
        return USERS[0] if managers else ""
    return [USERS[place % len(USERS)] for place, _ in enumerate(managers)]


def complete(body: dict) -> None:
    for name, value in body.items():
        if name in ("managerList", "target[managerList]"):
            body[name] = known(value)
        elif name == "target":
            complete(value)


def select(body: dict) -> None:
    """Names a field of the filter that holds something, where every field that is named holds nothing."""
    named = [value for name, value in body.items() if name in FILTER_FIELDS]
    if named and all(value in (None, []) for value in named):
        body["contactListView"] = 0


def as_text(value):
    """A value of a form: JSON counts 5.0 as a whole number, but as a text it is none."""
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    meta = case.meta
    if meta is None:
        return
    is_right = {place: not meta.is_negative_at(place) for place in ParameterLocation}
    # Calls that follow a link go where it leads; of the others half find something.
    path = case.path_parameters or {}
    if is_right[ParameterLocation.PATH] and meta.phase.name is not TestPhase.STATEFUL and (number := next(numbers)) % 2:
        if "jobid" in path and jobs:
            path["jobid"] = jobs[number % len(jobs)]
        if "contactid" in path:
            path["contactid"] = 1 + number % CONTACTS
    if is_right[ParameterLocation.BODY] and isinstance(case.body, dict):
        body = dict(case.body)
        complete(body)
        if "isPrivate" in body:
            select(body)
        # Now and then the generator takes a form for right that has none of the filter's fields, of which the schema wants
        # one (`anyOf`).
        if "target[isPrivate]" in body and not any(name.startswith("filter[") for name in body):
            body["filter[contactListView]"] = 0
        for first, last in (("fromDate", "toDate"), ("filter[fromDate]", "filter[toDate]")):
            if first in body and last in body:
                body[first], body[last] = DATES
        if isinstance(body.get("filter"), dict):
            body["filter"] = dict(body["filter"])
            select(body["filter"])
            if {"fromDate", "toDate"} <= body["filter"].keys():
                body["filter"] |= {"fromDate": DATES[0], "toDate": DATES[1]}
        if "userName" in body:
            body.update(userName=os.environ["CRM_ACCESS_USER"], password=os.environ["CRM_ACCESS_PASSWORD"])
            if "portal" in body:
                body["portal"] = "northwind"
        if case.media_type == FORM:
            # An array of none has no way into a form.
            body = {name: as_text(value) for name, value in body.items() if value != []}
        case.body = body
    elif case.media_type == FORM and isinstance(case.body, dict):
        # An array of none, or of one empty text, is sent as an empty text, which is right.
        case.body = {name: [WRONG] if value in ([], [""]) else value for name, value in case.body.items()}
    if is_right[ParameterLocation.HEADER] and case.headers:
        # A key that was used for another call is refused, and so is a revision that is not the contact's.
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = f"{next(numbers)}"
        if "If-Match" in case.headers:
            case.headers["If-Match"] = "*"
        # Whether there is a rule of that name already depends on the calls before.
        if "/rules/" in case.path:
            for name in ("If-Match", "If-None-Match"):
                case.headers.pop(name, None)
    if is_right[ParameterLocation.QUERY] and case.query:
        # Whether a change is too much depends on what there is to be changed.
        if "maxAffected" in case.query:
            case.query["maxAffected"] = CONTACTS
        # No schema compares names without case, or knows which parameters exclude each other.
        if "fields" in case.query:
            case.query["fields"] = "id,displayName"
        if "fromDate" in case.query and "toDate" in case.query:
            case.query["fromDate"], case.query["toDate"] = DATES
        if "before" in case.query:
            case.query.pop("startIndex", None)
