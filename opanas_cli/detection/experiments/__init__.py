"""Trainings by the dozen: whether a super-net's ranking, or a network, is as good as it seems."""
