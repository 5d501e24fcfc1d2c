"""PyTorch: fit of build and driver, agreement of GPU and CPU, communication of processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from focus_cli.workflow.health.check import FAIL, PASS, WARN, Check, ask

_SIDE = 256
_TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}  # of the largest value; TF32 is not used
_CUDA_TORCH = "make install TORCH_SPEC=torch, or pip install torch from https://download.pytorch.org/whl/cuXYZ"


def torch_build() -> Iterator[Check]:
    """PyTorch's build against the driver."""
    import torch

    driver = _driver()
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    found = f"{torch.__version__}, {built}"
    if torch.version.cuda is None:
        if driver:
            yield Check("torch", WARN, f"{found}, though there is a GPU (driver {driver[0]})", _CUDA_TORCH)
        else:
            yield Check("torch", PASS, found)
    elif torch.cuda.is_available():
        yield Check("torch", PASS, f"{found}, driver {driver[0] if driver else 'unknown'}, {_devices(torch)}")
    elif driver:
        yield Check(
            "torch",
            FAIL,
            f"{found}, which does not start on driver {driver[0]} (CUDA {_driver_cuda(torch)} at most)",
            "install a newer driver, or PyTorch for an older CUDA: https://download.pytorch.org/whl/cuXYZ",
        )
    else:
        yield Check("torch", PASS, f"{found}, no GPU on this machine")


def _devices(torch) -> str:
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def _driver() -> list[str]:
    """The driver's version, one entry for each GPU; empty where there is none."""
    if not shutil.which("nvidia-smi"):
        return []
    code, output = ask(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    return output.splitlines() if code == 0 and output else []


def _driver_cuda(torch) -> str:
    """The CUDA version that the driver supports, as reported to PyTorch."""
    version = torch._C._cuda_getDriverVersion() if hasattr(torch._C, "_cuda_getDriverVersion") else 0
    return f"{version // 1000}.{version % 1000 // 10}" if version else "unknown"


def devices() -> Iterator[Check]:
    """Every GPU: is code compiled for it, and does it multiply matrices as the CPU does, in float32 and bfloat16."""
    import torch

    if not torch.cuda.is_available():
        return
    for index in range(torch.cuda.device_count()):
        yield _device(torch, index)


def _device(torch, index: int) -> Check:
    name = f"gpu {index}"
    major, minor = torch.cuda.get_device_capability(index)
    free, total = (amount / 1e9 for amount in torch.cuda.mem_get_info(index))
    found = f"{torch.cuda.get_device_name(index)}, sm_{major}{minor}, {free:.0f} of {total:.0f} GB free"
    compiled = torch.cuda.get_arch_list()
    # Code for a capability runs on later ones of the same generation; compute_XY is compiled on the spot.
    runs = {arch for arch in compiled if arch.startswith(f"sm_{major}") or arch.startswith("compute_")}
    if not runs:
        return Check(name, FAIL, f"{found}: PyTorch has no code for it ({', '.join(compiled)})", _CUDA_TORCH)
    for dtype, tolerance in _TOLERANCE.items():
        if dtype == "bfloat16" and not torch.cuda.is_bf16_supported():
            return Check(name, WARN, f"{found}, no bfloat16", "train with precision: float32")
        error = _error_of_product(torch, f"cuda:{index}", getattr(torch, dtype))
        if not error < tolerance:
            wrong = f"{found}: a product in {dtype} is off by {error:.2g}"
            return Check(name, FAIL, wrong, "do not use this GPU; report it to the administrator")
    return Check(name, PASS, f"{found}, float32 and bfloat16 products agree with the CPU's")


def _error_of_product(torch, device: str, dtype) -> float:
    """Largest difference to the product in float64, as a share of the largest value."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_SIDE, _SIDE, generator=generator, dtype=torch.float64) for _ in range(2))
    exact = left @ right
    got = (left.to(device, dtype) @ right.to(device, dtype)).double().cpu()
    return float((got - exact).abs().max() / exact.abs().max())


def distributed() -> Iterator[Check]:
    """A sum over processes by gloo, and by NCCL on a GPU: with one process, which needs all but the network."""
    import torch
    from torch import distributed

    if not distributed.is_available():
        yield Check("distributed", WARN, "this PyTorch has no torch.distributed", "needed for more than one process")
        return
    yield _all_reduce(torch, "gloo", "cpu")
    if torch.cuda.is_available():
        if distributed.is_nccl_available():
            yield _all_reduce(torch, "nccl", "cuda")
        else:
            yield Check("nccl", WARN, "this PyTorch has no NCCL", "needed for training on several GPUs")


def _all_reduce(torch, backend: str, device: str) -> Check:
    from torch import distributed

    if distributed.is_initialized():  # inside a training, which shows more than a test
        return Check(backend, PASS, f"in use ({distributed.get_backend()})")
    try:
        distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1)
        value = torch.ones(4, device=device)
        distributed.all_reduce(value)
        right = value.sum().item() == 4.0
    except (RuntimeError, ValueError, OSError) as error:
        problem = " ".join(str(error).split())[:200]
        fix = "name a network interface: export GLOO_SOCKET_IFNAME=… NCCL_SOCKET_IFNAME=… (ip -br addr lists them)"
        return Check(backend, FAIL if backend == "nccl" else WARN, f"does not start: {problem}", fix)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
    version = f" {'.'.join(map(str, torch.cuda.nccl.version()))}" if backend == "nccl" else ""
    if not right:
        return Check(backend, FAIL, f"{backend}{version} sums wrongly", "reinstall torch")
    return Check(backend, PASS, f"{backend}{version} sums over processes")
