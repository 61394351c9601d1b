"""The fitness of many sub-nets of one super-net in one pass over the images."""
