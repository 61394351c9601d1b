"""Several processes that work as one run, and what one of them needs: its device, its random numbers, its workers."""
