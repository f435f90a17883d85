// A session of node-redis in RESP2 and RESP3. Started by `run` with the port.

import assert from "node:assert/strict";
import { createClient } from "redis";

const port = Number(process.argv[2]);

for (const RESP of [2, 3]) {
  const redis = createClient({ RESP, socket: { host: "127.0.0.1", port } });
  redis.on("error", () => {}); // The reconnect below reports one.
  await redis.connect();
  await redis.flushAll();

  // Strings and keys.
  assert.equal(await redis.set("k", "v", { EX: 100, NX: true }), "OK");
  assert.equal(await redis.set("k", "w", { NX: true }), null);
  assert.equal(await redis.get("k"), "v");
  assert.ok((await redis.ttl("k")) >= 99);
  assert.deepEqual(await redis.mGet(["k", "none"]), ["v", null]);
  assert.equal(await redis.incr("n"), 1);
  assert.equal(Number(await redis.incrByFloat("f", 1.5)), 1.5);
  assert.equal(await redis.del(["k", "f", "none"]), 2);
  assert.equal((await redis.configGet("maxmemory-policy"))["maxmemory-policy"], "noeviction");
  assert.match(await redis.info("server"), /redis_version:7\./);

  // Automatic pipelining.
  await Promise.all(Array.from({ length: 5000 }, (_, i) => redis.set(`p:${i}`, String(i))));
  const values = await Promise.all(Array.from({ length: 5000 }, (_, i) => redis.get(`p:${i}`)));
  assert.deepEqual(values, Array.from({ length: 5000 }, (_, i) => String(i)));

  // Iteration.
  const seen = new Set();
  for await (const batch of redis.scanIterator({ MATCH: "p:*", COUNT: 100 })) [batch].flat().forEach((key) => seen.add(key));
  assert.equal(seen.size, 5000);

  // A big value.
  const big = "x".repeat(10_000_000);
  await redis.set("big", big);
  assert.equal(await redis.strLen("big"), big.length);
  assert.equal(await redis.get("big"), big);

  // Errors.
  await assert.rejects(redis.sendCommand(["SET", "k"]), /ERR wrong number of arguments for 'set' command/);
  await assert.rejects(redis.sendCommand(["NOSUCH"]), /ERR unknown command 'NOSUCH'/);
  await assert.rejects(redis.incr("big"), /ERR value is not an integer or out of range/);

  // Reconnecting after the server has closed the connection.
  const killer = await createClient({ socket: { host: "127.0.0.1", port } }).connect();
  const id = await redis.sendCommand(["CLIENT", "ID"]);
  await killer.sendCommand(["CLIENT", "KILL", "ID", String(id)]);
  assert.equal(await redis.get("n"), "1");

  await killer.close();
  await redis.close();
}
