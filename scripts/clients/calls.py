"""Makes every call of the API once with the client that openapi-python-client generates, and parses every answer.

run.py puts the generated package beside this file. mypy checks the calls against the package.
"""
import sys
from datetime import datetime
from typing import Any, TypeVar

import httpx

from crm_access.api.contacts import (
    explain_contact_access, get_contact, get_contact_access, list_contact_history, list_contacts, list_simple_contacts,
    list_stages, list_tags, list_types,
    set_access_by_filter, set_contact_access, set_contacts_access,
)
from crm_access.api.jobs import (
    apply_preview, cancel_job, get_job, get_latest_snapshot, list_daily_counts, list_job_changes, list_jobs,
    start_snapshot, undo_job,
)
from crm_access.api.people import filter_people, get_person, list_people
from crm_access.api.portal import create_sign_in_code, get_description, get_settings, sign_in, sign_out
from crm_access.api.rules import delete_rule, get_rule, get_schedule, list_rules, set_rule
from crm_access.client import AuthenticatedClient, Client
from crm_access.models import (
    AccessReason, AccessReasonsAnswer, ChangeListAnswer, ContactAnswer, ContactListAnswer, DailyCountListAnswer,
    DocumentContactAnswer, EmployeeListAnswer, ErrorAnswer, FaultType, HistoryEntryListAnswer, JobKind,
    GetDescriptionResponse200, JobAnswer, JobListAnswer, JobState, ListContactsSortBy, ListContactsSortOrder, ListViewName,
    ListViewNumber, ProfileAnswer, ProfileListAnswer, RuleAnswer, RuleFilter, RuleListAnswer, RuleTarget,
    ScheduleAnswer, SetAccessByFilter, SetContactAccess, SetContactsAccess, SetRule, SetRuleIfNoneMatch, SettingsAnswer,
    ShareType, SignedInAnswer, SignIn, SignInCodeAnswer, SimpleEntryListAnswer, SnapshotAnswer,
    StageOrTypeChoiceListAnswer, TagChoiceListAnswer, UndoPreviewAnswer,
)
from crm_access.types import Response

Answer = TypeVar("Answer")


def print_call(response: httpx.Response) -> None:
    """Prints the method and path of a call; run.py reads these lines."""
    print(response.request.method, response.request.url.path)


def parsed(answer: Response[Any], kind: type[Answer]) -> Answer:
    """Returns the parsed answer; ends the test if the answer is of another type."""
    if not isinstance(answer.parsed, kind):
        sys.exit(f"the answer is no {kind.__name__}: {answer.status_code} {answer.content.decode()}")
    return answer.parsed


def main(url: str, user: str, password: str) -> None:
    httpx_args = {"event_hooks": {"response": [print_call]}}
    public_client = Client(url, raise_on_unexpected_status=True, httpx_args=httpx_args)
    signing_in = sign_in.sync_detailed(client=public_client, body=SignIn(user_name=user, password=password))
    signed_in = parsed(signing_in, SignedInAnswer).response
    client = AuthenticatedClient(url, signed_in.token, raise_on_unexpected_status=True, httpx_args=httpx_args)

    code = parsed(create_sign_in_code.sync_detailed(client=client), SignInCodeAnswer).response
    assert len(code.code) == 64 and code.expires < signed_in.expires
    settings = parsed(get_settings.sync_detailed(client=client), SettingsAnswer).response
    assert settings.portal == "northwind" and settings.utc_hours_offset in (-8, -7)
    me = parsed(get_person.sync_detailed("@self", client=client), ProfileAnswer).response
    people = parsed(list_people.sync_detailed(client=client), ProfileListAnswer).response
    assert me in people
    found = filter_people.sync_detailed(client=client, filter_value=me.last_name)
    assert me in parsed(found, ProfileListAnswer).response

    stages = parsed(list_stages.sync_detailed(client=client), StageOrTypeChoiceListAnswer).response
    parsed(list_types.sync_detailed(client=client), StageOrTypeChoiceListAnswer)
    tags = parsed(list_tags.sync_detailed(client=client), TagChoiceListAnswer).response
    contacts = parsed(list_contacts.sync_detailed(
        client=client, tags=[tags[0].title], contact_stage=[stage.id for stage in stages],
        contact_list_view=ListViewNumber.COMPANY, from_date="1990-01-01", sort_by=ListContactsSortBy.DISPLAYNAME,
        sort_order=ListContactsSortOrder.DESCENDING, count=5,
    ), ContactListAnswer)
    assert contacts.count == len(contacts.response) > 0
    simple = list_simple_contacts.sync_detailed(client=client, fields="id,displayName", count=5)
    assert parsed(simple, SimpleEntryListAnswer).response[0].contact.display_name
    contact = parsed(get_contact.sync_detailed(1, client=client), ContactAnswer).response
    assert contact.id == 1 and isinstance(contact.created, datetime) and contact.created.utcoffset() is not None
    missing = parsed(get_contact.sync_detailed(2**31 - 1, client=client), ErrorAnswer)
    assert missing.error.type_ == FaultType.CONTACT_NOT_FOUND

    managers = [me.id]
    private = SetContactAccess(is_shared=False, manager_list=managers)
    answer = set_contact_access.sync_detailed(1, client=client, body=private)
    assert parsed(answer, DocumentContactAnswer).response.share_type == ShareType.NONE
    listed = parsed(get_contact_access.sync_detailed(1, client=client), EmployeeListAnswer).response
    assert [employee.id for employee in listed] == managers
    why = parsed(explain_contact_access.sync_detailed(1, client=client), AccessReasonsAnswer).response
    assert why.see.allowed and why.edit.reason in (AccessReason.ADMINISTRATOR, AccessReason.IN_LIST)
    past = parsed(list_contact_history.sync_detailed(1, client=client, count=5), HistoryEntryListAnswer).response
    assert past[0].job and past[0].job.kind == JobKind.CONTACT
    several = SetContactsAccess(contactid=[2, 3], is_shared=False, manager_list=managers)
    assert parsed(set_contacts_access.sync_detailed(client=client, body=several), ContactListAnswer).count == 2
    selected = SetAccessByFilter(
        is_private=True, contact_list_view=ListViewName.PERSON, contact_stage=1, manager_list=managers,
    )
    changed = set_access_by_filter.sync_detailed(client=client, body=selected)
    assert parsed(changed, list)

    job_id = changed.headers["x-job-id"]
    newest = parsed(list_jobs.sync_detailed(client=client, count=1), JobListAnswer).response
    assert str(newest[0].id) == job_id
    assert parsed(get_job.sync_detailed(newest[0].id, client=client), JobAnswer).response.state == JobState.DONE
    changes = parsed(list_job_changes.sync_detailed(newest[0].id, client=client), ChangeListAnswer).response
    assert all(change.after and change.after.share_type == ShareType.NONE for change in changes)
    refused = parsed(apply_preview.sync_detailed(newest[0].id, client=client), ErrorAnswer)
    assert refused.error.type_ == FaultType.NOT_A_PREVIEW
    preview = parsed(undo_job.sync_detailed(newest[0].id, client=client, dry_run=True), UndoPreviewAnswer).response
    undoing = parsed(undo_job.sync_detailed(newest[0].id, client=client), JobAnswer).response
    assert preview.matched == len(changes) and undoing.undo_of == newest[0].id
    # The undo may have finished already.
    cancelled = cancel_job.sync_detailed(undoing.id, client=client)
    parsed(cancelled, JobAnswer if cancelled.status_code == 200 else ErrorAnswer)

    days = parsed(list_daily_counts.sync_detailed(client=client), DailyCountListAnswer).response
    assert len(days) == 90 and days[-1].jobs > 0
    counting = parsed(start_snapshot.sync_detailed(client=client, note="monthly"), JobAnswer).response
    assert counting.kind == JobKind.SNAPSHOT
    # The snapshot may not have ended yet.
    latest = get_latest_snapshot.sync_detailed(client=client)
    parsed(latest, SnapshotAnswer if latest.status_code == 200 else ErrorAnswer)

    runs = parsed(get_schedule.sync_detailed(client=client, cron="0 2 29 2 *", count=2), ScheduleAnswer).response.runs
    assert len(runs) == 2
    rule = SetRule(filter_=RuleFilter(tags=[tags[0].title]), target=RuleTarget(is_private=True, manager_list=managers),
                   cron="0 2 29 2 *", time_zone="Europe/Riga")
    made = parsed(set_rule.sync_detailed("yearly", client=client, body=rule, if_none_match=SetRuleIfNoneMatch.ANY), RuleAnswer).response
    assert made in parsed(list_rules.sync_detailed(client=client), RuleListAnswer).response
    assert made == parsed(get_rule.sync_detailed("yearly", client=client), RuleAnswer).response
    assert delete_rule.sync_detailed("yearly", client=client).status_code == 204

    description = parsed(get_description.sync_detailed(client=public_client), GetDescriptionResponse200)
    assert description["openapi"] == "3.1.0"
    assert sign_out.sync_detailed(client=client).status_code == 204


if __name__ == "__main__":
    main(*sys.argv[1:])
