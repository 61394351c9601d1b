"""What leaves opanas: mmdet configs and necks that stand alone."""
