"""What a host must look like, and how it comes to: supplies fetched and unpacked, files and units by pyinfra."""
