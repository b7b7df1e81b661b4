"""The other AWS APIs, which moto serves in this process."""
