"""A few hundred jobs through RQ: queues, retries, results, and jobs that wait for others. Started by `run` with the port."""

import logging
import sys

from redis import Redis
from rq import Queue, Retry, SimpleWorker
from rq.job import Job

JOBS = 300


def work(*queues):
    SimpleWorker(queues, connection=connection).work(burst=True, logging_level=logging.CRITICAL)


connection = Redis(port=int(sys.argv[1]))
connection.flushall()
urgent, usual = Queue("urgent", connection=connection), Queue("usual", connection=connection)

jobs = [usual.enqueue("operator.add", number, 1) for number in range(JOBS)]
first = urgent.enqueue("operator.mul", 6, 7)
after = usual.enqueue("operator.neg", 1, depends_on=first)
failing = usual.enqueue("operator.truediv", 1, 0, retry=Retry(max=2))
assert (usual.count, urgent.count) == (JOBS + 1, 1)
work(urgent, usual)

assert [job.return_value() for job in jobs] == list(range(1, JOBS + 1))
assert first.return_value() == 42 and after.return_value() == -1
assert failing.get_status(refresh=True) == "failed" and len(usual.failed_job_registry) == 1
assert usual.count == urgent.count == 0 and len(usual.finished_job_registry) == JOBS + 1
assert Job.fetch(jobs[0].id, connection=connection).is_finished
