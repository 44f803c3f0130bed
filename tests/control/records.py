"""Records for the tests of the journal."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from agent.control.journal import Attempt, Record, StoredReply
from agent.control.settings import Settings
from agent.wire.affinity import Affinity, Match, Rule
from agent.wire.commands import Address, ErrorCode, Job, JobStatus, ReplyError

NOW = datetime(2026, 1, 31, 6, 30, 0, 125000, UTC)
CPU = Settings(model="movenet-multipose", device="CPU", precision="FP32")
SPLIT = Affinity(rules=(Rule(match=Match(first=0.6), device="GPU"),), default="CPU")

TEXTS = st.text(max_size=20)
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC))
MILLISECONDS = MOMENTS.map(lambda moment: moment.replace(microsecond=0))
SETTINGS = st.builds(
    Settings,
    model=st.sampled_from(["movenet-multipose", "human-pose-estimation-0001"]),
    device=st.sampled_from(["CPU", "GPU", "HETERO:GPU,CPU"]),
    precision=st.sampled_from(["FP32", "INT8"]),
    affinity=st.none() | st.just(SPLIT) | st.just(Affinity(preset="split")),
    streams=st.none() | st.integers(1, 4),
    paused=st.booleans(),
)
ATTEMPTS = st.builds(
    Attempt,
    id=TEXTS,
    command=TEXTS,
    reply_to=st.builds(Address, topic=TEXTS, correlation=st.none() | st.binary(max_size=20)),
    started_at=MOMENTS,
)
ERRORS = st.builds(ReplyError, code=st.sampled_from(ErrorCode), message=TEXTS, hint=TEXTS)
JOBS = st.builds(
    Job,
    device_id=st.just("hall"),
    sent_at=MILLISECONDS,
    id=TEXTS,
    command=st.just("quantize"),
    status=st.sampled_from(JobStatus),
    step=TEXTS,
    progress=st.floats(0, 1),
    started_at=MILLISECONDS,
    finished_at=st.none() | MILLISECONDS,
    error=st.none() | ERRORS,
    result=st.none() | st.dictionaries(TEXTS, TEXTS | st.integers() | st.none(), max_size=3),
)
RECORDS = st.builds(
    Record,
    version=st.integers(0, 2**70),
    base=SETTINGS,
    settings=SETTINGS,
    good=st.none() | SETTINGS,
    fallback=st.booleans(),
    alive=st.booleans(),
    deaths=st.lists(MOMENTS, max_size=3).map(tuple),
    attempt=st.none() | ATTEMPTS,
    replies=st.lists(st.builds(StoredReply, id=TEXTS, payload=TEXTS, at=MOMENTS), max_size=3).map(tuple),
    jobs=st.lists(JOBS, max_size=3).map(tuple),
)


def job(job_id: str, status: JobStatus = JobStatus.RUNNING, *, age: timedelta = timedelta()) -> Job:
    """A job that ended, or began, so long before NOW."""
    return Job(
        device_id="hall",
        sent_at=NOW - age,
        id=job_id,
        command="quantize",
        status=status,
        step="recording frames",
        progress=0.5,
        started_at=NOW - age,
        finished_at=None if status is JobStatus.RUNNING else NOW - age,
    )


def attempt(command_id: str = "a1") -> Attempt:
    """Somebody waits for the answer to this."""
    return Attempt(id=command_id, command="set-device", reply_to=Address("who", b"\xff\x00"), started_at=NOW)
