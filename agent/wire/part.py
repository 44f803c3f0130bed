"""What every piece of a message keeps to."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A piece of a message."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        protected_namespaces=(),
        # Values are new each time, an id above all: a cache of them is two megabytes that help nobody.
        cache_strings="keys",
    )
