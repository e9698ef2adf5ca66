"""The data plane that runs on hosts: ship, snapshot, restore, recover, and the vaults' layout.

README.md beside this file specifies the format. Run it as `python -m resilience.replication`.
"""
