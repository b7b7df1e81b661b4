"""A CloudWatch metric, such as the length of an SQS queue or an ALB's request count.

CloudWatch publishes data points minutes late. The signal carries the newest data point's own time
and stays valid for several periods, or for ``maxSignalAgeSeconds`` if that is longer. Many metrics
have no data point while there is nothing to count (a load balancer's count of requests, the length
of a queue that was not used for hours). With ``missing: zero`` their missing data points are zeros.
"""

from __future__ import annotations

from ecs_dynamo.aws.resources.metrics import DataPoint, MetricQuery
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.snapshot import Signal
from ecs_dynamo.model.spec.scaling import CloudWatchSource
from ecs_dynamo.signals.base import (
    REQUEST_RATES,
    SignalContext,
    SignalError,
    declared_kind,
    usable,
)

QUERIED_PERIODS = 10
VALID_PERIODS = 5
"""The timestamp of a data point is the start of its period, and CloudWatch shows the point one or
two periods after that period has ended."""
ZERO_AFTER_PERIODS = 4
"""With ``missing: zero``, the age in periods above which the newest data point no longer counts: a
newer one would have been published by then if its value were not zero."""


class CloudWatchAdapter:
    """Reader of the newest data point, with GetMetricData."""

    async def read(self, source: CloudWatchSource, context: SignalContext) -> tuple[Signal, ...]:
        """Return the newest data point. Raises `SignalError`."""
        if context.cloudwatch is None:
            raise SignalError("there is no CloudWatch client")
        period = source.period_seconds
        query = MetricQuery(
            source.namespace,
            source.metric,
            source.dimensions,
            source.statistic,
            period,
            start=context.now.wall - QUERIED_PERIODS * period,
            end=context.now.wall,
        )
        try:
            point = await context.cloudwatch(query)
        except AwsError as error:
            raise SignalError(str(error)) from None
        if source.missing == "zero":
            oldest = context.now.wall - ZERO_AFTER_PERIODS * period
            if point is None or point.at < oldest:
                point = DataPoint(context.now.wall, 0.0)
        if point is None:
            raise SignalError(f"{source.namespace} {source.metric}: no data point")
        value = usable(f"{source.namespace} {source.metric}", point.value)
        kind, unit = declared_kind(source)
        is_summed_rate = kind in REQUEST_RATES and source.statistic == "Sum"
        return (
            Signal(
                context.component.name,
                kind,
                value / period if is_summed_rate else value,
                unit,
                context.now.monotonic_of(point.at),
                "cloudwatch",
                max_age=float(VALID_PERIODS * period),
            ),
        )
