"""Task sizes, as numbers or with units (API reference, RegisterTaskDefinition)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

_CPU_SUFFIXES = ("vcpus", "vcpu")
_MEMORY_SUFFIXES = ("gb",)


def cpu_units(text: str) -> int | None:
    """Return the CPU units, 128 to 196608, or None if ``text`` is not a valid size."""
    units = _parse(text, _CPU_SUFFIXES)
    return units if units is not None and 128 <= units <= 196_608 else None


def memory_mib(text: str) -> int | None:
    """Return the size in MiB, at least the 4 that Docker requires, or None if it is not valid."""
    mib = _parse(text, _MEMORY_SUFFIXES)
    return mib if mib is not None and mib >= 4 else None


def _parse(text: str, suffixes: tuple[str, ...]) -> int | None:
    size = text.strip().lower()
    suffix = next((s for s in suffixes if size.endswith(s)), "")
    number = size.removesuffix(suffix).strip()
    if not number.isascii() or not number.replace(".", "", 1 if suffix else 0).isdigit():
        return None
    try:
        value = Decimal(number) * (1024 if suffix else 1)
    except InvalidOperation:
        return None
    return int(value) if value == value.to_integral_value() and value < 2**31 else None
