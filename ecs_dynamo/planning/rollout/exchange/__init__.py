"""The exchange of one generation of workers for another."""
