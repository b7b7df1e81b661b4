"""Sizes of tasks, in numbers and in words (API reference, RegisterTaskDefinition)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

_CPU_SUFFIXES = ("vcpus", "vcpu")
_MEMORY_SUFFIXES = ("gb",)


def cpu_units(text: str) -> int | None:
    """CPU units, 128 to 196608; None for what is no size."""
    units = _read(text, _CPU_SUFFIXES)
    return units if units is not None and 128 <= units <= 196_608 else None


def memory_mib(text: str) -> int | None:
    """MiB, at least the 4 that Docker reserves; None for what is no size."""
    mib = _read(text, _MEMORY_SUFFIXES)
    return mib if mib is not None and mib >= 4 else None


def _read(text: str, suffixes: tuple[str, ...]) -> int | None:
    word = text.strip().lower()
    suffix = next((s for s in suffixes if word.endswith(s)), "")
    number = word.removesuffix(suffix).strip()
    if not number.isascii() or not number.replace(".", "", 1 if suffix else 0).isdigit():
        return None
    try:
        value = Decimal(number) * (1024 if suffix else 1)
    except InvalidOperation:
        return None
    return int(value) if value == value.to_integral_value() and value < 2**31 else None
