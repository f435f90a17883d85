// Locks of redlock and limits of rate-limiter-flexible, both of which are scripts. Started by `run` with the port.
import assert from "node:assert/strict";
import { Redis } from "ioredis";
import { RateLimiterRedis } from "rate-limiter-flexible";
import Redlock from "redlock";

const redis = new Redis({ port: Number(process.argv[2]) });
await redis.flushall();

const locks = new Redlock([redis], { retryCount: 0 });
let lock = await locks.lock(["a", "b"], 5000);
await assert.rejects(locks.lock(["b"], 5000));
lock = await lock.extend(8000);
assert.ok((await redis.pttl("a")) > 5000);
await lock.unlock();
assert.equal(await redis.exists("a", "b"), 0);
const patient = new Redlock([redis], { retryCount: -1, retryDelay: 5 });
let inside = 0;
let turns = 0;
await Promise.all(
  Array.from({ length: 50 }, async () => {
    const turn = await patient.lock("one", 5000);
    assert.equal(++inside, 1);
    await new Promise((resolve) => setTimeout(resolve, 2));
    inside -= 1;
    turns += 1;
    await turn.unlock();
  }),
);
assert.equal(turns, 50);

const limiter = new RateLimiterRedis({ storeClient: redis, points: 100, duration: 60, useRedisPackage: false });
const tries = await Promise.allSettled(Array.from({ length: 150 }, () => limiter.consume("who")));
assert.equal(tries.filter(({ status }) => status === "fulfilled").length, 100);
assert.equal((await limiter.get("who")).consumedPoints, 150);

await redis.quit();
