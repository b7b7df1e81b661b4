"""A CloudWatch metric, such as the length of an SQS queue or an ALB's request count.

CloudWatch is minutes late: the newest data point's own time is the signal's age, and it is believed
for several periods, or ``maxSignalAgeSeconds`` where that is longer.
"""

from __future__ import annotations

from datetime import UTC, datetime

from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec import CloudWatchSource
from ecs_dynamo.signals.base import SignalContext, SignalError, usable

PERIODS_BACK = 10
PERIODS_BELIEVED = 5
"""A point's time is its period's begin, and it is shown a period or two after that has ended."""


class CloudWatchAdapter:
    """GetMetricData, newest data point."""

    async def read(self, source: CloudWatchSource, context: SignalContext) -> tuple[Signal, ...]:
        """Ask now."""
        if context.cloudwatch is None:
            raise SignalError("there is no CloudWatch client here")
        period = source.period_seconds
        query = {
            "Id": "demand",
            "MetricStat": {
                "Metric": {
                    "Namespace": source.namespace,
                    "MetricName": source.metric,
                    "Dimensions": [
                        {"Name": k, "Value": v} for k, v in sorted(source.dimensions.items())
                    ],
                },
                "Period": period,
                "Stat": source.statistic,
            },
        }
        try:
            answer = await context.cloudwatch(
                MetricDataQueries=[query],
                StartTime=datetime.fromtimestamp(context.now.wall - PERIODS_BACK * period, UTC),
                EndTime=datetime.fromtimestamp(context.now.wall, UTC),
                ScanBy="TimestampDescending",
            )
        except AwsError as error:
            raise SignalError(str(error)) from None
        try:
            results = answer.get("MetricDataResults") or [{}]
            points = list(
                zip(results[0].get("Timestamps", ()), results[0].get("Values", ()), strict=True)
            )
            at, value = max(points) if points else (None, 0.0)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise SignalError(f"CloudWatch: unexpected answer: {error}") from None
        if at is None:
            raise SignalError(f"{source.namespace} {source.metric}: no data point")
        value = usable(f"{source.namespace} {source.metric}", value)
        rate = source.kind == "arrival_rate"
        return (
            Signal(
                context.component.name,
                source.kind,
                value / period if rate and source.statistic == "Sum" else value,
                "requests/s" if rate else "requests",
                context.now.monotonic_of(at.timestamp()),
                "cloudwatch",
                max_age=float(PERIODS_BELIEVED * period),
            ),
        )
