"""The `persist` part of `bench`: loading, snapshots under load, and the append-only file.

    loading      processor time and seconds per GB of memory to load a snapshot that redis-server wrote: small strings, longer
                 strings, and collections of every type
    snapshot     BGSAVE while random keys are set: the longest time that a PING waits, memory that is added, seconds, and what
                 is left of the throughput; ours in three rounds, for what the machine does meanwhile is in some of them
    always       appendfsync always: writes a second of fifty clients, that wait for each reply and that send 16 or 64 at a time,
                 and the 99th percentile of fifty readers beside them, against that without persistence
    everysec     appendfsync everysec: processor time for a SET, against that without persistence
"""

import csv
import io
import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

from launch import Server

KEYS = 10_000_000
SET = ["SET", "key:__rand_int__", "v" * 32]
DATA = tempfile.gettempdir()


class Load:
    """redis-benchmark in the background; the words are a command."""

    def __init__(self, server, words, clients=50, pipeline=1, numbers=KEYS, count=2_000_000_000):
        self.process = subprocess.Popen(
            ["redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port), "-c", str(clients), "-n", str(count), "-P", str(pipeline),
             "-r", str(numbers), "--csv", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def stop(self):
        self.process.kill()
        self.process.communicate()

    def figures(self):
        """Waits until it is over; its row as a dict."""
        output = self.process.communicate()[0]
        rows = list(csv.reader(io.StringIO(output)))
        return dict(zip(rows[-2], rows[-1]))


def commands_processed(client):
    return int(client.info("stats")["total_commands_processed"])


def rate(client, seconds):
    """Commands a second for a while."""
    before, started = commands_processed(client), time.perf_counter()
    time.sleep(seconds)
    return (commands_processed(client) - before) / (time.perf_counter() - started)


def resident(server):
    """Memory of the process and of those that it forked, what they share counted once, in bytes."""
    total = 0
    for task in [server.pid, *children(server.pid)]:
        try:
            text = Path(f"/proc/{task}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss: +(\d+)", text, re.M).group(1)) * 1024
    return total


def children(pid):
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


# --- loading ------------------------------------------------------------------------------------------------------


def fill_strings(client, count, size):
    value = "v" * size
    for start in range(0, count, 10_000):
        client.pipeline([("SET", f"key:{n:012}", value) for n in range(start, min(start + 10_000, count))])


def fill_collections(client, count):
    for start in range(0, count, 500):
        commands = []
        for n in range(start, start + 500):
            items = [f"item:{n}:{i}" for i in range(10)]
            commands += [
                ("RPUSH", f"list:{n}", *items), ("SADD", f"set:{n}", *items), ("SADD", f"ints:{n}", *range(n, n + 10)),
                ("HSET", f"hash:{n}", *(word for i in items for word in (i, "value"))),
                ("ZADD", f"zset:{n}", *(word for at, i in enumerate(items) for word in (at * 1.5, i))),
            ]  # fmt: skip
        client.pipeline(commands)
    for name in ("list", "set", "hash", "zset"):
        for start in range(0, count * 10, 1000):
            numbers = range(start, start + 1000)
            client.pipeline([{
                "list": ("RPUSH", "list", *numbers),
                "set": ("SADD", "set", *(f"member:{n}" for n in numbers)),
                "hash": ("HSET", "hash", *(word for n in numbers for word in (f"field:{n}", f"value:{n}"))),
                "zset": ("ZADD", "zset", *(word for n in numbers for word in (n * 0.5, f"member:{n}"))),
            }[name]])  # fmt: skip


def loading(options):
    scale = 20 if options.quick else 1
    print("\nloading a snapshot of redis-server")
    print(f"{'data':28}{'':12}{'MB':>8}{'seconds':>10}{'cpu s':>8}{'s/GB':>8}{'cpu s/GB':>10}")
    for label, fill in (
        ("strings of 32 bytes", lambda client: fill_strings(client, KEYS // 2 // scale, 32)),
        ("strings of 1000 bytes", lambda client: fill_strings(client, KEYS // 10 // scale, 1000)),
        ("collections", lambda client: fill_collections(client, 200_000 // scale)),
    ):
        directory = tempfile.mkdtemp(prefix="bench.", dir=DATA)
        try:
            with Server(options.reference, "--dir", directory, "--rdbcompression", "yes") as server:
                client = server.client(timeout=600)
                fill(client)
                used = int(client.info("memory")["used_memory"])
                client.call("SAVE")
            figures = {}
            rounds = 2 if options.quick else 3
            for _ in range(rounds):
                for path in (options.server, options.reference):
                    with Server(path, "--dir", directory) as server:
                        while "DB loaded from disk" not in (log := server.log.read_text()):
                            time.sleep(0.02)
                        spent = server.cpu_seconds()
                        seconds = float(re.search(r"DB loaded from disk: ([\d.]+) seconds", log).group(1))
                        figures.setdefault(path, []).append((seconds, spent))
            gigabytes = used / 1e9
            best = []
            for path in (options.server, options.reference):
                seconds, spent = (min(column) for column in zip(*figures[path]))
                best.append((seconds, spent))
                print(f"{label:28}{Path(path).name:12}{used / 1e6:8.0f}{seconds:10.2f}{spent:8.2f}{seconds / gigabytes:8.2f}{spent / gigabytes:10.2f}")
            (ours, our_cpu), (theirs, their_cpu) = best
            print(f"{'':28}{'ratio':12}{'':8}{ours / theirs:10.2f}{our_cpu / their_cpu:8.2f}", flush=True)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


# --- snapshots ----------------------------------------------------------------------------------------------------


def watch_memory(server, stop, result):
    while not stop.is_set():
        result.value = max(result.value, resident(server))
        time.sleep(0.05)


def save(client):
    """Seconds that BGSAVE takes, and the commands a second meanwhile."""
    done, started = commands_processed(client), time.perf_counter()
    client.call("BGSAVE")
    while client.info("persistence")["rdb_bgsave_in_progress"] == "1":
        time.sleep(0.05)
    taken = time.perf_counter() - started
    return taken, (commands_processed(client) - done) / taken


def stolen_ms():
    """Milliseconds for which a virtual machine's processors were ready and had to wait for the host's, in steps of ten."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) * 1000 // os.sysconf("SC_CLK_TCK")


def snapshot(options, load, longest_ping, in_real_time):
    count = KEYS // 10 if options.quick else KEYS
    print(f"\nBGSAVE of {count:,} keys while random keys are set")
    print(f"{'':16}{'seconds':>9}{'longest PING':>14}{'stolen':>9}{'without':>12}{'stolen':>9}{'SET/s before':>14}{'meanwhile':>12}{'kept':>7}")
    for path in (options.server, options.reference):
        directory = tempfile.mkdtemp(prefix="bench.", dir=DATA)
        with Server(path, "--dir", directory) as server:
            client = server.client(timeout=600)
            load(server, count)
            if options.real_time:
                in_real_time(server.pid, 20)
            sets = Load(server, ["SET", "key:__rand_int__", "w" * 32], pipeline=4, numbers=count)
            time.sleep(1)

            def pings(result):
                stop = multiprocessing.Event()
                process = multiprocessing.Process(target=longest_ping, args=(server.port, stop, result))
                process.start()
                return lambda: (stop.set(), process.join())

            for _ in range(3 if path == options.server else 1):
                calm, busy = [multiprocessing.Value("d") for _ in range(2)]
                enough, stolen = pings(calm), [stolen_ms()]
                before = rate(client, 5)
                enough()
                stolen.append(stolen_ms())
                enough = pings(busy)
                taken, meanwhile = save(client)
                enough()
                stolen.append(stolen_ms())
                print(
                    f"{server.name:16}{taken:9.1f}{busy.value:11.2f} ms{stolen[2] - stolen[1]:6} ms"
                    f"{calm.value:9.2f} ms{stolen[1] - stolen[0]:6} ms{before:14,.0f}{meanwhile:12,.0f}"
                    f"{meanwhile / before:7.0%}", flush=True,
                )  # fmt: skip
            # Once more, because who looks at a process' memory holds a lock that the process may wait for.
            memory = resident(server)
            peak, stop = multiprocessing.Value("d"), multiprocessing.Event()
            watcher = multiprocessing.Process(target=watch_memory, args=(server, stop, peak))
            watcher.start()
            save(client)
            stop.set()
            watcher.join()
            print(f"{server.name:16}{memory / 1e6:.0f} MB of memory, {peak.value / memory - 1:.0%} more at most", flush=True)
            sets.stop()
        shutil.rmtree(directory, ignore_errors=True)


# --- the append-only file -----------------------------------------------------------------------------------------


def always(options):
    rounds, writes, reads = (2, 20_000, 200_000) if options.quick else (5, 50_000, 500_000)
    print(f"\nappendfsync always, 50 writers and 50 readers, medians of {rounds} rounds")
    print(f"{'':16}{'writes/s':>10}{'pipeline 16':>13}{'64':>12}{'readers p99':>14}{'without writers':>17}{'no persistence':>16}{'ratio':>7}")
    figures = {}
    for _ in range(rounds):
        for path in (options.server, options.reference):
            directory = tempfile.mkdtemp(prefix="bench.", dir=DATA)
            row = []
            for flags in (("--appendonly", "yes", "--appendfsync", "always"), ()):
                with Server(path, "--dir", directory, *flags) as server:
                    load = partial(Load, server, numbers=100_000)
                    load(SET, count=5000).figures()
                    rates = [float(load(SET, pipeline=pipeline, count=writes * pipeline).figures()["rps"]) for pipeline in (1, 16, 64)]
                    alone = load(["GET", "key:__rand_int__"], count=reads).figures()
                    writers = load(SET)
                    time.sleep(0.3)
                    beside = load(["GET", "key:__rand_int__"], count=reads).figures()
                    writers.stop()
                    row.append((*rates, float(beside["p99_latency_ms"]), float(alone["p99_latency_ms"])))
            figures.setdefault(path, []).append(row)
            shutil.rmtree(directory, ignore_errors=True)
    for path in (options.server, options.reference):
        durable, volatile = ([statistics.median(column) for column in zip(*part)] for part in zip(*figures[path]))
        print(
            f"{Path(path).name:16}{durable[0]:10,.0f}{durable[1]:13,.0f}{durable[2]:12,.0f}{durable[3]:11.3f} ms{durable[4]:14.3f} ms"
            f"{volatile[3]:13.3f} ms{durable[3] / volatile[3]:7.2f}", flush=True,
        )  # fmt: skip


def everysec(options, burst):
    rounds, count = (3, 200_000) if options.quick else (7, 500_000)
    print(f"\nprocessor time for a SET, medians of {rounds} rounds")
    print(f"{'':16}{'pipeline':>9}{'everysec':>11}{'without':>11}{'ratio':>8}")
    for path in (options.server, options.reference):
        for pipeline in (1, 16):
            results = {"everysec": [], "without": []}
            for _ in range(rounds):
                for kind, flags in (("everysec", ("--appendonly", "yes", "--appendfsync", "everysec")), ("without", ())):
                    directory = tempfile.mkdtemp(prefix="bench.", dir=DATA)
                    with Server(path, "--dir", directory, "--auto-aof-rewrite-percentage", "0", *flags) as server:
                        burst(server, pipeline, count // 10, SET, 100_000)
                        results[kind].append(burst(server, pipeline, count, SET, 100_000)[0])
                    shutil.rmtree(directory, ignore_errors=True)
            with_it, without = (statistics.median(figures) for figures in results.values())
            print(f"{Path(path).name:16}{pipeline:9}{with_it:8.0f} ns{without:8.0f} ns{with_it / without:8.2f}", flush=True)


def persist(options, load, burst, longest_ping, in_real_time):
    # Clients and servers share all processors: what writes the snapshot, or was forked, is not to be in the server's way.
    os.sched_setaffinity(0, range(os.cpu_count()))
    loading(options)
    everysec(options, burst)
    always(options)
    snapshot(options, load, longest_ping, in_real_time)
