"""Adapters: one file per outside thing. Only `resilience.wire` names them."""
