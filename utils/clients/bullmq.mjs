// Jobs through BullMQ: added in bulk, with priorities, delays and retries, and flows of jobs that wait for others. Started by
// `run` with the port, and the number of jobs if it is not a few hundred.
import assert from "node:assert/strict";
import { Redis } from "ioredis";
import { FlowProducer, Queue, QueueEvents, Worker } from "bullmq";

const JOBS = Number(process.argv[3] ?? 300);
const connection = { port: Number(process.argv[2]), maxRetriesPerRequest: null };
const redis = new Redis(connection);
await redis.flushall();
await redis.quit();
const queue = new Queue("work", { connection });
const events = new QueueEvents("work", { connection });
await events.waitUntilReady();

const done = new Map();
let attempts = 0;
const worker = new Worker(
  "work",
  async (job) => {
    if (job.name === "stubborn" && ++attempts < 3) throw new Error("not yet");
    if (job.name === "parent") return Object.values(await job.getChildrenValues()).reduce((sum, value) => sum + value, 0);
    return job.data.number * 2;
  },
  { connection, concurrency: 20 },
);
worker.on("completed", (job, value) => done.set(job.id, value));

const number = (at) => ({ number: at });
const jobs = await queue.addBulk(
  Array.from({ length: JOBS }, (_, at) => ({ name: "double", data: number(at), opts: at % 10 ? {} : { priority: 1 + (at % 7) } })),
);
const delayed = await queue.add("late", number(21), { delay: 200 });
const stubborn = await queue.add("stubborn", number(4), { attempts: 3, backoff: 10 });
const flow = new FlowProducer({ connection });
const children = [1, 2, 3].map((at) => ({ name: "child", queueName: "work", data: number(at) }));
const { job: parent } = await flow.add({ name: "parent", queueName: "work", data: {}, children });
const results = await Promise.all([delayed, stubborn, parent].map((job) => job.waitUntilFinished(events, 60_000 + JOBS * 50)));
assert.deepEqual(results, [42, 8, 12]);
const last = Date.now() + 90_000 + JOBS * 50;
while (done.size < JOBS + 6) {
  assert.ok(Date.now() < last, `${done.size} jobs are done`);
  await new Promise((resolve) => setTimeout(resolve, 50));
}
for (const [at, job] of jobs.entries()) assert.equal(done.get(job.id), at * 2);
const { completed, failed, waiting, active, delayed: later } = await queue.getJobCounts();
assert.deepEqual({ completed, failed, waiting, active, later }, { completed: JOBS + 6, failed: 0, waiting: 0, active: 0, later: 0 });

for (const client of [worker, flow, events, queue]) await client.close();
