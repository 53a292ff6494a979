// Makes every call of the API once with the client that @hey-api/openapi-ts generates.
// run.py puts the generated client beside this file. tsc checks the calls against the client.

import { strict as assert } from "node:assert";
import * as api from "./hey_api_client";
import { client } from "./hey_api_client/client.gen";

const [baseUrl, userName, password] = process.argv.slice(2) as [string, string, string];

// Makes a call and prints its method and path. run.py reads these lines.
async function fetchAndPrint(request: Request): Promise<Response> {
  console.log(request.method, new URL(request.url).pathname);
  return fetch(request);
}

async function main() {
  client.setConfig({ baseUrl, fetch: fetchAndPrint as typeof fetch, throwOnError: true });
  const signedIn = await api.signIn<true>({ body: { userName, password } });
  const { token } = signedIn.data.response;
  client.setConfig({ auth: token });

  const code = (await api.createSignInCode<true>()).data.response.code;
  assert.equal(code.length, 64);
  assert.equal((await api.getSettings<true>()).data.response.portal, "northwind");
  const me = (await api.getPerson<true>({ path: { userid: "@self" } })).data.response;
  const people = (await api.listPeople<true>()).data.response;
  assert(people.some((person) => person.id === me.id));
  const found = await api.filterPeople<true>({ query: { filterValue: me.lastName } });
  assert.equal(found.data.count, found.data.response.length);

  const stages = (await api.listStages<true>()).data.response;
  await api.listTypes<true>();
  const tags = (await api.listTags<true>()).data.response.map((tag) => tag.title).slice(0, 1);
  const contacts = await api.listContacts<true>({
    query: {
      tags, contactStage: stages.map((stage) => stage.id), contactListView: "Company", fromDate: "1990-01-01",
      sortBy: "displayName", sortOrder: "descending", count: 5,
    },
  });
  assert(contacts.data.count > 0);
  const simple = await api.listSimpleContacts<true>({ query: { fields: "id,displayName", count: 5 } });
  assert.ok(simple.data.response[0]?.contact.displayName);
  const contact = await api.getContact<true>({ path: { contactid: 1 } });
  assert.equal(contact.data.response.id, 1);
  const missing = await api.getContact({ path: { contactid: 2147483647 }, throwOnError: false });
  assert.equal(missing.error?.error.type, "contact-not-found");

  const managerList = [me.id];
  const set = await api.setContactAccess<true>({ path: { contactid: 1 }, body: { isShared: false, managerList } });
  assert.equal("ShareType" in set.data.response && set.data.response.ShareType, 0);
  const access = await api.getContactAccess<true>({ path: { contactid: 1 } });
  assert.deepEqual(access.data.response.map((employee) => employee.id), managerList);
  const why = await api.explainContactAccess<true>({ path: { contactid: 1 } });
  assert.ok(why.data.response.see.allowed);
  const past = await api.listContactHistory<true>({ path: { contactid: 1 }, query: { count: 5 } });
  assert.equal(past.data.response[0]?.job?.kind, "contact");
  await api.setContactsAccess<true>({ body: { contactid: [2, 3], isShared: false, managerList } });
  const changed = await api.setAccessByFilter<true>({
    body: { contactListView: "Person", contactStage: 1, isPrivate: true, managerList },
  });
  assert(Array.isArray(changed.data) && changed.data.length > 0);

  const jobid = changed.response.headers.get("x-job-id") ?? "";
  const jobs = await api.listJobs<true>({ query: { count: 1 } });
  assert.equal(jobs.data.response[0]?.id, jobid);
  assert.equal((await api.getJob<true>({ path: { jobid } })).data.response.state, "done");
  const changes = await api.listJobChanges<true>({ path: { jobid } });
  assert(changes.data.response.every((change) => change.after?.shareType === 0));
  const refused = await api.applyPreview({ path: { jobid }, throwOnError: false });
  assert.equal(refused.error?.error.type, "not-a-preview");
  const preview = await api.undoJob<true>({ path: { jobid }, query: { dryRun: true } });
  assert.equal(preview.data.response.matched, changes.data.count);
  const undoing = await api.undoJob<true>({ path: { jobid } });
  assert("id" in undoing.data.response && undoing.data.response.undoOf === jobid);
  // The undo may have finished already.
  const cancelled = await api.cancelJob({ path: { jobid: undoing.data.response.id }, throwOnError: false });
  assert(cancelled.data?.response.id || cancelled.error?.error.type === "job-over");

  const days = (await api.listDailyCounts<true>()).data.response;
  assert.equal(days.length, 90);
  const counting = await api.startSnapshot<true>({ query: { note: "monthly" } });
  assert("kind" in counting.data.response && counting.data.response.kind === "snapshot");
  // The snapshot may not have ended yet.
  const latest = await api.getLatestSnapshot({ throwOnError: false });
  assert(latest.data?.response.jobId || latest.error?.error.type === "snapshot-not-found");

  const runs = await api.getSchedule<true>({ query: { cron: "0 2 29 2 *", count: 2 } });
  assert.equal(runs.data.response.runs.length, 2);
  const path = { name: "yearly" };
  const rule = {
    filter: { tags }, target: { isPrivate: true, managerList }, cron: "0 2 29 2 *", timeZone: "Europe/Riga",
  };
  const made = await api.setRule<true>({ path, body: rule, headers: { "If-None-Match": "*" } });
  assert.deepEqual((await api.getRule<true>({ path })).data.response, made.data.response);
  assert.deepEqual((await api.listRules<true>()).data.response, [made.data.response]);
  assert.equal((await api.deleteRule<true>({ path })).response.status, 204);

  assert.equal((await api.getDescription<true>()).data.openapi, "3.1.0");
  assert.equal((await api.signOut<true>()).response.status, 204);
}

main().catch((failure) => {
  console.error(failure);
  process.exit(1);
});
