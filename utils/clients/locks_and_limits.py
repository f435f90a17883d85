"""Locks of redis-py, taken by threads, and the limits of `limits`. Started by `run` with the port."""

import sys
import threading

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from redis import Redis
from redis.exceptions import LockError

redis = Redis(port=int(sys.argv[1]))
redis.flushall()
count, together = 0, threading.Semaphore(1)


def work():
    global count
    for _ in range(20):
        with redis.lock("lock", timeout=30, sleep=0.001):
            assert together.acquire(blocking=False)
            count += 1
            together.release()


threads = [threading.Thread(target=work) for _ in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert count == 100 and not redis.exists("lock")

lock = redis.lock("own", timeout=10)
assert lock.acquire() and not redis.lock("own", timeout=10).acquire(blocking=False)
assert lock.extend(20) and redis.ttl("own") > 20 and lock.reacquire() and redis.ttl("own") <= 10
redis.set("own", "stolen")
try:
    lock.release()
except LockError:
    pass
else:
    raise AssertionError("another's lock was released")

storage = RedisStorage(f"redis://127.0.0.1:{sys.argv[1]}")
for strategy in (FixedWindowRateLimiter, MovingWindowRateLimiter):
    limiter, item = strategy(storage), RateLimitItemPerMinute(50)
    assert [limiter.hit(item, strategy.__name__) for _ in range(60)].count(True) == 50
