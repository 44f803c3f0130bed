"""Every waiting and retrying policy of the agent, each defined once."""

from tenacity import stop_after_attempt, wait_random_exponential

# Full jitter keeps a hundred agents from returning to a restarted broker in the same second.
RECONNECT_BROKER = wait_random_exponential(multiplier=0.5, max=8)

# A camera answers again as soon as its cable or power is back; more than a few seconds of extra darkness is ours.
REOPEN_CAMERA = wait_random_exponential(multiplier=0.25, max=3)

# A download retries what a second attempt can cure; each source gets this many attempts before the next one's turn.
RETRY_DOWNLOAD = wait_random_exponential(multiplier=0.5, max=8)
DOWNLOAD_ATTEMPTS = stop_after_attempt(3)
