"""What the commands share: options, the terminal, the summary, the lock of a work dir, and several processes."""
