"""Tasks through Celery, with the server as broker and for results: single tasks, groups and chains. Started by `run` with the
port, and the number of single tasks if it is not a few hundred."""

import sys

from celery import Celery, chain, group
from celery.contrib.testing.worker import start_worker
from redis import Redis

TASKS = int(sys.argv[2]) if len(sys.argv) > 2 else 300
SECONDS = 90 + TASKS // 20

Redis(port=int(sys.argv[1])).flushall()
url = f"redis://127.0.0.1:{sys.argv[1]}"
app = Celery("tasks", broker=f"{url}/0", backend=f"{url}/1")


@app.task
def add(a, b):
    return a + b


@app.task(bind=True, max_retries=2)
def stubborn(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries


with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=SECONDS):
    results = [add.delay(number, number) for number in range(TASKS)]
    assert [result.get(timeout=SECONDS) for result in results] == [2 * number for number in range(TASKS)]
    together = group(add.s(number, 1) for number in range(50))()
    assert together.get(timeout=SECONDS) == list(range(1, 51))
    assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=SECONDS) == 10
    assert stubborn.delay().get(timeout=SECONDS) == 2
