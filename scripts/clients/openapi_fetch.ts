// Makes every call of the API once with openapi-fetch and the types that openapi-typescript generates.
// run.py puts the generated types beside this file. tsc checks the calls against the types.

import { strict as assert } from "node:assert";
import createClient from "openapi-fetch";
import type { components, paths } from "./openapi_typescript";

type Failure = components["schemas"]["ErrorAnswer"];

const [baseUrl, userName, password] = process.argv.slice(2) as [string, string, string];

// Makes a call and prints its method and path. run.py reads these lines.
async function fetchAndPrint(request: Request): Promise<Response> {
  console.log(request.method, new URL(request.url).pathname);
  return fetch(request);
}

// Returns the data of a successful answer. Fails the test for an error.
function dataOf<T>(answer: { data?: T; error?: Failure }): NonNullable<T> {
  assert.equal(answer.error, undefined, JSON.stringify(answer.error));
  assert(answer.data);
  return answer.data;
}

async function main() {
  const client = createClient<paths>({ baseUrl, fetch: fetchAndPrint });
  const signedIn = dataOf(await client.POST("/api/2.0/authentication", { body: { userName, password } }));
  const { token } = signedIn.response;
  client.use({
    onRequest: ({ request }) => request.headers.set("Authorization", token),
  });

  const code = dataOf(await client.POST("/api/2.0/authentication/code")).response.code;
  assert.equal(code.length, 64);
  assert.equal(dataOf(await client.GET("/api/2.0/settings")).response.portal, "northwind");
  const me = dataOf(await client.GET("/api/2.0/people/{userid}", { params: { path: { userid: "@self" } } })).response;
  const people = dataOf(await client.GET("/api/2.0/people")).response;
  assert(people.some((person) => person.id === me.id));
  dataOf(await client.GET("/api/2.0/people/filter", { params: { query: { filterValue: me.lastName } } }));

  const stages = dataOf(await client.GET("/api/2.0/crm/contact/status")).response;
  dataOf(await client.GET("/api/2.0/crm/contact/type"));
  const tags = dataOf(await client.GET("/api/2.0/crm/contact/tag")).response.map((tag) => tag.title).slice(0, 1);
  const query = {
    tags, contactStage: stages.map((stage) => stage.id), contactListView: 1 as const, sortBy: "displayName" as const,
    sortOrder: "descending" as const, count: 5,
  };
  assert(dataOf(await client.GET("/api/2.0/crm/contact/filter", { params: { query } })).count > 0);
  const simple = dataOf(await client.GET("/api/2.0/crm/contact/simple/filter", { params: { query: { count: 5 } } }));
  assert.ok(simple.response[0]?.contact.displayName);
  const path = { contactid: 1 };
  assert.equal(dataOf(await client.GET("/api/2.0/crm/contact/{contactid}", { params: { path } })).response.id, 1);
  const missing = await client.GET("/api/2.0/crm/contact/{contactid}", { params: { path: { contactid: 2147483647 } } });
  assert.equal(missing.error?.error.type, "contact-not-found");

  const managerList = [me.id];
  const shared = { isShared: false, managerList };
  const set = dataOf(await client.PUT("/api/2.0/crm/contact/{contactid}/access", { params: { path }, body: shared }));
  assert.equal(set.response.ShareType, 0);
  const access = dataOf(await client.GET("/api/2.0/crm/contact/{contactid}/access", { params: { path } }));
  assert.deepEqual(access.response.map((employee) => employee.id), managerList);
  const why = dataOf(await client.GET("/api/2.0/crm/contact/{contactid}/access/why", { params: { path } }));
  assert.ok(why.response.see.allowed);
  const past = dataOf(await client.GET("/api/2.0/crm/contact/{contactid}/access/history", { params: { path } }));
  assert.equal(past.response[0]?.job?.kind, "contact");
  dataOf(await client.PUT("/api/2.0/crm/contact/access", { body: { contactid: [2, 3], ...shared } }));
  const changed = await client.PUT("/api/2.0/crm/contact/filter/access", {
    body: { contactListView: "Person", contactStage: 1, isPrivate: true, managerList },
  });
  const selected = dataOf(changed);
  assert(Array.isArray(selected) && selected.length > 0);

  const job = { params: { path: { jobid: changed.response.headers.get("x-job-id") ?? "" } } };
  const jobs = dataOf(await client.GET("/api/2.0/crm/access/jobs", { params: { query: { count: 1 } } }));
  assert.equal(jobs.response[0]?.id, job.params.path.jobid);
  assert.equal(dataOf(await client.GET("/api/2.0/crm/access/jobs/{jobid}", job)).response.state, "done");
  const changes = dataOf(await client.GET("/api/2.0/crm/access/jobs/{jobid}/changes", job));
  assert(changes.response.every((change) => change.after?.shareType === 0));
  const refused = await client.POST("/api/2.0/crm/access/jobs/{jobid}/apply", job);
  assert.equal(refused.error?.error.type, "not-a-preview");
  const undoing = dataOf(await client.POST("/api/2.0/crm/access/jobs/{jobid}/undo", job)).response;
  assert("id" in undoing && undoing.undoOf === job.params.path.jobid);
  // The undo may have finished already.
  const cancelled = await client.POST("/api/2.0/crm/access/jobs/{jobid}/cancel", { params: { path: { jobid: undoing.id } } });
  assert(cancelled.data?.response.id || cancelled.error?.error.type === "job-over");

  assert.equal(dataOf(await client.GET("/api/2.0/crm/access/jobs/daily")).response.length, 90);
  const counting = dataOf(await client.POST("/api/2.0/crm/access/snapshots")).response;
  assert("kind" in counting && counting.kind === "snapshot");
  // The snapshot may not have ended yet.
  const latest = await client.GET("/api/2.0/crm/access/snapshots/latest");
  assert(latest.data?.response.jobId || latest.error?.error.type === "snapshot-not-found");

  const schedule = { params: { query: { cron: "0 2 29 2 *", count: 2 } } };
  assert.equal(dataOf(await client.GET("/api/2.0/crm/access/schedule", schedule)).response.runs.length, 2);
  const rule = { params: { path: { name: "yearly" } } };
  const body = {
    filter: { tags }, target: { isPrivate: true, managerList }, cron: "0 2 29 2 *", timeZone: "Europe/Riga",
  };
  const made = dataOf(await client.PUT("/api/2.0/crm/access/rules/{name}", { ...rule, body })).response;
  assert.deepEqual(dataOf(await client.GET("/api/2.0/crm/access/rules/{name}", rule)).response, made);
  assert.deepEqual(dataOf(await client.GET("/api/2.0/crm/access/rules")).response, [made]);
  assert.equal((await client.DELETE("/api/2.0/crm/access/rules/{name}", rule)).response.status, 204);

  assert.equal(dataOf(await client.GET("/api/2.0/openapi.json")).openapi, "3.1.0");
  assert.equal((await client.DELETE("/api/2.0/authentication")).response.status, 204);
}

main().catch((failure) => {
  console.error(failure);
  process.exit(1);
});
