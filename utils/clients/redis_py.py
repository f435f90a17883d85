"""A session of redis-py in RESP2 and RESP3. Started by `run` with the port."""

import sys
import time

import redis
from redis.cache import CacheConfig

PORT = int(sys.argv[1])


def session(protocol):
    r = redis.Redis(port=PORT, protocol=protocol)
    r.flushall()

    # Strings.
    assert r.set("k", "v", ex=100) is True
    assert r.get("k") == b"v"
    assert 99 <= r.ttl("k") <= 100
    assert r.set("k", "w", nx=True) is None
    assert r.set("k", "w", xx=True, get=True, keepttl=True) == b"v"
    assert r.getex("k", persist=True) == b"w" and r.ttl("k") == -1
    assert r.getdel("k") == b"w" and r.get("k") is None
    assert r.incr("n", 5) == 5 and r.decr("n") == 4
    assert r.incrbyfloat("f", 0.1) == 0.1
    assert r.append("a", "abc") == 3 and r.getrange("a", 1, -1) == b"bc"
    assert r.setrange("a", 5, "x") == 6 and r.get("a") == b"abc\0\0x"
    assert r.mset({"x": 1, "y": 2}) and r.mget("x", "y", "z") == [b"1", b"2", None]
    assert r.msetnx({"x": 3, "z": 3}) is False
    r.mset({"l1": "ohmytext", "l2": "mynewtext"})
    assert r.lcs("l1", "l2") == b"mytext"
    assert r.lcs("l1", "l2", len=True) == 6
    found = r.lcs("l1", "l2", idx=True, minmatchlen=4, withmatchlen=True)
    assert found in ([b"matches", [[[4, 7], [5, 8], 4]], b"len", 6], {b"matches": [[[4, 7], [5, 8], 4]], b"len": 6})

    # Keys.
    assert r.exists("x", "y", "nope") == 2
    assert r.rename("x", "renamed") and r.copy("renamed", "copied")
    assert r.expire("y", 100, nx=True) and not r.expire("y", 200, nx=True)
    assert r.persist("y") and r.type("y") in (b"string", "string")
    assert sorted(r.keys("l?")) == [b"l1", b"l2"]
    assert r.object("encoding", "y") in (b"int", "int")
    assert r.delete("renamed", "copied") == 2 and r.unlink("y") == 1
    assert r.randomkey() is not None and r.dbsize() > 0

    # Pipelines.
    with r.pipeline(transaction=False) as pipe:
        for number in range(5000):
            pipe.set(f"p:{number}", number)
        for number in range(5000):
            pipe.get(f"p:{number}")
        results = pipe.execute()
    assert results[:5000] == [True] * 5000
    assert results[5000:] == [b"%d" % number for number in range(5000)]

    # Iteration.
    assert len(set(r.scan_iter("p:*", count=100))) == 5000
    assert len(set(r.scan_iter(_type="string", count=1000))) == r.dbsize()

    # Big values.
    big = bytes(range(256)) * 40_000
    assert r.set("big", big) and r.strlen("big") == len(big) and r.get("big") == big

    # Errors.
    for wrong in (("SET", "k"), ("NOSUCH",), ("SET", "k", "v", "EX", "0"), ("INCR", "big"), ("SELECT", "99")):
        try:
            r.execute_command(*wrong)
        except redis.ResponseError:
            continue
        raise AssertionError(f"no error for {wrong}")

    # The server's view.
    assert r.ping() and r.echo("hello") == b"hello"
    assert r.info("server")["redis_version"].startswith("7.")
    assert r.info()["connected_clients"] >= 1
    assert r.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert r.config_set("maxmemory-samples", 5)
    assert r.client_setname("me") and any(client["name"] == "me" for client in r.client_list())
    assert "get" in r.command() and len(r.command()) == r.command_count()
    assert r.memory_usage("big") > len(big)
    assert r.time()[0] > 0

    # Reconnecting after the server has closed the connection.
    killer = redis.Redis(port=PORT)
    killer.client_kill_filter(_id=r.client_id())
    try:
        r.ping()
    except redis.ConnectionError:
        pass
    assert r.ping()

    # Another database, decoded.
    other = redis.Redis(port=PORT, db=5, protocol=protocol, decode_responses=True)
    assert other.set("k", "täxt") and other.get("k") == "täxt" and other.dbsize() == 1
    other.flushdb()


def heard(subscriber):
    """The next message that is not an answer to subscribing."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        message = subscriber.get_message(ignore_subscribe_messages=True, timeout=1)
        if message:
            return message["type"], message["channel"], message["data"]
    raise AssertionError("no message came")


def publishing(protocol):
    r = redis.Redis(port=PORT, protocol=protocol)
    with r.pubsub() as subscriber:
        subscriber.subscribe("news")
        subscriber.psubscribe("n*")
        subscriber.ssubscribe("shard")
        # The answers to subscribing are read first.
        for _ in range(3):
            assert subscriber.get_message(timeout=10)["type"].endswith("subscribe")
        assert r.pubsub_numsub("news") == [(b"news", 1)] and r.pubsub_numpat() == 1
        assert r.publish("news", "hello") == 2
        assert [heard(subscriber), heard(subscriber)] == [
            ("message", b"news", b"hello"),
            ("pmessage", b"news", b"hello"),
        ]
        assert r.spublish("shard", "x") == 1 and heard(subscriber)[0] == "smessage"
        # A ping keeps the connection alive, and a connection that was lost subscribes again.
        subscriber.ping()
        assert heard(subscriber)[0] == "pong"
        r.client_kill_filter(_type="pubsub")
        end = time.monotonic() + 10
        while r.publish("news", "again") < 2 and time.monotonic() < end:
            try:
                subscriber.get_message(timeout=0.1)
            except redis.ConnectionError:
                pass
        assert r.pubsub_numsub("news") == [(b"news", 1)]

    r.config_set("notify-keyspace-events", "Ex")
    with r.pubsub() as subscriber:
        subscriber.subscribe("__keyevent@0__:expired")
        r.set("short-lived", 1, px=20)
        assert heard(subscriber) == ("message", b"__keyevent@0__:expired", b"short-lived")
    r.config_set("notify-keyspace-events", "")


def caching():
    cached = redis.Redis(port=PORT, protocol=3, cache_config=CacheConfig())
    other = redis.Redis(port=PORT)
    other.set("k", "1")
    assert cached.get("k") == b"1" and cached.get_cache().size == 1
    other.set("k", "2")
    end = time.monotonic() + 10
    while cached.get("k") != b"2" and time.monotonic() < end:
        time.sleep(0.01)
    assert cached.get("k") == b"2"
    cached.flushall()
    assert cached.get("k") is None


for version in (2, 3):
    session(version)
    publishing(version)
caching()
