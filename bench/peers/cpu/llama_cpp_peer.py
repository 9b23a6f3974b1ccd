"""llama.cpp, built from llama-cpp-python's source for this processor; GPT-2 alone. Called by its C functions, as llama-bench does."""
import ctypes
import json
import time

from peer import NOT_MEANT, Peer, made

FILE_TYPES = {"F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}  # of llama_ftype


def write_gguf(folder, path):
    """The checkpoint in F32, by the names that llama.cpp has for GPT-2; without a vocabulary: tokens come as ids."""
    from gguf import GGUFWriter
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    weights = {}
    for file in sorted(folder.glob("model*.safetensors")):
        weights.update(load_file(file))
    tensor = lambda name: weights.get("transformer." + name, weights.get(name)).float()
    writer = GGUFWriter(str(path), "gpt2")
    writer.add_name(folder.name)
    writer.add_block_count(config["n_layer"])
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(0)
    writer.add_tokenizer_model("none")
    add = lambda name, value: writer.add_tensor(name, value.contiguous().numpy())
    add("token_embd.weight", tensor("wte.weight"))
    add("position_embd.weight", tensor("wpe.weight"))
    for kind in ("weight", "bias"):
        add(f"output_norm.{kind}", tensor(f"ln_f.{kind}"))
    names = {"attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
    for layer in range(config["n_layer"]):
        for ours, theirs in names.items():
            for kind in ("weight", "bias"):
                value = tensor(f"h.{layer}.{theirs}.{kind}")
                add(f"blk.{layer}.{ours}.{kind}", value.t() if kind == "weight" and "." in theirs else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp(Peer):
    name = "llama.cpp"
    distributions = ("llama-cpp-python",)
    types = {"fp32": "F32", "bf16": "BF16", "fp16": "F16", "int8": "Q8_0"}

    @classmethod
    def refuses(cls, work, format):
        if work.family != "gpt2" and cls is not LlamaCpp:
            return NOT_MEANT
        if work.family != "gpt2":
            return "it has no DistilBERT with a classifier"
        return None if format in cls.types else NOT_MEANT

    def __init__(self, task):
        super().__init__(task)
        import llama_cpp
        import numpy

        self.library, self.numpy = llama_cpp, numpy
        self.version += f" ({llama_cpp.llama_print_system_info().decode().strip()})"
        llama_cpp.llama_backend_init()
        self.kept_log = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.kept_log, ctypes.c_void_p(0))
        kind = self.types[task.format]
        options = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(self.file(task, kind)).encode(), options)
        if not self.model:
            raise RuntimeError("llama_model_load_from_file returned nothing")
        self.context = self.new_context(task)
        self.options = f"{kind}, {task.threads} threads, keys and values in {'F32' if task.format == 'fp32' else 'F16'}, logits of {'every' if task.work.phase == 'forward' else 'the last'} position"
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(task.prompt.shape[1], 0, 1)

    def new_context(self, task):
        options = self.library.llama_context_default_params()
        options.n_ctx = 2 * task.work.seq
        options.n_batch = options.n_ubatch = task.work.seq
        options.n_threads = options.n_threads_batch = task.threads
        if task.format == "fp32":
            options.type_k = options.type_v = 0  # F32: its F16 would be another format
        context = self.library.llama_init_from_model(self.model, options)
        if not context:
            raise RuntimeError("llama_init_from_model returned nothing")
        return context

    def file(self, task, kind):
        whole = made(task.cache / f"{task.model.name}-F32.gguf", lambda path: write_gguf(task.model, path))
        if kind == "F32":
            return whole

        def quantize(path):
            options = self.library.llama_model_quantize_default_params()
            options.ftype, options.nthread = FILE_TYPES[kind], task.threads
            if self.library.llama_model_quantize(str(whole).encode(), str(path).encode(), ctypes.byref(options)) != 0:
                raise RuntimeError(f"llama_model_quantize to {kind} failed")

        return made(task.cache / f"{task.model.name}-{kind}.gguf", quantize)

    def forward(self, ids, position, all_logits=False):
        """Logits [n, vocabulary] of every position or [1, vocabulary] of the last: a view of its own buffer."""
        batch, n = self.batch, len(ids)
        batch.n_tokens = n
        for index, token in enumerate(ids):
            batch.token[index], batch.pos[index], batch.n_seq_id[index], batch.seq_id[index][0] = token, position + index, 1, 0
            batch.logits[index] = all_logits or index == n - 1
        if (code := self.library.llama_decode(self.context, batch)) != 0:
            raise RuntimeError(f"llama_decode: {code}")
        rows = n if all_logits else 1
        pointer = self.library.llama_get_logits(self.context)
        return self.numpy.ctypeslib.as_array(pointer, shape=(rows * self.vocabulary,)).reshape(rows, self.vocabulary)

    def forget(self):
        self.library.llama_memory_clear(self.library.llama_get_memory(self.context), False)

    def logits(self, batch):
        self.forget()
        return self.forward(self.task.prompt[0].tolist(), 0, self.work.phase == "forward").copy()

    def run_batch(self, batch):
        self.forget()
        self.forward(self.prompt_ids, 0, self.work.phase == "forward")

    @property
    def prompt_ids(self):
        return self.task.prompt[0].tolist()

    def decode(self, keep_logits=False):
        self.forget()
        prompt = self.prompt_ids
        logits = self.forward(prompt, 0)[0]
        tokens, kept = [], []
        start = time.perf_counter()
        for position in range(len(prompt), len(prompt) + self.work.new_tokens):
            if keep_logits:
                kept.append(logits.copy())
            tokens.append(int(logits.argmax()))
            logits = self.forward(tokens[-1:], position)[0]
        elapsed = time.perf_counter() - start
        return 1000 * elapsed / self.work.new_tokens, prompt + tokens, kept

    def answers(self):
        if self.work.phase != "decode":
            return super().answers()
        _, tokens, logits = self.decode(keep_logits=True)
        return {"tokens": self.numpy.array(tokens)[None], "logits": self.numpy.stack(logits)}

    def decode_pass(self):
        return self.decode()[0]


class LlamaCppF16(LlamaCpp):
    """The other 16 bits, in the row of bf16: the faster counts."""

    name = "llama.cpp F16"
    types = {"bf16": "F16"}


class LlamaCppQ4(LlamaCpp):
    name = "llama.cpp Q4_0"
    types = {"int8": "Q4_0"}
    information = "4 bits a weight: for information"


PEERS = [LlamaCpp, LlamaCppF16, LlamaCppQ4]
