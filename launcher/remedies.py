"""What to do about what a log says, for each wording of a failure that is known. Pure.

The wordings are those of vLLM 0.6 to 0.32, PyTorch, NCCL, Ray 2, transformers and huggingface_hub. The first row that
matches counts, so what is special stands before what is general.
"""

import re

# (what the log says, what to do about it).
REMEDIES: list[tuple[str, str]] = [
    # Memory
    (
        r"running low on memory|ray\.exceptions\.OutOfMemoryError|Task was killed due to the node",
        (
            "The node's memory ran out, and Ray ended the engine: lower the KV cache or the swap space, or "
            "move other programs away."
        ),
    ),
    (
        (
            r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|HIP out of memory|"
            r"CUDNN_STATUS_ALLOC_FAILED"
        ),
        "The GPU's memory does not suffice: lower gpu_memory_utilization or max_model_len, or use more GPUs.",
    ),
    (
        r"can't allocate memory|Cannot allocate memory|^MemoryError|std::bad_alloc",
        (
            "The node's memory (not the GPU's) does not suffice: a smaller model, a smaller KV cache, or "
            "fewer engines beside it."
        ),
    ),
    (
        r"Free memory on device .* is less than",
        "Something else holds GPU memory: stop it, or lower gpu_memory_utilization.",
    ),
    (
        (
            r"No available memory for the cache blocks|KV cache is needed, which is larger than|"
            r"larger than the maximum number of tokens that can be stored in KV cache"
        ),
        (
            "The KV cache does not fit: lower max_model_len or raise gpu_memory_utilization "
            "(VLLM_CPU_KVCACHE_SPACE on CPU)."
        ),
    ),
    (
        r"exceeds available Mamba cache",
        "The state of so many sequences does not fit: lower max_num_seqs.",
    ),
    (
        r"/dev/shm|insufficient shared memory|shared memory segment|Bus error",  # noqa: S108  (words of a log)
        (
            "Shared memory is full: give the container more of it (--shm-size, or --ipc=host), or clear "
            "/dev/shm on the node."
        ),
    ),
    (
        r"No space left on device|Disk quota exceeded|[Nn]ot enough free disk space",
        "The disk is full: make room where hf_home lies, or set another one.",
    ),
    (
        r"Too many open files",
        "The node allows too few open files: raise its limit (ulimit -n).",
    ),
    # Sizes and numbers
    (
        r"is greater than the derived max_model_len",
        "Lower max_model_len to what the model can do.",
    ),
    (
        r"max_num_batched_tokens .* (?:is )?smaller than max_model_len",
        "Raise max_num_batched_tokens to max_model_len, or set enable_chunked_prefill.",
    ),
    (
        r"not divisible by (?:the )?weight quantization block|quantization block",
        (
            "So many GPUs cut through the blocks of the quantized weights: lower tensor_parallel_size, or "
            "set enable_expert_parallel."
        ),
    ),
    (
        (
            r"must be divisible by tensor parallel size|divisible by (?:the )?(?:tensor|tp|world)[ _]|"
            r"is not divisible by"
        ),
        "So many GPUs do not divide the model: choose another tensor_parallel_size (1, 2, 4 or 8 fit most).",
    ),
    (
        r"Pipeline parallelism is not supported",
        "This model cannot be split into stages: set pipeline_parallel_size to 1, and use tensor_parallel_size.",
    ),
    (
        (
            r"Not enough (?:total available nodes|resources to allocate)|placement group .*(?:can ?not|"
            r"can't) be|has no GPU available|No available node types can fulfill"
        ),
        "The cluster has no room for it any more: the cluster page says who holds its GPUs.",
    ),
    # The model
    (
        r"Invalid (?:user token|credentials|username or password)",
        "The HF token is not valid: set another one.",
    ),
    (
        r"GatedRepoError|gated repo|Access to model .* is restricted|403 (?:Client Error|Forbidden)",
        "The model needs permission: ask for it on its page at the hub, and set the engine's HF token.",
    ),
    (
        (
            r"RepositoryNotFoundError|Repository Not Found|Repo id must be in the form|is not a local folder|"
            r"Invalid repository ID|RevisionNotFoundError|Invalid rev id"
        ),
        (
            "There is no such model, or it is private: check the model field (a directory must exist on the "
            "engine's node), or set the HF token."
        ),
    ),
    (
        r"401 (?:Client Error|Unauthorized)",
        "The model needs permission: set the engine's HF token.",
    ),
    (
        (
            r"LocalEntryNotFoundError|couldn't connect to|outgoing traffic has been disabled|"
            r"OfflineModeIsEnabled|NameResolutionError|Name or service not known|"
            r"Temporary failure in name resolution|Network is unreachable|Max retries exceeded|httpx\.Connect|"
            r"429 (?:Client Error|Too Many)"
        ),
        (
            "The hub is not reached from the engine's node: check its network and proxy (HF_ENDPOINT, "
            "HTTPS_PROXY), or put the model into hf_home first."
        ),
    ),
    (
        (
            r"Cannot find any model weights|SafetensorError|deserializing header|HeaderToo|"
            r"PytorchStreamReader|Consistency check failed"
        ),
        "Weights are missing or damaged: delete the model from hf_home, and start again.",
    ),
    (
        r"trust_remote_code|trust-remote-code",
        'The model brings code of its own: set "trust_remote_code": true in vllm_serve_kwargs if you trust it.',
    ),
    (
        (
            r"does not recognize this architecture|[Mm]odel architectures? .*(?:not supported|"
            r"supported in vLLM until|failed to be)|has no vLLM implementation|Unrecognized model in"
        ),
        "This vLLM does not know the model: an interpreter with a newer vLLM, or another model.",
    ),
    (
        (
            r"[Uu]nknown quantization method|does not match the quantization method|"
            r"quantization (?:method )?.*not supported|Minimum capability|"
            r"quantization is (?:currently )?not supported"
        ),
        "This vLLM, or this GPU, does not run that quantization: leave the argument out, or choose other weights.",
    ),
    (
        r"[Bb]float16 is only supported on GPUs|compute capability of at least",
        'The GPU is too old for that data type: set "dtype": "half".',
    ),
    (
        (
            r"(?:invalid|Invalid) (?:tool call|reasoning) parser|reasoning parser could not locate|"
            r"[Tt]ool parser could not locate|(?:[Tt]ool|[Rr]easoning) parser .*not (?:found|registered)"
        ),
        "The parser does not fit the model: another tool_call_parser or reasoning_parser, or none.",
    ),
    (
        r"chat template .*(?:exist|not found|path-like)",
        "There is no such chat_template on the engine's node.",
    ),
    # GPUs and what joins them
    (
        (
            r"driver on your system is too old|driver version is insufficient|"
            r"forward compatibility was attempted|unsupported display driver|"
            r"CUDA_ERROR_(?:SYSTEM_DRIVER_MISMATCH|COMPAT)|driver/library version mismatch"
        ),
        (
            "The node's NVIDIA driver does not fit this vLLM's CUDA: update the driver, or use a vLLM that "
            "was built for an older CUDA."
        ),
    ),
    (
        r"no kernel image is available|not compatible with the current PyTorch",
        "This vLLM was not built for the node's GPU: use a build that knows it.",
    ),
    (
        (
            r"No CUDA GPUs are available|Found no NVIDIA driver|Failed to infer device type|libcuda\.so|"
            r"no CUDA-capable device"
        ),
        "The engine's process sees no GPU: check the node's driver (nvidia-smi), and the engine's device.",
    ),
    (
        r"uncorrectable ECC|GPU has fallen off the bus|NVLink error",
        "The GPU itself is in trouble: see nvidia-smi and the kernel's log on the node, and reset it.",
    ),
    (
        (
            r"CUDA error: (?:an illegal memory access|device-side assert|unspecified launch failure|"
            r"misaligned)|illegal memory access"
        ),
        'A computation went wrong on the GPU: try "enforce_eager": true, and another version of vLLM if that helps.',
    ),
    (
        (
            r"NCCL error|nccl\w*Error|DistBackendError|DistNetworkError|connectFullMesh failed|"
            r"client socket has (?:timed out|failed)|Socket Timeout|TCPStore"
        ),
        (
            "The GPUs do not reach each other: check the network between the nodes (NCCL_SOCKET_IFNAME in "
            "vllm_serve_env_vars; NCCL_DEBUG=INFO tells more)."
        ),
    ),
    (
        (
            r"ActorDiedError|RayActorError|WorkerCrashedError|The actor (?:died|is dead)|"
            r"ActorUnavailableError|node .*marked dead"
        ),
        (
            "A worker of the engine died on its node, for want of memory as a rule: its lines stand above, "
            "and Ray's log is on that node."
        ),
    ),
    # The port, the arguments, the interpreter
    (
        r"[Aa]ddress already in use",
        "Another program took the port; the next attempt chooses another one.",
    ),
    (
        r"unrecognized arguments|invalid choice|invalid \w+ value|expected (?:one|at least one) argument",
        "vLLM does not know an argument or its value: check vllm_serve_kwargs.",
    ),
    (
        r"No module named '?vllm\b",
        "The interpreter has no vLLM: install it there, or set the engine's interpreter field.",
    ),
    (
        (
            r"No module named|requires the .* library|pip install|undefined symbol|"
            r"cannot open shared object file"
        ),
        "The interpreter lacks a package, or has one that does not fit: install it there.",
    ),
    (
        (
            r"Failed to find C compiler|Python\.h: No such file|InductorError|BackendCompilerFailed|"
            r"torch\._dynamo\.exc|ninja|nvcc"
        ),
        (
            "A kernel could not be compiled: install a C compiler and Python's headers on the node, or set "
            '"enforce_eager": true.'
        ),
    ),
    (
        r"/bin/sh: .*(?:not found|No such file)",
        "There is no such interpreter on the engine's node: check the engine's interpreter field.",
    ),
    (
        r"Permission denied",
        "The engine's process may not read or write there: check who owns hf_home and the model.",
    ),
]
_KNOWN = [(re.compile(pattern), remedy) for pattern, remedy in REMEDIES]


def remedy(said: str) -> str:
    """Return what to do about a cause; "" if nobody knows."""
    return next((remedy for pattern, remedy in _KNOWN if pattern.search(said)), "")
