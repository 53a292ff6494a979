// Sets the access of every contact in some index partitions with the AWS SDK for JavaScript. scripts/peers/run.py starts
// this file.
//
// usage: node batch_write.mjs IN_FLIGHT JOB
//
// JOB and the output are those of boto3_loop.py.
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { BatchWriteItemCommand, DynamoDBClient, paginateQuery } from "@aws-sdk/client-dynamodb";

const BATCH = 25;
const FIRST_PAUSE_MILLIS = 50;

const [inFlight, job] = [Number(process.argv[2]), JSON.parse(process.argv[3])];
const client = new DynamoDBClient({ endpoint: job.endpoint });
const bytes = (uuid) => Buffer.from(uuid.replaceAll("-", ""), "hex");
const access = {
  share: { N: "0" },
  managers: { B: Buffer.concat(job.managers.map(bytes)) },
  rev: { B: bytes(randomUUID()) },
  by: { B: bytes(job.managers[0]) },
  at: { N: "17672256000000000" },
};
const work = { contacts: 0, requests: 0, read_units: 0, write_units: 0 };

async function matches(partition) {
  const query = {
    TableName: job.table,
    IndexName: "tag-index",
    KeyConditionExpression: "tag_pk = :partition",
    ExpressionAttributeValues: { ":partition": { S: partition } },
    ReturnConsumedCapacity: "TOTAL",
  };
  const found = [];
  for await (const page of paginateQuery({ client }, query)) {
    work.requests += 1;
    work.read_units += page.ConsumedCapacity.CapacityUnits;
    found.push(...page.Items.map((item) => item.pk));
  }
  return found;
}

async function write(contacts) {
  let requests = contacts.map((pk) => ({ PutRequest: { Item: { pk, sk: { S: "ACCESS" }, ...access } } }));
  for (let millis = FIRST_PAUSE_MILLIS; ; millis *= 2) {
    const answer = await client.send(
      new BatchWriteItemCommand({ RequestItems: { [job.table]: requests }, ReturnConsumedCapacity: "TOTAL" }),
    );
    work.requests += 1;
    work.write_units += answer.ConsumedCapacity.reduce((sum, { CapacityUnits }) => sum + CapacityUnits, 0);
    requests = answer.UnprocessedItems?.[job.table] ?? [];
    if (requests.length === 0) break;
    await pause(millis);
  }
  work.contacts += contacts.length;
}

const started = performance.now();
const contacts = (await Promise.all(job.partitions.map(matches))).flat();
let next = 0;
async function writer() {
  while (next < contacts.length) {
    const first = next;
    next += BATCH;
    await write(contacts.slice(first, first + BATCH));
  }
}
await Promise.all(Array.from({ length: inFlight }, writer));
console.log(JSON.stringify({ ...work, seconds: (performance.now() - started) / 1000 }));
