"""The base of every network family's settings."""

from __future__ import annotations

import pydantic


class NetworkSettings(pydantic.BaseModel):
    """Immutable, and an unknown key is an error. A family's own class gives ``family`` its name as the default."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    family: str = pydantic.Field(description="the family of networks")
