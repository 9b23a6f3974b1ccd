"""PyTorch with Transformers' model classes: eager and compiled."""
import time

from peer import NOT_MEANT, Peer, Unavailable, fastest


def load_model(task, **options):
    """In fp32, sdpa attention."""
    import torch
    from transformers import DistilBertForSequenceClassification, GPT2LMHeadModel

    torch.set_num_threads(task.threads)
    kind = GPT2LMHeadModel if task.work.family == "gpt2" else DistilBertForSequenceClassification
    return kind.from_pretrained(task.model, dtype=torch.float32, attn_implementation="sdpa", **options).eval()


def with_linears(model):
    """GPT-2 has Conv1D where others have Linear: quantisers know the latter only."""
    import torch
    from transformers.pytorch_utils import Conv1D

    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Conv1D):
                linear = torch.nn.Linear(*child.weight.shape, device=child.weight.device)
                linear.weight = torch.nn.Parameter(child.weight.detach().t().contiguous())
                linear.bias = torch.nn.Parameter(child.bias.detach())
                setattr(module, name, linear)
    return model


class Torch(Peer):
    """Transformers' classes in eager mode, inference mode."""

    name = "torch eager"
    distributions = ("torch", "transformers")
    compiled = False

    @classmethod
    def refuses(cls, work, format):
        return NOT_MEANT if work.phase == "decode" else None

    def __init__(self, task):
        super().__init__(task)
        import torch

        self.torch, self.autocast = torch, False
        self.options = f"sdpa, inference_mode, {task.threads} threads"
        self.model = load_model(task)
        if task.format == "int8":
            self.quantize()
        self.compile()
        self.inputs = [self.inputs_of(batch) for batch in task.batches]
        if task.format == "bf16":
            self.choose_bf16()

    def inputs_of(self, batch):
        """GPT-2 without a mask: all tokens are real, and sdpa then takes its causal path."""
        from torch import from_numpy

        if self.work.family == "gpt2":
            last = {"logits_to_keep": 1} if self.work.phase == "prefill" else {}
            return {"input_ids": from_numpy(batch["input_ids"]), "use_cache": False, **last}
        return {name: from_numpy(array) for name, array in batch.items()}

    def quantize(self):
        torch = self.torch
        if not hasattr(torch.ao.quantization, "quantize_dynamic"):
            raise Unavailable("this PyTorch has no quantize_dynamic")
        model = with_linears(self.model)
        if self.work.family == "gpt2":
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        self.model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        self.options += f", quantize_dynamic of Linear, engine {torch.backends.quantized.engine}"

    def compile(self):
        pass

    def choose_bf16(self):
        """Whole in bfloat16, or autocast: whichever is faster here."""
        torch = self.torch
        whole = load_model(self.task).to(torch.bfloat16)
        of_autocast, batch = self.model, min(len(self.inputs) - 1, 3)

        def take(model, autocast):
            self.model, self.autocast = model, autocast
            self.run_batch(batch)

        best = fastest({".to(bfloat16)": lambda: take(whole, False), "autocast": lambda: take(of_autocast, True)})
        self.model, self.autocast = (of_autocast, True) if best == "autocast" else (whole, False)
        self.options += f", {best} (the faster of .to and autocast)"

    def logits(self, batch):
        return self.run_batch(batch).float().numpy()

    def run_batch(self, batch):
        with self.torch.inference_mode(), self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.autocast):
            return self.model(**self.inputs[batch]).logits


class TorchCompiled(Torch):
    """torch.compile with frozen weights; int8 by torchao, which is written for it."""

    name = "torch compile"
    environment = {"TORCHINDUCTOR_FREEZING": "1"}

    def compile(self):
        if self.format == "bf16":
            self.model.to(self.torch.bfloat16)
        self.model.forward = self.torch.compile(self.model.forward, dynamic=True if self.work.whole_set else None)
        self.options += ", torch.compile, frozen weights" + (", dynamic shapes" if self.work.whole_set else "")

    def choose_bf16(self):
        self.options += ", .to(bfloat16)"

    def run_batch(self, batch):
        with self.torch.no_grad():  # freezing folds weights under no_grad
            return self.model(**self.inputs[batch]).logits

    def quantize(self):
        try:
            from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
        except ImportError as error:
            raise Unavailable(f"torchao: {error}") from error
        import torchao

        model = with_linears(self.model)
        if self.work.family == "gpt2":
            model.lm_head.weight = self.torch.nn.Parameter(model.lm_head.weight.detach().clone())
        quantize_(model, Int8DynamicActivationInt8WeightConfig())
        self.options += f", torchao {torchao.__version__} Int8DynamicActivationInt8WeightConfig"


class TorchDecode(Peer):
    """Greedy decoding in a loop of our own: Transformers' generate adds milliseconds of Python to each token."""

    name = "torch eager, DynamicCache"
    distributions = ("torch", "transformers")

    @classmethod
    def refuses(cls, work, format):
        return None if work.phase == "decode" else NOT_MEANT

    quantize = Torch.quantize

    def __init__(self, task):
        super().__init__(task)
        import torch

        self.torch = torch
        self.options = f"sdpa, inference_mode, own loop, {task.threads} threads"
        self.model = load_model(task)
        if task.format == "int8":
            self.quantize()
        elif task.format == "bf16":
            self.model.to(torch.bfloat16)
            self.options += ", .to(bfloat16)"
        self.prompt = torch.from_numpy(task.prompt)

    def new_cache(self):
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    def decode(self, keep_logits=False):
        torch = self.torch
        cache, kept, tokens = self.new_cache(), [], [self.prompt]
        with torch.inference_mode():
            logits = self.model(input_ids=self.prompt, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
            start = time.perf_counter()
            for _ in range(self.work.new_tokens):
                if keep_logits:
                    kept.append(logits[0].float())
                token = logits.argmax(-1, keepdim=True)
                tokens.append(token)
                logits = self.model(input_ids=token, past_key_values=cache, use_cache=True).logits[:, -1]
            elapsed = time.perf_counter() - start
        return 1000 * elapsed / self.work.new_tokens, torch.cat(tokens, 1), kept

    def answers(self):
        _, tokens, logits = self.decode(keep_logits=True)
        return {"tokens": tokens.numpy(), "logits": self.torch.stack(logits).numpy()}

    def decode_pass(self):
        return self.decode()[0]


class TorchDecodeStatic(TorchDecode):
    name = "torch eager, StaticCache"

    def new_cache(self):
        from transformers import StaticCache

        return StaticCache(config=self.model.config, max_cache_len=self.work.seq + self.work.new_tokens)


PEERS = [Torch, TorchCompiled, TorchDecode, TorchDecodeStatic]
