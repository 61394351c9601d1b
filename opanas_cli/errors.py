"""The tree of errors a user can meet. Each class owns the exit code of the process that raised it."""


class OpanasError(Exception):
    """Something failed at run time; the message says where, what and the way out."""

    exit_code = 1


class UsageError(OpanasError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class InvalidInputError(OpanasError):
    """A file handed to us does not say what it should."""

    exit_code = 3


class InvalidGenotypeError(InvalidInputError):
    """A genotype is malformed, or describes no feature pyramid network."""


class InvalidConfigError(InvalidInputError):
    """A config misses something or contradicts itself."""


class InvalidDataError(InvalidInputError):
    """Images or annotations are missing, broken or contradict the config."""


class InvalidCheckpointError(InvalidInputError):
    """A checkpoint is truncated, unsafe or belongs to another network."""


class MissingDependencyError(OpanasError):
    """An optional package is needed and not installed."""

    exit_code = 4


class InfeasibleError(OpanasError):
    """No candidate meets the constraints."""

    exit_code = 5
