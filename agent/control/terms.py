"""Under what terms this box takes commands."""

from agent.config import Commands
from agent.errors import ConfigError
from agent.wire.trust import KeyFileError, Terms, read_keys


def terms_of(commands: Commands) -> Terms:
    """Read the keys that the configuration names. Raises ConfigError."""
    try:
        keys = read_keys(commands.key_file) if commands.key_file else ()
    except KeyFileError as error:
        raise ConfigError(f"commands.key_file: {error}", hint="make one: openssl rand -hex 32") from error
    return Terms(keys, commands.require_signature, commands.reply_topics)
