"""The same site on every vendor: one program, one ComponentResource a vendor, one contract."""
