"""What is exported: mmdet configs and stand-alone necks."""
