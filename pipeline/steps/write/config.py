"""The settings of `write`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tamis.schemas.step import StepModel


class Write(StepModel):
    """Write the kept samples: webdataset shards with the original bytes, or a parquet subset, and `subset.npy`.

    The last step.
    """

    kind = "write"
    is_last = True
    samples_per_shard: int = Field(10_000, ge=1, le=1_000_000, description="samples a shard")
    format: Literal["auto", "webdataset", "parquet"] = Field(
        "auto", description="auto: webdataset where the input has pictures, else parquet"
    )

    @property
    def shard_size(self) -> int | None:
        """Samples a shard."""
        return self.samples_per_shard
