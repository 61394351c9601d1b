import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import mmcv
import pytest
import torch
from mmcv.ops import CARAFE, get_compiler_version, get_compiling_cuda_version
from mmcv.utils import collect_env

from opanas_cli.detection.operators import MissingOperatorError, install
from opanas_cli.detection.operators.stand_in import MODULE, OPERATORS, StandIn
from opanas_cli.detection.quiet import quietly
from opanas_cli.errors import MissingDependencyError

COMPILED = pytest.mark.skipif(not isinstance(sys.modules[MODULE], StandIn), reason="mmcv's operators are compiled here")


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that takes the place of mmcv's compiled operators, in a process that has not looked for them yet."""
    monkeypatch.delitem(sys.modules, MODULE)
    monkeypatch.setattr(mmcv, "_ext", None, raising=False)
    monkeypatch.setattr(mmcv, "__path__", [str(tmp_path)])
    yield tmp_path / "_ext.py"
    sys.modules.pop(MODULE, None)


def test_compiled_operators_are_left_alone(compiled: Path) -> None:
    compiled.write_text("origin = 'compiled'\n")
    assert install() is False
    assert sys.modules[MODULE].origin == "compiled"
    assert install() is False


def test_compiled_operators_that_do_not_load_are_replaced_with_a_warning(compiled: Path) -> None:
    compiled.write_text("raise ImportError('undefined symbol: _ZN3c10')\n")
    with pytest.warns(RuntimeWarning, match=r"do not load \(undefined symbol: _ZN3c10\)"):
        assert install() is True
    assert isinstance(sys.modules[MODULE], StandIn)


def test_a_missing_module_is_replaced_once(compiled: Path) -> None:
    assert install() is True
    module = sys.modules[MODULE]
    assert mmcv._ext is module
    assert install() is True
    assert sys.modules[MODULE] is module


def test_a_package_that_the_compiled_operators_miss_is_named(compiled: Path) -> None:
    compiled.write_text("import no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        install()


def test_an_mmcv_that_does_not_load_is_no_missing_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ImportError, match=r"libGL\.so\.1"):
        install()


@COMPILED
def test_an_operator_without_stand_in_says_so_when_it_is_called() -> None:
    with pytest.raises(MissingOperatorError) as raised:
        CARAFE(3, 1, 2)(torch.zeros(1, 4, 4, 4), torch.zeros(1, 9, 8, 8))
    message = str(raised.value)
    assert "'carafe_forward'" in message
    assert "pip install" in message
    assert "\n" not in message
    assert raised.value.operator == "carafe_forward"
    assert isinstance(raised.value, NotImplementedError)
    assert isinstance(raised.value, MissingDependencyError)
    assert raised.value.exit_code == 4


def test_the_module_looks_like_one() -> None:
    module = StandIn()
    assert module.__spec__.name == MODULE
    assert all(getattr(module, name) is operator for name, operator in OPERATORS.items())
    assert not hasattr(module, "__path__")
    assert not hasattr(module, "__wrapped__")
    with pytest.raises(AttributeError, match="__file__"):
        module.__file__  # noqa: B018


@COMPILED
def test_the_environment_report_says_what_stands_in() -> None:
    assert "torchvision" in get_compiler_version()
    assert get_compiling_cuda_version() == "none"
    assert collect_env()["MMCV Compiler"] == get_compiler_version()


def test_quietly_drops_noise_and_gives_the_filters_back(capfd: pytest.CaptureFixture[str]) -> None:
    filters = list(warnings.filters)
    with quietly():
        print("noise")
        warnings.warn("noise", UserWarning, stacklevel=1)
    assert warnings.filters == filters
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)
    assert capfd.readouterr() == ("", "")


def test_quietly_lets_errors_pass() -> None:
    with pytest.raises(KeyError), quietly():
        raise KeyError("heard")


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    result = python(
        """
import sys
from opanas_cli.errors import MissingDependencyError

class Uninstalled:
    def find_spec(self, name, path=None, target=None):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Uninstalled())
for package in ("mmcv", "mmengine", "mmdet", "pycocotools"):
    try:
        import opanas_cli.detection
    except MissingDependencyError as error:
        print(package, error.exit_code, error)
"""
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 4, result.stderr
    for package, line in zip(("mmcv", "mmengine", "mmdet", "pycocotools"), lines, strict=True):
        assert line.startswith(f"{package} 4 ")
        assert f"'{package}'" in line
        assert "pip install 'opanas[mmdet]'" in line


def test_a_fresh_process_is_silent_and_warns_its_user_afterwards() -> None:
    program = (
        "import torchvision, warnings; before = list(warnings.filters)\n"
        "import opanas_cli.detection\n"
        "assert warnings.filters == before, warnings.filters\n"
        "import mmdet.models, mmdet.datasets, mmdet.evaluation, mmdet.apis, mmcv.ops\n"
    )
    result = python(program, "-W", "default")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_process_with_compiled_operators_uses_them(tmp_path: Path) -> None:
    (tmp_path / "_ext.py").write_text("def __getattr__(name):\n    return f'compiled {name}'\n")
    program = (
        f"import mmcv; mmcv.__path__.insert(0, {str(tmp_path)!r})\n"
        "import opanas_cli.detection\n"
        "from mmcv.ops.roi_align import ext_module\n"
        "print(ext_module.roi_align_forward)"
    )
    result = python(program)
    assert result.stdout == "compiled roi_align_forward\n", result.stderr
