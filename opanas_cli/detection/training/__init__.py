"""Training a super-net or one detector, interruptible at any step."""
