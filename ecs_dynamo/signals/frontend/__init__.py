"""Dynamo's frontends as a source of signals: their metrics pages, once per pass.

Names and meanings were measured on Dynamo 1.6.1 (docs/dynamo-protocol.md, "When metrics move").
`page` reads a page, `requests` counts requests from its gauges, `intervals` compares two pages,
`rates` derives rates and latencies from that, `workers` reads what a frontend reports about
workers, and `adapter` combines them into signals.
"""
