"""Sets the access of every contact in some index partitions with boto3. scripts/peers/run.py starts this file.

usage: boto3_loop.py batch_writer|update_item THREADS JOB

JOB is JSON: `endpoint`, `table`, `partitions` of the tag index, and `managers` as UUIDs. The output is JSON: contacts,
requests, read units, write units and seconds.
"""
import json
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
from boto3.dynamodb.conditions import Key
from botocore.config import Config

# Contacts that a thread takes at once: four full batches.
SLICE = 100

way, threads, job = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
managers = [uuid.UUID(manager).bytes for manager in job["managers"]]
ACCESS = {"share": 0, "managers": b"".join(managers), "rev": uuid.uuid4().bytes, "by": managers[0],
          "at": 17672256000000000}

work = {"contacts": 0, "requests": 0, "read_units": 0.0, "write_units": 0.0}
lock = threading.Lock()


def ask_for_units(params: dict, **_) -> None:
    params["ReturnConsumedCapacity"] = "TOTAL"


def count(parsed: dict, model, **_) -> None:
    consumed = parsed.get("ConsumedCapacity", [])
    units = sum(one["CapacityUnits"] for one in (consumed if isinstance(consumed, list) else [consumed]))
    with lock:
        work["requests"] += 1
        work["read_units" if model.name == "Query" else "write_units"] += units


# A batch writer uses only the table's client, and threads may share a client.
table = boto3.resource("dynamodb", endpoint_url=job["endpoint"],
                       config=Config(max_pool_connections=threads)).Table(job["table"])
table.meta.client.meta.events.register("before-parameter-build.dynamodb", ask_for_units)
table.meta.client.meta.events.register("after-call.dynamodb", count)


def matches(partition: str) -> list[str]:
    """Returns the partition key of each contact in an index partition."""
    query = {"IndexName": "tag-index", "KeyConditionExpression": Key("tag_pk").eq(partition)}
    found: list[str] = []
    while True:
        page = table.query(**query)
        found += [item["pk"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return found
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def write(contacts: list[str]) -> int:
    if way == "batch_writer":
        with table.batch_writer() as batch:
            for contact in contacts:
                batch.put_item({"pk": contact, "sk": "ACCESS", **ACCESS})
    else:
        for contact in contacts:
            table.update_item(
                Key={"pk": contact, "sk": "ACCESS"},
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in ACCESS),
                ExpressionAttributeNames={f"#{name}": name for name in ACCESS},
                ExpressionAttributeValues={f":{name}": value for name, value in ACCESS.items()},
            )
    return len(contacts)


started = time.monotonic()
contacts = [contact for partition in job["partitions"] for contact in matches(partition)]
slices = [contacts[first:first + SLICE] for first in range(0, len(contacts), SLICE)]
if threads == 1:
    work["contacts"] = sum(map(write, slices))
else:
    with ThreadPoolExecutor(threads) as pool:
        work["contacts"] = sum(pool.map(write, slices))
print(json.dumps(work | {"seconds": time.monotonic() - started}))
