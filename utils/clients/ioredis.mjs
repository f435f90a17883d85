// A session of ioredis. Started by `run` with the port.

import assert from "node:assert/strict";
import Redis from "ioredis";

const port = Number(process.argv[2]);
const redis = new Redis(port);
redis.on("error", () => {}); // The reconnect below reports one.
await redis.flushall();

// Strings and keys.
assert.equal(await redis.set("k", "v", "EX", 100, "NX"), "OK");
assert.equal(await redis.set("k", "w", "NX"), null);
assert.equal(await redis.get("k"), "v");
assert.ok((await redis.ttl("k")) >= 99);
assert.deepEqual(await redis.mget("k", "none"), ["v", null]);
assert.equal(await redis.incrbyfloat("f", 1.5), "1.5");
assert.equal(await redis.incr("n"), 1);
assert.equal(await redis.del("k", "f", "none"), 2);
const bytes = Buffer.from([0, 255, 13, 10, 128]);
await redis.set("bin", bytes);
assert.ok((await redis.getBuffer("bin")).equals(bytes));

// Pipelines, explicit and automatic.
const pipeline = redis.pipeline();
for (let i = 0; i < 5000; i++) pipeline.set(`p:${i}`, i);
assert.ok((await pipeline.exec()).every(([error, reply]) => error === null && reply === "OK"));
const values = await Promise.all(Array.from({ length: 5000 }, (_, i) => redis.get(`p:${i}`)));
assert.deepEqual(values, Array.from({ length: 5000 }, (_, i) => String(i)));

// Iteration.
const seen = new Set();
for await (const batch of redis.scanStream({ match: "p:*", count: 100 })) batch.forEach((key) => seen.add(key));
assert.equal(seen.size, 5000);

// A big value.
const big = "x".repeat(10_000_000);
await redis.set("big", big);
assert.equal(await redis.strlen("big"), big.length);
assert.equal(await redis.get("big"), big);

// Errors.
await assert.rejects(redis.call("SET", "k"), /ERR wrong number of arguments for 'set' command/);
await assert.rejects(redis.call("NOSUCH"), /ERR unknown command 'NOSUCH'/);
await assert.rejects(redis.incr("big"), /ERR value is not an integer or out of range/);

// Messages.
// In RESP2, where a connection that subscribes can do nothing else, and copies of keys need a redirection.
const subscriber = new Redis(port, { protocol: 2 });
const messages = [];
let heard = () => {};
for (const kind of ["message", "pmessage", "smessage"]) {
  subscriber.on(kind, (...words) => {
    messages.push([kind, ...words]);
    heard();
  });
}
const until = (count) => new Promise((resolve) => {
  heard = () => messages.length >= count && resolve();
  heard();
});
assert.equal(await subscriber.subscribe("news", "weather"), 2);
assert.equal(await subscriber.psubscribe("n*"), 3);
assert.equal(await subscriber.ssubscribe("shard"), 1);
assert.equal(await redis.publish("news", "hello"), 2);
assert.equal(await redis.spublish("shard", "x"), 1);
await until(3);
assert.deepEqual(messages, [
  ["message", "news", "hello"],
  ["pmessage", "n*", "news", "hello"],
  ["smessage", "shard", "x"],
]);
assert.equal(await subscriber.unsubscribe("weather"), 2);
// A connection that was lost subscribes again by itself.
subscriber.on("error", () => {});
await redis.client("KILL", "TYPE", "pubsub");
while ((await redis.publish("news", "again")) < 2) await new Promise((resolve) => setTimeout(resolve, 20));
await until(5);

// Copies of keys: invalidations are redirected to the subscriber.
const reader = new Redis(port);
await subscriber.subscribe("__redis__:invalidate");
const [, id] = (await redis.client("LIST", "TYPE", "pubsub")).match(/^id=(\d+)/);
assert.equal(await reader.client("TRACKING", "ON", "REDIRECT", id), "OK");
await reader.get("k");
messages.length = 0;
await redis.set("k", "changed");
await until(1);
assert.deepEqual(messages[0].slice(0, 2), ["message", "__redis__:invalidate"]);
await subscriber.quit();
await reader.quit();

// Reconnecting after the server has closed the connection.
const killer = new Redis(port);
await killer.client("KILL", "ID", await redis.client("ID"));
assert.equal(await redis.get("n"), "1");

await killer.quit();
await redis.quit();
