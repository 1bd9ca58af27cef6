"""A virtual machine with Debian's kernel and this machine's files, for what this kernel lacks."""
