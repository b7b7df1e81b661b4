"""Data points of CloudWatch metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.model.errors import AwsError


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """A statistic of a metric, between ``start`` and ``end`` (UTC seconds)."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    statistic: str
    period_seconds: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class DataPoint:
    """A value, and the start of its period in UTC seconds."""

    at: float
    value: float


async def newest_data_point(aws: Aws, query: MetricQuery) -> DataPoint | None:
    """Return the newest data point; None if there is none in the range. Raises `AwsError`."""
    answer = await aws.call(
        "cloudwatch",
        "GetMetricData",
        MetricDataQueries=[
            {
                "Id": "demand",
                "MetricStat": {
                    "Metric": {
                        "Namespace": query.namespace,
                        "MetricName": query.metric,
                        "Dimensions": [
                            {"Name": k, "Value": v} for k, v in sorted(query.dimensions.items())
                        ],
                    },
                    "Period": query.period_seconds,
                    "Stat": query.statistic,
                },
            }
        ],
        StartTime=datetime.fromtimestamp(query.start, UTC),
        EndTime=datetime.fromtimestamp(query.end, UTC),
        ScanBy="TimestampDescending",
    )
    try:
        results = answer.get("MetricDataResults") or [{}]
        points = list(
            zip(results[0].get("Timestamps", ()), results[0].get("Values", ()), strict=True)
        )
        if not points:
            return None
        timestamp, value = max(points)
        return DataPoint(timestamp.timestamp(), value)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise AwsError("GetMetricData", "BadAnswer", f"unexpected answer: {error}") from None
