"""The errors that a user can meet. Each class has the exit code of a process that ends with it."""


class OpanasError(Exception):
    """Something failed at run time; the message says where, what, and what to do."""

    exit_code = 1


class UsageError(OpanasError):
    """The command line is wrong or contradicts itself."""

    exit_code = 2


class LongerRunError(UsageError):
    """A training is to be resumed for fewer steps than it has done."""


class InvalidInputError(OpanasError):
    """The content of a file is invalid."""

    exit_code = 3


class InvalidGenotypeError(InvalidInputError):
    """A genotype is malformed, or describes no feature pyramid network."""


class InvalidConfigError(InvalidInputError):
    """A config lacks something, has a wrong setting or contradicts itself."""


class InvalidDataError(InvalidInputError):
    """Images or annotations are missing, broken or contradict the config."""


class InvalidCheckpointError(InvalidInputError):
    """A checkpoint is truncated, unsafe or of another network."""


class MissingDependencyError(OpanasError):
    """An optional package that is needed is not installed."""

    exit_code = 4


class InfeasibleError(OpanasError):
    """No candidate meets the constraints."""

    exit_code = 5


class ProcessError(OpanasError):
    """Some of several processes failed, and the others did not.

    Args:
        who: the process.
        error: what it failed with; the exit code is that of this error.
    """

    def __init__(self, who: str, error: Exception) -> None:
        kind = "" if isinstance(error, OpanasError) else f"{type(error).__name__}: "
        super().__init__(f"{who}: {kind}{' '.join(str(error).split()) or 'no message'}")
        self.exit_code = getattr(error, "exit_code", 1)


class ReportedElsewhereError(OpanasError):
    """This process fails with an error that another process of the run reports."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.exit_code = getattr(error, "exit_code", 1)
