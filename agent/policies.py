"""Every waiting and retrying policy of the agent, each defined once."""

from tenacity import (
    RetryCallState,
    Retrying,
    stop_after_attempt,
    wait_chain,
    wait_fixed,
    wait_random,
    wait_random_exponential,
)
from tenacity.wait import wait_base

# A hundred agents lose a restarted broker in the same moment. They return spread over all of these seconds: a back-off
# that grows would let them come back at once from a restart, which is over before it has grown.
RECONNECT_BROKER = wait_random(0, 8)

# The link's own thread failed: the broker is there, and nobody else has lost it.
RECONNECT_AFTER_FAULT = wait_random(0.5, 2)

# Two agents with one id throw each other out for ever. Each waits so long that the two connect six times a minute at
# most, together.
RECONNECT_TAKEN_OVER = wait_random(15, 25)

# A camera answers again as soon as its cable or power is back; more than a few seconds of extra darkness is ours.
REOPEN_CAMERA = wait_random_exponential(multiplier=0.25, max=3)

# A camera that refuses user or password may lock the account after five attempts, for good: a minute, then five.
LOG_IN_AGAIN = wait_chain(wait_fixed(60), wait_fixed(300))

# A download retries what a second attempt can cure; each source gets this many attempts before the next one's turn.
RETRY_DOWNLOAD = wait_random_exponential(multiplier=0.5, max=8)
DOWNLOAD_ATTEMPTS = stop_after_attempt(3)


def pause_s(policy: wait_base) -> float:
    """Seconds to wait by a policy that does not grow."""
    return policy(RetryCallState(Retrying(), None, (), {}))
