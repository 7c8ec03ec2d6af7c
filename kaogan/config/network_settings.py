"""The base of every network family's settings."""

from __future__ import annotations

import pydantic

from kaogan.config.section import Section


class NetworkSettings(Section):
    """A family's own class gives ``family`` its name as the default."""

    family: str = pydantic.Field(description="the family of networks")
