"""Vendors made on this machine: account API, hosts, buckets, names, faults."""

from resilience.lab.lab import Lab

__all__ = ["Lab"]
